"""A rulebook that leaves out what its group has posted stops the start with one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer
from structlog.testing import capture_logs

from worker.commands.cli import main
from worker.config.settings import load_settings
from worker.jobs.live import posted_types
from worker.jobs.live.posted_types import require_posted_types, unanswered_types
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.kafka.topic_reader import open_topic_reader
from worker.rulebooks.load import load

RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
accounts:
  bank: {code: 1, type: asset}
  fees: {code: 2, type: revenue}
transactions:
  paid:
    on: paid.*
    currency: usd
    transfers: {all: {debit: bank, credit: fees, amount: 1, code: 1}}
"""


class Outbox:
    """A broker with every topic; announcements are written to its outbox."""

    def __init__(self) -> None:
        self.broker = EmbeddedBroker()
        self.settings = load_settings()

    def make_topics(self) -> None:
        """All that `run` asks for."""
        topics = self.settings.topics
        outputs = [topics.outbox, topics.rejected, topics.dead, *topics.parked_topics]
        self.broker.make_topics([*topics.inputs.values(), *outputs])

    def announce(self, *types: str, group: str = "ledger-worker", partition: int = 0) -> None:
        """Announcements of posted events of these types, by a group."""
        producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap_servers})
        for kind in types:
            fields = {"transfer_id": "1", "ledger_timestamp": "1", "event_type": kind}
            producer.produce(
                self.settings.topics.outbox,
                json.dumps(fields).encode(),
                b"evt_1",
                partition=partition,
                headers=[("ce_source", f"/ledger-worker/{group}".encode())],
            )
        assert producer.flush(10) == 0

    def unanswered(self) -> list[str]:
        """What the rulebook no longer answers."""
        with open_topic_reader(self.settings) as reader:
            return unanswered_types(self.settings, reader, load(Path("rules.yaml")))


@pytest.fixture(name="outbox")
def _outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES)
    made = Outbox()
    for name, value in {
        "RULEBOOK": "rules.yaml",
        "KAFKA__BOOTSTRAP_SERVERS": made.broker.bootstrap_servers,
        "LEDGER__ADDRESSES": "embedded:ledger",
        "HTTP__PORT": "0",
    }.items():
        monkeypatch.setenv(f"LEDGER_WORKER_{name}", value)
    made.settings = load_settings()
    made.make_topics()
    return made


def test_types_that_were_posted_and_have_no_rule_any_more_are_named(outbox: Outbox) -> None:
    """Of every partition, each once; what a glob of a rule answers is not among them."""
    assert outbox.unanswered() == []
    outbox.announce("paid.in", "tip", "tip")
    outbox.announce("gift", partition=1)
    assert outbox.unanswered() == ["gift", "tip"]


def test_what_others_announced_is_their_business(outbox: Outbox) -> None:
    """Another group's types, and records that no worker wrote, stop nobody."""
    outbox.announce("tip", group="ledger-worker-replay-x")
    junk = Producer({"bootstrap.servers": outbox.settings.kafka.bootstrap_servers})
    junk.produce(outbox.settings.topics.outbox, b"junk")
    assert junk.flush(10) == 0
    assert outbox.unanswered() == []


def test_only_the_newest_announcements_are_read(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the limit says, so that a start takes no longer with a longer outbox."""
    monkeypatch.setattr(posted_types, "TAIL_RECORDS", 2)
    outbox.announce("gift", "tip", "paid.in")
    assert outbox.unanswered() == ["tip"]


def test_run_stops_unless_it_is_accepted(
    outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 and one sentence that names the types; accepted, they stand in the log."""
    outbox.announce("tip")
    assert main(["run", "--drain"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "books no tip" in said
    assert "--accept-smaller" in said
    rulebook = load(Path("rules.yaml"))
    with open_topic_reader(outbox.settings) as reader, capture_logs() as logs:
        require_posted_types(outbox.settings, reader, rulebook, accept_smaller=True)
    assert [(one["event"], one["types"]) for one in logs] == [("rulebook_smaller", ["tip"])]
