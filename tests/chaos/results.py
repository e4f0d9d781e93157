"""The results file of the chaos suite, and its sum as docs/guarantees.md shows it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "docs" / "evidence" / "chaos.jsonl"
"""What the published figures come from."""

COUNTED = ("transfers", "announced", "rejected", "dead")
MIX = "mix "


def read(results: Path) -> list[dict[str, Any]]:
    """Every run, one JSON object a line."""
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def summary(runs: Iterable[Mapping[str, Any]]) -> str:
    """A Markdown table: each kind of fault, how often it struck, and in how many runs."""
    runs = list(runs)
    struck: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for run in runs:
        kinds = [kind(one) for one in run.get("struck", ())]
        struck.update(kinds)
        inside.update(set(kinds))
    rows = [f"| {name} | {struck[name]} | {inside[name]} |" for name in sorted(struck)]
    return "\n".join([*_totals(runs), "", "| fault | struck | in runs |", "|---|---|---|", *rows])


def _totals(runs: list[Mapping[str, Any]]) -> list[str]:
    verdicts = Counter(run["verdict"] for run in runs)
    mixes = sum(run["name"].startswith(MIX) for run in runs)
    events = sum(run["plan"]["events"] for run in runs)
    counted = {name: sum(run.get(name, 0) for run in runs) for name in COUNTED}
    ledgers = Counter(run["ledger"] for run in runs)
    told = ", ".join(f"{count:,} {name}" for name, count in counted.items())
    on = ", ".join(f"{count} on {name}" for name, count in sorted(ledgers.items()))
    alone, passed = len(runs) - mixes, verdicts["passed"]
    ran = f"{len(runs)} runs ({on}): {alone} of one fault, {mixes} of mixed faults"
    return [f"{ran}; {passed} passed, {len(runs) - passed} failed.", f"{events:,} records: {told}."]


def kind(struck: str) -> str:
    """A hit without its count: `committing:kill` for `committing:3:kill`."""
    parts = struck.split(":")
    return f"{parts[0]}:{parts[2]}" if len(parts) == len(("point", "at", "action")) else struck
