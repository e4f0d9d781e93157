"""`ledger-worker replay`: what it refuses before it touches anything."""

from __future__ import annotations

import pytest

from worker.commands.cli import main
from worker.kafka.embedded_broker import EmbeddedBroker


def test_announcing_to_a_topic_that_is_not_there_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command stops before it opens the ledger, and says which topic to make."""
    broker = EmbeddedBroker()
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    assert main(["replay", "--announce-only", "--outbox", "nowhere"]) == 3
    del broker
    said = capsys.readouterr().err
    assert "topic nowhere does not exist, or may not be seen: make it first" in said
    assert said.count("\n") == 1
