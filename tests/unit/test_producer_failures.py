"""What a failed transaction is taken for: aborted, unsettled, or the end of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.codecs.dead_letters import DeadLetters, record_bytes
from worker.codecs.letters import OriginalRecord, original_of
from worker.core.errors import Aborted, DependencyUnavailable, Unsettled
from worker.core.event import Dead, Reason
from worker.core.ports import Announcement, Commit, Headers, RecordPosition
from worker.jobs.archive.records import ArchivedRecord
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import (
    BATCH_BYTES_MAX,
    RENEWALS_MAX,
    RENEWALS_SECONDS,
    TransactionalProducer,
)

TRIES_MAX = 100
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
    full: so many records more find the client's queue full, until it is polled.
    """

    def __init__(self) -> None:
        self.commits: list[KafkaException | None] = []
        self.refuses: dict[bytes, KafkaError] = {}
        self.reports: dict[bytes, KafkaError] = {}
        self.made = 0
        self.written: list[list[bytes]] = []
        self.times: list[int] = []
        self.headers: Headers = []
        self.full = 0
        self.tries = 0
        self.defaults: dict[str, object] = {}

    def producer(self, _: object, defaults: dict[str, object]) -> Producing:
        self.made += 1
        self.defaults = defaults
        return Producing(self)


class Producing:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._said: list[tuple[Callable[..., None], KafkaError]] = []
        self._values: list[bytes] = []
        self._full = False

    def init_transactions(self, _: float) -> None: ...
    def begin_transaction(self) -> None: ...
    def send_offsets_to_transaction(self, *_: object) -> None: ...

    def produce(self, _topic: str, value: bytes, *_: object, **more: Any) -> None:
        self._broker.tries += 1
        assert self._broker.tries < TRIES_MAX, "a record is tried for ever"
        if self._full:
            raise BufferError
        if self._broker.full:
            self._broker.full -= 1
            self._full = True
            raise BufferError
        if value in self._broker.refuses:
            raise KafkaException(self._broker.refuses[value])
        self._values.append(value)
        if "timestamp" in more:
            self._broker.times.append(more["timestamp"])
            self._broker.headers = more["headers"]
        if value in self._broker.reports and "on_delivery" in more:
            self._said.append((more["on_delivery"], self._broker.reports[value]))

    def poll(self, _: float) -> None:
        self._full = False
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


def test_what_is_too_large_even_when_it_is_small_is_not_tried_for_ever(
    broker: Broker, announcer: TransactionalProducer
) -> None:
    """There is nothing smaller to write: the transaction fails."""
    broker.refuses = {WHOLE: TOO_LARGE, SMALL: TOO_LARGE}
    with pytest.raises(Unsettled):
        announce(announcer)
    assert broker.written == []


def test_a_full_queue_loses_nothing(broker: Broker) -> None:
    """Whoever waits for room says so, and goes on with the same record."""
    waits: list[None] = []
    announcer = TransactionalProducer(
        cast("KafkaConnection", broker), transactional_id="t",
        while_waiting=lambda: waits.append(None),
    )  # fmt: skip
    plain = [Announcement("t", b"k", b"%d" % number, []) for number in range(3)]
    for announcements, written in (
        (plain, [b"0", b"1", b"2"]),
        ([plain[0]._replace(value=b"9", otherwise=lambda: plain[1])], [b"9"]),
    ):
        broker.full, before = 3, len(waits)
        announcer.announce(announcements, [], None)
        assert broker.written.pop()[-len(written) :] == written
        assert len(waits) == before + 3
    announcer.close()


def test_who_follows_the_commits_hears_of_those_that_were_made(broker: Broker) -> None:
    """Of each once, and of none that failed."""
    heard: list[Commit] = []
    announcer = TransactionalProducer(
        cast("KafkaConnection", broker), transactional_id="t", after_commit=heard.extend
    )
    commits = [Commit("in", 0, 5, "")]
    broker.commits = [failure(aborts=True)]
    with pytest.raises(Aborted):
        announcer.announce([], commits, None)
    assert heard == []
    announcer.announce([], commits, None)
    assert heard == commits
    announcer.close()


@pytest.mark.parametrize("code", [KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH])
@pytest.mark.parametrize("yields", [True, False])
def test_a_job_gives_its_id_away_and_a_worker_takes_it_back(
    broker: Broker, code: int, *, yields: bool
) -> None:
    """Any other failure is no reason to end."""
    announcer = TransactionalProducer(
        cast("KafkaConnection", broker), transactional_id="t", yields=yields
    )
    broker.commits = [failure()]
    with pytest.raises(Unsettled):
        announce(announcer)
    said = (code, "taken", False, False, False)
    broker.commits = [KafkaException(KafkaError(*said))]
    with pytest.raises(DependencyUnavailable if yields else Unsettled):
        announce(announcer)
    assert broker.made == 3 - yields
    announcer.close()


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


def test_what_is_known_to_be_too_large_is_not_tried(broker: Broker) -> None:
    """A topic's limit is of key, value and headers together; no transaction is lost over it."""
    size = record_bytes(Announcement("t", b"k", WHOLE, []))
    for limit, written in ((size, WHOLE), (size - 1, SMALL)):
        announcer = TransactionalProducer(
            cast("KafkaConnection", broker), transactional_id="t", record_bytes_max={"t": limit}
        )
        announce(announcer)
        announcer.close()
        assert broker.written.pop() == [written]


def test_a_topic_is_sent_no_batch_that_is_larger_than_its_records(broker: Broker) -> None:
    """Many small records in one request would be too large for a topic that takes little."""
    cases: list[tuple[dict[str, int], int]] = [
        ({}, BATCH_BYTES_MAX),
        ({"a": 5_000_000}, BATCH_BYTES_MAX),
        ({"a": 5_000_000, "b": 9_000}, 9_000),
    ]
    for limits, batch in cases:
        connection = cast("KafkaConnection", broker)
        TransactionalProducer(connection, transactional_id="t", record_bytes_max=limits).close()
        assert broker.defaults["batch.size"] == batch


def test_a_record_whose_time_is_refused_is_written_with_the_brokers(
    broker: Broker, announcer: TransactionalProducer
) -> None:
    """Its letter says so and has the time in a header: a redrive gives it back."""
    broker.reports = {WHOLE: KafkaError(KafkaError.INVALID_TIMESTAMP)}
    broker.commits = [failure(aborts=True)]
    letter = DeadLetters(topic="t", group="g", rulebook_digest="d").letter(
        ArchivedRecord("in", 0, 7, b"k", WHOLE, [], 2**62), Dead(Reason.NO_RULE, ""), stage="post"
    )
    letter = letter._replace(otherwise=lambda: letter)
    with pytest.raises(Aborted):
        announcer.announce([letter], [], None)
    announcer.announce([letter], [], None)
    assert broker.times == [2**62, 0]
    headers = dict(broker.headers)
    assert headers["ledger_worker.left_out"] == b"timestamp"
    found = original_of(ArchivedRecord("t", 0, 0, b"k", WHOLE, broker.headers, 5), parked=())
    assert found == OriginalRecord(RecordPosition("in", 0, 7), b"k", WHOLE, [], 2**62)
