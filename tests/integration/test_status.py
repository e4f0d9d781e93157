"""`status` on real servers: after a run with every outcome, with and without a member."""

from __future__ import annotations

import json
import time

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
) -> None:
    """Lag, parked events and when they are due, letters by reason, members and their partitions."""
    cluster = run_with_every_outcome(kafka, ledger, monkeypatch)
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
