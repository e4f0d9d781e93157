"""Dashboard and alerts: every metric and label in them exists, every alert has its runbook.

Every expression goes through a parser of PromQL, which knows its functions and types. promtool
runs the alerts over series, where it is there.
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

import promql_parser
import pytest
import yaml

from worker.observe.catalogue import (
    CATALOGUE,
    FEED_CATALOGUE,
    PREFIX,
    SERVE_CATALOGUE,
    STATUS_CATALOGUE,
    SYNC_CATALOGUE,
)

ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "ledger-worker" / "files"
SERIES = Path(__file__).parent / "alerts.test.yaml"
RUNBOOK = ROOT / "docs" / "runbooks" / "alerts.md"
NO_PROMTOOL = "no promtool: put it on PATH or name it in PROMTOOL_BIN (it comes with Prometheus)"

GENERAL_LABELS = {"job", "le", "__name__"}
"""Prometheus's own: where it was scraped, and a histogram's bucket."""


TIGERBEETLE = {
    "tb_replica_request_us_count": {"operation", "replica", "cluster"},
    "tb_replica_request_us_sum": {"operation", "replica", "cluster"},
    "tb_replica_status": {"replica", "cluster"},
    "tb_journal_faulty": {"replica", "cluster"},
    "tb_grid_blocks_missing": {"replica", "cluster"},
}
"""What a server sends, and is shown: tests/contract/test_tigerbeetle_metrics.py asks a real one."""


def exposed() -> dict[str, set[str]]:
    """Every series that a worker, `serve`, `feed`, `status` or `sync` shows, with its labels."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        f"{PREFIX}{one.name}{suffix}": set(one.labels)
        for one in (
            *CATALOGUE,
            *SERVE_CATALOGUE,
            *FEED_CATALOGUE,
            *STATUS_CATALOGUE,
            *SYNC_CATALOGUE,
        )
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


@pytest.mark.parametrize(("where", "text"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_expressions_use_what_exists(where: str, text: str) -> None:
    """It is PromQL; metrics are in the catalogue, and labels are theirs."""
    promql_parser.parse(text.replace("$job", "any"))
    there = exposed() | TIGERBEETLE
    metrics = set(re.findall(rf"\b(?:{PREFIX}|tb_)\w+", text))
    assert metrics
    assert metrics <= set(there), where
    labels = GENERAL_LABELS.union(*(there[name] for name in metrics))
    grouped = re.findall(r"(?:by|on) \(([^)]*)\)", text)
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", text)
    used = {name.strip() for group in grouped for name in group.split(",")} | set(matched)
    assert used <= labels, where


def test_the_dashboard_shows_what_the_design_asks_for() -> None:
    """Throughput, outcomes, latency, lag, batch size, ledger health, parked age, balances."""
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
        "parked_age_seconds",
        "account_balance",
    ):
        assert name in shown
    places = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + line)
        for panel in dashboard()["panels"]
        for column in range(panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(column for column, _ in places) < 24
    identities = [panel["id"] for panel in dashboard()["panels"]]
    assert len(identities) == len(set(identities))
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


def test_every_alert_is_tried_over_series() -> None:
    """For each alert, the file for promtool has a moment when it fires and one when it must not."""
    tried = [
        (one["alertname"], bool(one["exp_alerts"]))
        for group in yaml.safe_load(SERIES.read_text())["tests"]
        for one in group["alert_rule_test"]
    ]
    for alert in alerts():
        assert {fires for name, fires in tried if name == alert["alert"]} == {True, False}, alert


def promtool(*arguments: str) -> None:
    """Run it and expect success; skip where it is not there."""
    found = os.environ.get("PROMTOOL_BIN") or shutil.which("promtool")
    if not found:
        pytest.skip(NO_PROMTOOL)
    done = subprocess.run(
        [found, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules() -> None:
    """`promtool check rules` finds nothing, nor does it in what compose's Prometheus reads."""
    promtool("check", "rules", str(FILES / "alerts.yaml"))
    promtool("check", "config", "--syntax-only", str(ROOT / "compose" / "prometheus.yml"))


def test_alerts_fire_when_they_should() -> None:
    """Over series: a first conflict, a topic that stands still; silence over those like them."""
    promtool("test", "rules", str(SERIES))
