"""What a million transfers take on the ledger's disk and on the outbox's.

The ledger's file grows in steps that are larger than a million transfers, and its first ones cost
more than the later: it is filled with packed rows, without Kafka, and what counts is the margin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.contenders import Bench
from bench.report import LEGS

EVENTS = 500_000
"""A million transfers."""
MILLION = 1_000_000
MILLIONS, WARM_MILLIONS = 10, 2
YEARS, PER_SECOND = 7, 3000
SECONDS_A_YEAR = 365 * 86_400


def measure(bench: Bench) -> dict[str, Any]:
    """Bytes of data file and of outbox per million transfers, projected."""
    topic = bench.topic(events=EVENTS)
    per_million: dict[str, float] = {}
    for outbox in ("avro", "json"):
        name = bench.fresh("storage")
        bench.worker(topic=topic, outbox=outbox, name=name)
        written = _outbox_bytes(bench.work, f"{name}.out")
        per_million[f"outbox, {outbox}"] = written / (EVENTS * LEGS) * MILLION
    sizes = [_ledger_bytes(bench.work)]
    for number in range(MILLIONS):
        bench.limit(events=EVENTS, first=number * EVENTS)
        sizes.append(_ledger_bytes(bench.work))
    grown = sizes[-1] - sizes[WARM_MILLIONS]
    per_million["ledger"] = grown / (MILLIONS - WARM_MILLIONS)
    if not all(per_million.values()):
        raise SystemExit("--storage needs servers that this command starts itself, not in Docker")
    print("\nledger, MB after each million transfers:", *(f"{size / 1e6:,.0f}" for size in sizes))
    year = PER_SECOND * SECONDS_A_YEAR
    print(f"\n{'':<16}{'MB per million':>16}{'GB per billion':>16}", end="")
    print(f"{f'TB in {YEARS} years at {PER_SECOND:,}/s':>30}")
    for name, size in per_million.items():
        seven = size / MILLION * year * YEARS / 1e12
        print(f"{name:<16}{size / 1e6:>16,.0f}{size / 1e6:>16,.0f}{seven:>30,.0f}")
    bars = {name: size / 1e6 for name, size in per_million.items()}
    return {"bytes_per_million": per_million, "unit": "MB per million transfers", "bars": bars}


def _ledger_bytes(work: Path) -> int:
    """What the data file takes on disk; 0 where there is none."""
    return sum(path.stat().st_blocks * 512 for path in work.rglob("*.tigerbeetle"))


def _outbox_bytes(work: Path, topic: str) -> int:
    """The segments of all its partitions, as the broker keeps them."""
    return sum(path.stat().st_size for path in work.rglob(f"{topic}-*/*.log"))
