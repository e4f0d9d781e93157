"""A worker whose registry is away: one partition waits, the others go on, and nothing dies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.contract.payment_schema import payment_schema
from tests.contract.test_writer_schemas import CHARGE, written
from tests.draining import drain
from tests.servers.registry import TestRegistry, registry_server
from worker.config.settings import Settings, load_settings
from worker.jobs.live.compose import Worker, open_worker, with_broker
from worker.jobs.live.run import Stop, work
from worker.ledger.embedded import EmbeddedLedger

SUBJECT = "stripe.payments-value"
PATIENCE_SECONDS = 60


@pytest.fixture(name="registry")
def _registry() -> Iterator[TestRegistry]:
    with registry_server() as server:
        yield server


@pytest.fixture(name="settings")
def _settings(
    registry: TestRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "embedded")
    monkeypatch.setenv("LEDGER_WORKER_HTTP__PORT", "0")
    monkeypatch.setenv("LEDGER_WORKER_SCHEMA_REGISTRY__URL", registry.url)
    settings = load_settings()
    topics = settings.topics
    with with_broker(settings, [topics.outbox, topics.rejected, topics.dead]) as reachable:
        yield reachable


def charge(number: int) -> dict[str, object]:
    told = {**CHARGE["data"]["object"], "id": f"ch_{number}"}
    return {**CHARGE, "id": f"evt_{number}", "data": {"object": told}}


def test_one_partition_waits_and_the_others_go_on(
    settings: Settings, registry: TestRegistry
) -> None:
    """Avro with an id that is not known yet, between JSON: all are posted once, in their order."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    topic = settings.topics.inputs["payments"]
    avro = written(payment_schema(), charge(1), schema_id=100)
    for partition, value in (
        (0, json.dumps(charge(0)).encode()),
        (0, avro),
        (0, json.dumps(charge(2)).encode()),
        (1, json.dumps(charge(3)).encode()),
        (2, json.dumps(charge(4)).encode()),
    ):
        producer.produce(topic, value, partition=partition)
    assert producer.flush(30) == 0
    registry.down = True
    with open_worker(settings, ledger=EmbeddedLedger(), embedded_broker=True) as worker:
        outcomes = worker.observer.outcomes
        _run_until(worker, lambda: outcomes.get("posted", 0) == 3)
        until = time.monotonic() + 2
        _run_until(worker, lambda: time.monotonic() > until)
        assert dict(outcomes) == {"posted": 3}
        registry.down = False
        until = time.monotonic() + 2
        _run_until(worker, lambda: time.monotonic() > until)
        assert dict(outcomes) == {"posted": 3}
        registry.hold(SUBJECT, json.dumps(payment_schema()))
        drain(worker)
        assert dict(outcomes) == {"posted": 5}


def _run_until(worker: Worker, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS

    def ended() -> bool:
        assert time.monotonic() < deadline, "it did not come"
        return done()

    work(worker, stop=Stop(), done=ended)
