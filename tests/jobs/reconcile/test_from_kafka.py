"""The same over Kafka: a worker's own run on the embedded broker is reconciled from its topics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.draining import drain
from tests.produced import produce
from worker.commands.cli import main
from worker.config.settings import load_settings
from worker.jobs.live.compose import open_worker, with_broker

EVENTS = 300


def test_a_drained_group_agrees_and_what_comes_later_is_in_transit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A group that has committed nothing is refused; drained it agrees but for what is dead."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{tmp_path / 'a.ledger'}")
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_HTTP__PORT", "0")
    settings = load_settings()
    topics = settings.topics
    with with_broker(settings, [topics.outbox, topics.rejected, topics.dead]) as reachable:
        servers = reachable.kafka.bootstrap_servers
        produce(reachable, skip=0, events=EVENTS)
        with open_worker(reachable, embedded_broker=True) as worker:
            drain(worker)
        monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", servers)
        capsys.readouterr()  # what the worker said
        assert main(["reconcile", "--json", "--settle-days", "9999"]) == 1
        clean = json.loads(capsys.readouterr().out)["summary"]
        assert clean["differences"] == clean["dead_letters"] > 0
        assert clean["announcements_compared"] is True
        assert sum(clean["records"][topic] for topic in topics.inputs.values()) == EVENTS
        produce(reachable, skip=EVENTS, events=EVENTS + 60)
        assert main(["reconcile", "--json", "--settle-days", "9999"]) == 1
        later = json.loads(capsys.readouterr().out)
        assert later["summary"]["differences"] == later["summary"]["dead_letters"]
        assert "in_transit" in {item["class"] for item in later["items"]}
        monkeypatch.setenv("LEDGER_WORKER_KAFKA__GROUP_ID", "another")
        assert main(["reconcile"]) == 2
        assert "the group another has committed nothing" in capsys.readouterr().err
