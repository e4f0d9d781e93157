"""The announcer in an outage: it is seen to wait, and a signal to stop ends the wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.core.errors import DependencyUnavailable
from worker.core.ports import Announcement, Commit
from worker.kafka.connection import KafkaConnection
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.kafka.producer import STOPPING_SECONDS_MAX, TransactionalProducer

TIMED_OUT = (KafkaError._TIMED_OUT, "away", False, True, False)
NOT_ALLOWED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, "not yours", False, False, True)


class Producing:
    """A producer whose every attempt to commit fails in the same way."""

    def __init__(self, error: tuple[Any, ...]) -> None:
        self._error = error

    def begin_transaction(self) -> None: ...
    def produce(self, *_: Any, **__: Any) -> None: ...
    def send_offsets_to_transaction(self, *_: Any) -> None: ...

    def commit_transaction(self, *_: Any) -> None:
        raise KafkaException(KafkaError(*self._error))

    def poll(self, _: float) -> None: ...
    def __len__(self) -> int:
        return 0


@pytest.fixture
def waits() -> list[float]:
    """How long it had waited each time it said that it waits."""
    return []


@pytest.fixture
def announcer(waits: list[float]) -> Iterator[TransactionalProducer]:
    """One that was told to stop after three tries, and long ago then."""
    broker = EmbeddedBroker()
    made = TransactionalProducer(
        KafkaConnection(broker.bootstrap_servers),
        transactional_id="t",
        while_waiting=lambda: waits.append(made.waiting_seconds),
        stopping_seconds=lambda: STOPPING_SECONDS_MAX if len(waits) >= 3 else 0.0,
    )
    yield made
    made.close()


def announce(announcer: TransactionalProducer, error: tuple[Any, ...]) -> str:
    """What it says when its transaction fails so."""
    vars(announcer)["_producer"] = Producing(error)
    with pytest.raises(DependencyUnavailable) as ended:
        announcer.announce([Announcement("out", b"k", b"v", [])], [Commit("in", 0, 1, "")], None)
    return str(ended.value)


def test_a_signal_to_stop_ends_the_wait_for_a_broker(
    announcer: TransactionalProducer, waits: list[float]
) -> None:
    """A broker that is away is waited for, visibly, until the signal to stop is too long ago."""
    said = announce(announcer, TIMED_OUT)
    assert said.startswith("Kafka did not answer after the signal to stop")
    assert len(waits) == 3
    assert waits[0] > 0
    assert announcer.waiting_seconds == 0.0


class Hesitating(Producing):
    """A producer that commits at the third try."""

    def __init__(self) -> None:
        super().__init__(TIMED_OUT)
        self.called: list[str] = []

    def send_offsets_to_transaction(self, *_: Any) -> None:
        self.called.append("offsets")
        if len(self.called) == 1:
            super().commit_transaction()

    def commit_transaction(self, *_: Any) -> None:
        self.called.append("commit")
        if self.called.count("commit") < 3:
            super().commit_transaction()


def test_a_step_that_was_done_is_not_done_again(announcer: TransactionalProducer) -> None:
    """Once the offsets are in the transaction, only its end is asked for again."""
    producer = Hesitating()
    vars(announcer)["_producer"] = producer
    vars(announcer)["_stopping_seconds"] = lambda: 0.0
    done: list[str] = []
    announcer.announce([], [Commit("in", 0, 1, "")], None, lambda: done.append("meanwhile"))
    assert producer.called == ["offsets", "offsets", "commit", "commit", "commit"]
    assert done


def test_a_missing_grant_is_no_reason_to_try_again(
    announcer: TransactionalProducer, waits: list[float]
) -> None:
    """Who may not write is told so at once, and does not read the same records for ever."""
    said = announce(announcer, NOT_ALLOWED)
    assert said.startswith("Kafka refused us while writing announcements and offsets: not yours;")
    assert waits == []
