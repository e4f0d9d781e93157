"""One transactional producer: announcements and offsets are written together or not at all.

`announce` returns only after the commit and raises `Aborted` only after the abort. When Kafka says
neither, the caller learns the outcome of an `Unsettled` from the group's offsets.

A producer whose transaction failed is never used again, and never aborts by itself: the next one
with the same id settles what it left open, and its new epoch fences late writes. The client's own
abort drops unanswered messages and reuses their sequence numbers; a broker that had written them
takes the next messages for duplicates and confirms them, and committed records are lost (seen with
librdkafka 2.16.0). Source of the three kinds of error: librdkafka's documentation of transactions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as ClientPartition
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from worker.core.errors import Aborted, DependencyUnavailable, Unsettled
from worker.core.ports import Announcement, Commit
from worker.kafka.call_deadline import HANG_SECONDS, BoundedCalls
from worker.kafka.connection import (
    NOT_ALLOWED,
    REACH_SECONDS,
    KafkaConnection,
    client_offsets,
    not_allowed,
)
from worker.kafka.refused_records import RefusedRecords

TRY_SECONDS: Final = 5.0
"""How long one call may take before it is made again."""

OUTAGE_SECONDS_MAX: Final = 86_400.0
"""How long a broker may be away in the middle of a transaction before the process ends."""

STOPPING_SECONDS_MAX: Final = 20.0
"""How long after a signal to stop a broker that is away is waited for. The call under way then may
take 15 more: three of the client's own steps. The chart's grace is 40."""

TRANSACTION_TIMEOUT_MS: Final = 15_000
"""What a dead worker leaves open blocks read-committed readers for at most so long."""

MESSAGE_BYTES_MAX: Final = 4_194_304
"""The largest record that is written, where `kafka.client` sets no other."""

BATCH_BYTES_MAX: Final = 1_000_000
"""The most bytes of records that one request has of a partition; the client's own default. Topics
that take less are sent less."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    "compression.type": "lz4",
    # A transaction is flushed at its end; what waits until then is late.
    "linger.ms": 0,
    "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    "message.max.bytes": MESSAGE_BYTES_MAX,
    "retry.backoff.ms": 5,
    "retry.backoff.max.ms": 500,
}

RENEWALS_MAX: Final = 5
RENEWALS_SECONDS: Final = 600.0
"""More new producers than that in so many seconds, those after an abort not counted: two processes
take the id from each other."""

ANY: Final = -1
"""As a partition: by the hash of the key."""

_TAKEN_OVER: Final = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH})  # noqa: SLF001
_NO_LIMITS: Final[Mapping[str, int]] = {}
_ANY_TIME: Final[Mapping[str, tuple[int, int]]] = {}

_log = structlog.get_logger(__name__)


def _passing(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and bool(error.args[0].retriable())


class TransactionalProducer:
    """Announces in transactions under one transactional id.

    record_bytes_max: by topic the largest record that it takes; to others all are sent as they are.
    times: see `RefusedRecords`.
    side_by_side: topics of which each transaction writes to one partition, another one every time.
    after_commit: called with every commit; the embedded broker needs it.
    while_waiting: called between tries, so that a long outage does not look like a hang.
    stopping_seconds: since the signal to stop; 0.0 while none came.
    yields: stop when another process takes over the id, instead of taking it back.
    """

    def __init__(  # noqa: PLR0913 - what a producer needs
        self,
        connection: KafkaConnection,
        *,
        transactional_id: str,
        record_bytes_max: Mapping[str, int] = _NO_LIMITS,
        times: Mapping[str, tuple[int, int]] = _ANY_TIME,
        side_by_side: Iterable[str] = (),
        after_commit: Callable[[Sequence[Commit]], None] = lambda _: None,
        while_waiting: Callable[[], None] = lambda: None,
        stopping_seconds: Callable[[], float] = lambda: 0.0,
        yields: bool = False,
    ) -> None:
        self._connection = connection
        self._yields = yields
        self._after_commit = after_commit
        self._while_waiting = while_waiting
        self._stopping_seconds = stopping_seconds
        self._since = 0.0
        self._refused = RefusedRecords(record_bytes_max, times)
        limit = min(record_bytes_max.values(), default=BATCH_BYTES_MAX)
        self._defaults = {**_DEFAULTS, "batch.size": min(limit, BATCH_BYTES_MAX)}
        self._own = {
            "transactional.id": transactional_id,
            "delivery.report.only.error": True,
        }
        self._calls = BoundedCalls()
        self._renewals: list[float] = []
        self._producer = connection.producer(self._own, self._defaults)
        try:
            self._producer.init_transactions(REACH_SECONDS * 3)
        except KafkaException as error:
            raise connection.unreachable("starting the transactional producer", error) from None
        counts = {topic: self._partitions_of(topic) for topic in side_by_side}
        self._spread = {topic: count for topic, count in counts.items() if count}
        self._transactions = 0

    def _partitions_of(self, topic: str) -> int:
        """How many there are; 0 for a topic that may not be seen: writing to it says why."""
        found = self._connection.request(
            f"asking for topic {topic}", self._producer.list_topics, topic
        )
        return len(found.topics[topic].partitions)

    def announce(
        self,
        announcements: Iterable[Announcement],
        commits: Sequence[Commit],
        membership: object,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Write it all in one transaction; see the module.

        A partition that a transaction writes to costs it a request and a marker: where every key
        went to a partition of its own, a small transaction took as long as there are partitions.
        meanwhile: called while the broker commits, and once more at every retry.
        """
        self._since = time.monotonic()
        self._transactions += 1
        try:
            self._announce(announcements, commits, membership, meanwhile)
        finally:
            self._since = 0.0

    @property
    def waiting_seconds(self) -> float:
        """How long the transaction under way has taken; 0.0 when there is none.

        The consumer is not polled meanwhile, so it does not hear of an outage.
        """
        since = self._since
        return time.monotonic() - since if since else 0.0

    def _announce(
        self,
        announcements: Iterable[Announcement],
        commits: Sequence[Commit],
        membership: object,
        meanwhile: Callable[[], None],
    ) -> None:
        producer = self._producer
        offsets = client_offsets(commits)
        try:
            self._calmly(producer.begin_transaction)
            self._produce(announcements)
            self._calmly(_commit(producer, offsets, membership), meanwhile=meanwhile)
        except KafkaException as error:
            self._recover(error.args[0])
        self._refused.clear()
        self._after_commit(commits)

    def _calmly(
        self,
        call: Callable[..., object],
        *arguments: object,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """The same call again while Kafka says it may pass; one that hangs is given up."""

        def waiting(_: object) -> None:
            self._while_waiting()

        for attempt in Retrying(
            retry=retry_if_exception(_passing),
            stop=self._given_up,
            wait=wait_random_exponential(multiplier=0.02, max=1.0),
            before_sleep=waiting,
            reraise=True,
        ):
            with attempt:
                self._calls.within(HANG_SECONDS, call, *arguments, meanwhile=meanwhile)

    def _given_up(self, tries: RetryCallState) -> bool:
        waited = tries.seconds_since_start or 0.0
        return waited >= OUTAGE_SECONDS_MAX or self._must_stop

    @property
    def _must_stop(self) -> bool:
        return self._stopping_seconds() >= STOPPING_SECONDS_MAX

    def _produce(self, announcements: Iterable[Announcement]) -> None:
        """A flat loop: it runs for every leg; positional arguments cost the client less."""
        produce: Callable[..., None] = self._producer.produce
        chosen = {topic: self._transactions % count for topic, count in self._spread.items()}
        for announcement in announcements:
            topic, key, value, headers, timestamp_ms, otherwise = announcement
            if otherwise is not None:
                self._produce_whole(announcement)
                continue
            partition = chosen.get(topic, ANY)
            while True:
                try:
                    produce(topic, value, key, partition, None, None, timestamp_ms, headers)
                    break
                except BufferError:
                    self._make_room()

    def _produce_whole(self, announcement: Announcement) -> None:
        """Write a record as it is, or what its topic takes of it."""
        written = self._refused.instead_of(announcement)
        while True:
            try:
                self._producer.produce(
                    written.topic,
                    written.value,
                    written.key,
                    headers=list(written.headers),
                    timestamp=written.timestamp_ms,
                    on_delivery=self._refused.watcher(announcement),
                )
            except BufferError:
                self._make_room()
            except KafkaException as error:
                if not self._refused.note(announcement, error.args[0]):
                    raise
                written = self._refused.instead_of(announcement)
            else:
                return

    def _make_room(self) -> None:
        """Wait until the client has sent some of its queue."""
        self._while_waiting()
        self._producer.poll(0.1)

    def _recover(self, cause: KafkaError) -> NoReturn:
        """Go on with a new producer; aborted, or do the group's offsets decide?"""
        if self._must_stop:
            raise DependencyUnavailable(
                "Kafka did not answer after the signal to stop: what was under way is dropped, and"
                " whoever starts next goes on from the last commit"
            ) from None
        if cause.code() in NOT_ALLOWED:
            raise not_allowed("writing announcements and offsets", cause) from None
        if self._yields and cause.code() in _TAKEN_OVER:
            raise DependencyUnavailable(
                "another process took over this transactional id, or Kafka gave this one up for its"
                " slowness: the same command goes on where this one stopped"
            ) from None
        if cause.txn_requires_abort():
            _log.warning("kafka_transaction_aborted", error=cause.name())
            self._producer.poll(0)  # says which records were refused
            self._replace()
            raise Aborted(cause.name()) from None
        self._count_renewal(cause)
        _log.warning("kafka_producer_renewed", error=cause.name())
        self._replace()
        raise Unsettled(cause.name()) from None

    def _count_renewal(self, cause: KafkaError) -> None:
        """Allow a new producer, but not `RENEWALS_MAX` of them within `RENEWALS_SECONDS`.

        The broker refuses one whose transaction took too long. Where a call never returned, its
        thread keeps the old producer, which the new one fences.
        """
        now = time.monotonic()
        self._renewals = [at for at in self._renewals if now - at < RENEWALS_SECONDS]
        if len(self._renewals) >= RENEWALS_MAX:
            raise self._end(cause) from None
        self._renewals.append(now)

    def _replace(self) -> None:
        """The new producer takes over the id, and so ends whatever was open, before it answers."""
        self._producer = self._connection.producer(self._own, self._defaults)
        try:
            self._calmly(self._producer.init_transactions, TRY_SECONDS)
        except KafkaException as failed:
            raise self._end(failed.args[0]) from None

    def _end(self, cause: KafkaError) -> DependencyUnavailable:
        if cause.code() in _TAKEN_OVER:
            return DependencyUnavailable(
                "another process takes over this transactional id (kafka.transactional_id) again"
                " and again: each running worker needs its own"
            )
        return DependencyUnavailable(f"Kafka would not go on with the transaction: {cause.str()}")

    def close(self) -> None:
        """Nothing is left to send: every transaction was committed or aborted."""
        deadline = time.monotonic() + TRY_SECONDS
        try:
            while len(self._producer) and time.monotonic() < deadline:
                self._producer.poll(0.1)
        except KafkaException as error:
            _log.warning("kafka_producer_closed", error=error.args[0].name())
        self._calls.close()


def _commit(
    producer: Producer, offsets: list[ClientPartition], membership: object
) -> Callable[[], None]:
    """Offsets into the transaction, then its end, in one call that can be made again."""
    sent = False

    def commit() -> None:
        nonlocal sent
        if not sent:
            producer.send_offsets_to_transaction(offsets, membership, TRY_SECONDS)
            sent = True
        producer.commit_transaction(TRY_SECONDS)

    return commit
