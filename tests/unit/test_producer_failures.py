"""What a failed transaction is taken for: aborted, unsettled, or the end of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.core.errors import Aborted, DependencyUnavailable, Unsettled
from worker.core.ports import Announcement
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import RENEWALS_MAX, RENEWALS_SECONDS, TransactionalProducer

WHOLE, SMALL = b"a whole record", b"too large"
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
INVALID = KafkaError(KafkaError.INVALID_RECORD)


def failure(*, aborts: bool = False) -> KafkaException:
    """A failed call; aborts: Kafka says that the transaction is to be aborted."""
    said = (KafkaError.INVALID_TXN_STATE, "failed", False, False, aborts)
    return KafkaException(KafkaError(*said))


class Broker:
    """Makes producers, and fails as it is told.

    commits: what each commit raises; None lets it be.
    refuses: what the client says of a record of this value at once.
    reports: what the broker says of it afterwards.
    """

    def __init__(self) -> None:
        self.commits: list[KafkaException | None] = []
        self.refuses: dict[bytes, KafkaError] = {}
        self.reports: dict[bytes, KafkaError] = {}
        self.made = 0
        self.written: list[list[bytes]] = []

    def producer(self, *_: object) -> Producing:
        self.made += 1
        return Producing(self)


class Producing:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._said: list[tuple[Callable[..., None], KafkaError]] = []
        self._values: list[bytes] = []

    def init_transactions(self, _: float) -> None: ...
    def begin_transaction(self) -> None: ...
    def send_offsets_to_transaction(self, *_: object) -> None: ...

    def produce(self, _topic: str, value: bytes, *_: object, **more: Any) -> None:
        if value in self._broker.refuses:
            raise KafkaException(self._broker.refuses[value])
        self._values.append(value)
        if value in self._broker.reports and "on_delivery" in more:
            self._said.append((more["on_delivery"], self._broker.reports[value]))

    def poll(self, _: float) -> None:
        for watcher, error in self._said:
            watcher(error, None)

    def commit_transaction(self, _: float) -> None:
        failed = self._broker.commits.pop(0) if self._broker.commits else None
        if failed is not None:
            raise failed
        self._broker.written.append(self._values)

    def __len__(self) -> int:
        return 0


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def announcer(broker: Broker) -> Iterator[TransactionalProducer]:
    made = TransactionalProducer(cast("KafkaConnection", broker), transactional_id="t")
    yield made
    made.close()


def announce(announcer: TransactionalProducer) -> None:
    small = Announcement("dead", None, SMALL, [])
    announcer.announce([Announcement("t", b"k", WHOLE, [], 0, lambda: small)], [], None)


def test_only_what_kafka_calls_aborted_is_aborted(
    broker: Broker, announcer: TransactionalProducer
) -> None:
    """Of every other failure nobody knows whether it was written: the group is asked."""
    broker.commits = [failure(aborts=True), failure()]
    with pytest.raises(Aborted):
        announce(announcer)
    with pytest.raises(Unsettled):
        announce(announcer)
    assert broker.made == 3
    announce(announcer)
    assert broker.written == [[WHOLE]]


def test_renewals_have_an_end_and_aborts_do_not_count(
    broker: Broker, announcer: TransactionalProducer
) -> None:
    """RENEWALS_MAX of them, and the next one ends the process."""
    for _ in range(RENEWALS_MAX):
        broker.commits = [failure(aborts=True), failure()]
        with pytest.raises(Aborted):
            announce(announcer)
        with pytest.raises(Unsettled):
            announce(announcer)
    broker.commits = [failure()]
    with pytest.raises(DependencyUnavailable):
        announce(announcer)


def test_renewals_of_long_ago_do_not_count(
    broker: Broker, announcer: TransactionalProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those of the last RENEWALS_SECONDS."""
    now = 1000.0
    for _ in range(3 * RENEWALS_MAX):
        now += RENEWALS_SECONDS / RENEWALS_MAX
        monkeypatch.setattr("worker.kafka.producer.time.monotonic", lambda at=now: at)
        broker.commits = [failure()]
        with pytest.raises(Unsettled):
            announce(announcer)


def test_what_the_client_finds_too_large_is_written_small(
    broker: Broker, announcer: TransactionalProducer
) -> None:
    """At once, in the same transaction; another refusal is no reason to lose the record."""
    broker.refuses = {WHOLE: TOO_LARGE}
    announce(announcer)
    assert broker.written == [[SMALL]]
    broker.refuses = {WHOLE: INVALID}
    with pytest.raises(Unsettled):
        announce(announcer)
    broker.refuses = {}
    announce(announcer)
    assert broker.written == [[SMALL], [WHOLE]]


@pytest.mark.parametrize(("said", "written"), [(TOO_LARGE, SMALL), (INVALID, WHOLE)])
def test_what_the_broker_finds_too_large_is_written_small_after_the_abort(
    broker: Broker, announcer: TransactionalProducer, said: KafkaError, written: bytes
) -> None:
    """Once: it is not sent for ever; and what was refused for another reason is sent whole."""
    broker.reports, broker.commits = {WHOLE: said}, [failure(aborts=True)]
    with pytest.raises(Aborted):
        announce(announcer)
    announce(announcer)
    assert broker.written == [[written]]
