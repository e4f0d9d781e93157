"""A drain takes up the parked events that are due, and waits for none that is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.draining import drain
from tests.jobs.replay.lost import BEGAN, RULES, TOPIC
from worker.config.settings import Settings, load_settings
from worker.jobs.live.compose import open_worker, with_broker
from worker.jobs.live.drain import due_ends
from worker.kafka.plain_producer import open_plain_producer
from worker.kafka.topic_reader import open_topic_reader
from worker.ledger.embedded import EmbeddedLedger

DELAYS_SECONDS = (1, 3600)
FAST = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}


@pytest.fixture(name="broker")
def _broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES)
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", "rules.yaml")
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_HTTP__PORT", "0")
    monkeypatch.setenv("LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS", json.dumps(DELAYS_SECONDS))
    # The embedded broker keeps a member that left for this long.
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__CLIENT", json.dumps(FAST))
    settings = load_settings()
    topics = settings.topics
    with with_broker(settings, [topics.outbox, topics.rejected, topics.dead]) as reachable:
        yield reachable


def produce(settings: Settings, number: str, kind: str, **fields: Any) -> None:
    """One event on the input topic."""
    event = {"id": number, "type": kind, "created": BEGAN, "data": {"object": fields}}
    producer = open_plain_producer(settings)
    producer.publish(topic=TOPIC, key=b"k", value=json.dumps(event).encode(), timestamp_ms=0)
    producer.flush(10)


def drained(settings: Settings, ledger: EmbeddedLedger) -> dict[str, int]:
    """The outcomes of `run --drain`."""
    with open_worker(settings, ledger=ledger, embedded_broker=True) as worker:
        drain(worker)
        return dict(worker.observer.outcomes)


def test_a_repeated_drain_takes_up_what_is_due(broker: Settings) -> None:
    """Parked by one drain, an event is tried by the first one after its delay, and by no other."""
    ledger = EmbeddedLedger()
    produce(broker, "b1", "back", of="f1", amount=10)
    assert drained(broker, ledger) == {"parked": 1}
    time.sleep(DELAYS_SECONDS[0] + 0.1)
    assert drained(broker, ledger) == {"parked": 1}
    now_ms = time.time_ns() // 1_000_000
    with open_topic_reader(broker) as reader:
        assert due_ends(broker, reader, now_ms) == {}
        later_ms = now_ms + DELAYS_SECONDS[1] * 1000
        ((partition, end),) = due_ends(broker, reader, later_ms).items()
    assert (partition[0], end) == (broker.topics.parked_topics[1], 1)
