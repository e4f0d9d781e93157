"""`status` on real servers: after a run with every outcome, with and without a member."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.integration.every_outcome import run_with_every_outcome
from tests.servers.groups import group_now
from tests.servers.kafka import KafkaBroker
from worker.commands.cli import main

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

JOIN_SECONDS_MAX = 60


def test_a_group_and_what_waits_for_it(
    kafka: KafkaBroker,
    ledger: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Lag, parked events and when they are due, letters by reason, members and their partitions."""
    cluster = run_with_every_outcome(kafka, ledger, monkeypatch)
    report = tmp_path / "report.json"
    counts = {"differences": 2, "dead_letters": 0, "parked": 0, "open_items": 0}
    times = {"made_at": "2026-02-01T00:00:00+00:00", "from": "", "to": ""}
    report.write_text(json.dumps({"summary": times | counts, "items": []}))
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["members"]) == ("empty", [])
    lag = {each["role"]: (each["lag"], each["behind"]) for each in found["lag"]}
    assert lag["commands"] == (1, 1)
    assert lag["payments"] == lag["settlements"] == (0, 0)
    (parked,) = found["parked"]
    assert parked["events"] == 1
    assert parked["first_due"] == parked["last_due"] > found["as_of"]
    assert "is not in the ledger" in parked["detail"]
    refused = {(each["kind"], each["reason"]): each["events"] for each in found["refused"]}
    assert refused == {
        ("dead", "conflict"): 1,
        ("dead", "no_rule"): 1,
        ("rejected", "exceeds_credits"): 1,
    }
    assert found["newest_posting"]["record"].startswith(f"{cluster.prefix}.")
    assert found["approved"]["digest"] == found["rulebook"]

    assert found["reconciled"] is None
    assert main(["status", "--metrics", "--reconciliation", str(report)]) == 0
    shown = capsys.readouterr().out
    for line in (
        f'ledger_worker_status_members{{group="{cluster.prefix}-g"}} 0.0',
        f'ledger_worker_status_lag_records{{role="commands",topic="{cluster.prefix}.cmd"}} 1.0',
        f'ledger_worker_status_parked_events{{topic="{cluster.prefix}.parked.1"}} 1.0',
        'ledger_worker_status_refused_events{kind="dead",reason="no_rule"} 1.0',
        f'ledger_worker_status_rulebook_approved{{rulebook="{found["rulebook"]}"}} 1.0',
        "ledger_worker_status_reconciled_differences 2.0",
    ):
        assert f"{line}\n" in shown
    assert main(["status", "--reconciliation", str(report)]) == 0
    assert "2026-02-01T00:00:00+00:00: 2 differences; facts from the" in capsys.readouterr().out

    worker = cluster.start("g", "run")
    deadline = time.monotonic() + JOIN_SECONDS_MAX
    while not group_now(kafka.bootstrap_servers, f"{cluster.prefix}-g").members:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    cluster.wait_until_told(6)  # what was not read yet is posted, with a marker for each commit
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    worker.terminate()
    worker.communicate()
    assert "-g: stable, 1 member\n" in shown
    assert f"{cluster.prefix}.pay/0" in shown
    assert "predecessor_missing" not in shown  # a reason is said in words
    assert "dead, no_rule; newest " in shown
