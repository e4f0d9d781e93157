"""Dashboard and alerts: every metric and label in them exists, every alert has its runbook.

The PromQL itself is checked by promtool where it is there. Without it, only what can be said
without a parser: brackets close, functions are Prometheus's, metrics and labels are ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.observe.catalogue import CATALOGUE, PREFIX, SERVE_CATALOGUE

ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "ledger-worker" / "files"
RUNBOOK = ROOT / "docs" / "runbooks" / "alerts.md"
NO_PROMTOOL = "no promtool: put it on PATH or name it in PROMTOOL_BIN (it comes with Prometheus)"

FUNCTIONS = {
    "absent", "and", "by", "count", "deriv", "histogram_quantile", "increase", "max", "on", "rate",
    "sum",
}  # fmt: skip
GENERAL_LABELS = {"job", "le", "__name__"}
"""Prometheus's own: where it was scraped, and a histogram's bucket."""


def exposed() -> dict[str, set[str]]:
    """Every series that a worker or `serve` shows, with its labels."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        f"{PREFIX}{one.name}{suffix}": set(one.labels)
        for one in (*CATALOGUE, *SERVE_CATALOGUE)
        for suffix in suffixes[one.kind]
    }


def alerts() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((FILES / "alerts.yaml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
    return loaded


def expressions() -> Iterator[tuple[str, str]]:
    """Where an expression stands, and the expression."""
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(("place", "text"), EXPRESSIONS, ids=[place for place, _ in EXPRESSIONS])
def test_expressions_use_what_exists(place: str, text: str) -> None:
    """Metrics are in the catalogue, labels are theirs, functions known, and brackets close."""
    metrics = set(re.findall(rf"{PREFIX}\w+", text))
    assert metrics <= set(exposed()), place
    labels = GENERAL_LABELS.union(*(exposed()[name] for name in metrics))
    grouped = re.findall(r"(?:by|on) \(([^)]*)\)", text)
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", text)
    used = {name.strip() for group in grouped for name in group.split(",")} | set(matched)
    assert used <= labels, place
    unquoted = re.sub(r'"[^"]*"', '""', text)
    assert set(re.findall(r"\b([a-z_]+)\s*\(", unquoted)) <= FUNCTIONS, place
    for opening, closing in ("()", "[]", "{}"):
        assert text.count(opening) == text.count(closing), place


def test_the_dashboard_shows_what_the_design_asks_for() -> None:
    """Throughput, outcomes, latency, lag, batch size, ledger health, parked events."""
    shown = " ".join(text for _, text in EXPRESSIONS)
    for name in (
        "records_consumed_total",
        "outcomes_total",
        "transfers_posted_total",
        "end_to_end_seconds_bucket",
        "stage_seconds_bucket",
        "lag_records",
        "batch_events_sum",
        "ledger_waiting_seconds",
        'outcome="parked"',
    ):
        assert name in shown
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(titles) == len(set(titles))
    assert all(panel.get("description") for panel in dashboard()["panels"] if "targets" in panel)


def test_every_alert_says_what_it_is_and_has_its_runbook() -> None:
    """One name each, a severity, a summary, and a section of the runbook with that name."""
    sections = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    names = [alert["alert"] for alert in alerts()]
    assert sorted(sections) == sorted(names)
    for alert in alerts():
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["annotations"]["summary"]
        anchor = alert["annotations"]["runbook_url"]
        assert anchor == f"docs/runbooks/alerts.md#{alert['alert'].lower()}"


def test_promtool_takes_the_rules() -> None:
    """`promtool check rules` finds nothing."""
    promtool = os.environ.get("PROMTOOL_BIN") or shutil.which("promtool")
    if not promtool:
        pytest.skip(NO_PROMTOOL)
    done = subprocess.run(
        [promtool, "check", "rules", str(FILES / "alerts.yaml")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
