"""A member of the consumer group. Offsets are committed in the producer's transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as ClientPartition
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from worker.core.assignment import Opening
from worker.core.errors import DependencyUnavailable
from worker.core.ports import Commit, GroupLook, Polled, Record, TopicPartition
from worker.kafka.connection import (
    FOR_GOOD,
    NOT_ALLOWED,
    REACH_SECONDS,
    KafkaConnection,
    client_offsets,
    not_allowed,
    passing,
)
from worker.kafka.group_offsets import GroupOffsets
from worker.kafka.messages import readable

CALM_SECONDS_MAX: Final = 60.0
"""How long a call that must succeed is tried again and again."""

LOOK_EVERY_SECONDS: Final = 2.0

_DEFAULTS: Final[Mapping[str, Any]] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 32_768,
    "fetch.wait.max.ms": 100,
    # A full queue is drained in less than a second; the client would not fetch again until then.
    "fetch.queue.backoff.ms": 20,
    # Added partitions are seen by the next look at the topics; the client's own is after 5 minutes.
    "topic.metadata.refresh.interval.ms": 20_000,
}

_MOVING: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)
"""The group is between two assignments; only polling goes on from there."""

_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001

_log = structlog.get_logger(__name__)


class Consumer:
    """Consumes the input topics as one member of the group.

    parked: those of the topics whose records wait until they are due.
    while_waiting: called between tries, so that a slow broker does not look like a hang.
    """

    def __init__(  # noqa: PLR0913 - who it is, and what it reads
        self,
        connection: KafkaConnection,
        *,
        group: str,
        topics: Sequence[str],
        parked: Sequence[str] = (),
        instance: str = "",
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._while_waiting = while_waiting
        self._connection = connection
        self._topics = topics
        self._parked = parked
        self._looked_for_brokers_at = 0.0
        self._lost: list[TopicPartition] = []
        self.sessions_lost = 0
        """How often partitions were lost with the session, not handed over."""
        self._gained: list[TopicPartition] = []
        own = {
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
        member = {"group.instance.id": instance} if instance else {}
        self._consumer = connection.consumer(group, {**own, **member}, _DEFAULTS)
        self._group_offsets = GroupOffsets(connection.consumer(group, own, _DEFAULTS), connection)
        self._input_partitions = self._partitions_of_inputs()
        self.read_inputs(reading=True)

    def read_inputs(self, *, reading: bool) -> None:
        """Take part in reading the inputs, or leave them to other members and keep to parked ones.

        With the cooperative protocol only what changes hands is revoked.
        """
        self._consumer.subscribe(
            list(self._topics if reading else self._parked),
            on_assign=_recorder(self._gained),
            on_revoke=_recorder(self._lost),
            on_lost=self._expired,
        )

    @property
    def input_partitions(self) -> Sequence[TopicPartition]:
        """Every partition that is read, without those of parked topics."""
        return [each for each in self._input_partitions if each[0] not in self._parked]

    def look(self) -> GroupLook | None:
        """Where the group is on the input partitions; None: not known yet, ask again."""
        return self._group_offsets.look(self.input_partitions)

    def _expired(self, _: object, partitions: list[ClientPartition]) -> None:
        self.sessions_lost += 1
        self._lost.extend((partition.topic, partition.partition) for partition in partitions)

    def _partitions_of_inputs(self) -> list[TopicPartition]:
        """Every partition of the input topics; a missing topic is said by name."""
        partitions: list[TopicPartition] = []
        for topic in self._topics:
            found = self._request("asking for the topics", self._consumer.list_topics, topic)
            about = found.topics[topic]
            if about.error is not None:
                raise DependencyUnavailable(
                    f"Kafka topic {topic} cannot be read: {about.error.str()}; "
                    "`ledger-worker doctor` lists what is missing"
                )
            partitions.extend((topic, number) for number in about.partitions)
        return partitions

    def _request(self, doing: str, call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        try:
            return self._patiently(call, *arguments, timeout=REACH_SECONDS)
        except KafkaException as error:
            raise self._connection.unreachable(doing, error) from None

    def _patiently(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """The same call again while it may yet succeed."""
        tries = Retrying(
            retry=retry_if_exception(passing),
            stop=stop_after_delay(CALM_SECONDS_MAX),
            wait=wait_random_exponential(multiplier=0.05, max=2.0),
            before_sleep=lambda _: self._while_waiting(),
            reraise=True,
        )
        return tries(call, *arguments, **named)

    # Polling

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        """Wait for one record, then take what else is there."""
        consume = self._consumer.consume
        try:
            messages = consume(1, timeout_seconds) if timeout_seconds else []
            if len(messages) < records_max and (messages or not timeout_seconds):
                messages += consume(records_max - len(messages), 0)
        except KafkaException as error:
            raise self._connection.unreachable("consuming", error) from None
        if self._connection.trouble.down_since:
            self._look_for_brokers()
        records, ends = self._sorted(messages)
        lost, gained = self._lost[:], self._gained[:]
        self._lost.clear()
        self._gained.clear()
        if lost or gained:
            self._group_offsets.forget((*lost, *gained))
        return Polled(records, lost, gained, ends)

    def _sorted(self, messages: list[Message]) -> tuple[list[Record], dict[TopicPartition, int]]:
        records: list[Record] = []
        ends: dict[TopicPartition, int] = {}
        for message in messages:
            error = message.error()
            if error is None:
                records.append(readable(message))
            elif error.code() == _END:
                ends[str(message.topic()), int(message.partition() or 0)] = int(
                    message.offset() or 0
                )
            else:
                self._note(error)
        return records, ends

    def _note(self, error: KafkaError) -> None:
        """Raise what will not pass by itself; after anything else the client tries again."""
        if error.code() in NOT_ALLOWED:
            raise not_allowed("reading the input topics", error)
        if error.fatal() or error.code() in FOR_GOOD:
            raise DependencyUnavailable(f"Kafka refused to serve the input topics: {error.str()}")
        _log.warning("kafka_consumer", error=error.name())

    @property
    def joined(self) -> bool:
        """A member has an id from its coordinator."""
        return bool(self._consumer.memberid())

    @property
    def waiting_seconds(self) -> float:
        """Since all brokers were found down."""
        since = self._connection.trouble.down_since
        return time.monotonic() - since if since else 0.0

    def _look_for_brokers(self) -> None:
        """All were down: one that answers ends the outage; tried now and then."""
        now = time.monotonic()
        if now - self._looked_for_brokers_at < LOOK_EVERY_SECONDS:
            return
        self._looked_for_brokers_at = now
        try:
            self._consumer.list_topics(self._topics[0], timeout=1.0)
        except KafkaException:
            _log.debug("kafka_still_down")
        else:
            self._connection.trouble.clear()

    # Offsets

    def opening(self, partition: TopicPartition) -> Opening | None:
        """The group's commit against the partition's watermarks; None: not yet, ask again."""
        return self._group_offsets.opening(partition)

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Has the group committed these offsets? Asked now and then."""
        return self._group_offsets.reached(ends)

    def watermarks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """First offset and end of every input partition, from the broker."""
        ask, doing = self._consumer.get_watermark_offsets, "asking for watermarks"
        return {
            partition: self._request(doing, ask, ClientPartition(*partition))
            for partition in self._input_partitions
        }

    def lag(self, partition: TopicPartition, offset: int) -> int | None:
        """From the watermark that came with the last fetch: costs no request."""
        _, high = self._consumer.get_watermark_offsets(ClientPartition(*partition), cached=True)
        return max(0, high - offset) if high >= 0 else None

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        """Read from here on; False while the partition's fetcher has not started, or has ended."""
        try:
            self._consumer.seek(ClientPartition(*partition, offset))
        except KafkaException as error:
            if not passing(error):
                raise self._connection.unreachable("seeking", error) from None
            _log.debug("kafka_not_placed", error=error.args[0].name())
            return False
        return True

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Paused partitions are still ours, and polling keeps them so."""
        self._consumer.pause([ClientPartition(*partition) for partition in partitions])

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch again."""
        self._consumer.resume([ClientPartition(*partition) for partition in partitions])

    def membership(self) -> object:
        """Generation and member id as of now (KIP-447)."""
        return self._consumer.consumer_group_metadata()

    def commit(self, commits: Sequence[Commit]) -> None:
        """Only for the embedded broker, which forgets offsets that come in a transaction."""
        self._commit(commits)

    def try_commit(self, commits: Sequence[Commit]) -> bool:
        """Commit outside any transaction, for a group that writes to no topic.

        False: the group is changing, and nothing was committed.
        """
        try:
            return bool(self._patiently(self._commit_unless_moving, commits))
        except KafkaException as error:
            raise self._connection.unreachable("committing offsets", error) from None

    def _commit_unless_moving(self, commits: Sequence[Commit]) -> bool:
        try:
            self._commit(commits)
        except KafkaException as error:
            if error.args[0].code() not in _MOVING:
                raise
            _log.warning("kafka_commit_refused", error=error.args[0].name())
            return False
        return True

    def _commit(self, commits: Sequence[Commit]) -> None:
        offsets = client_offsets(commits)
        for answer in self._consumer.commit(offsets=offsets, asynchronous=False) or ():
            if answer.error is not None:
                raise KafkaException(answer.error)

    def close(self) -> None:
        """Leave the group, when nobody asks any more."""
        self._group_offsets.close()
        self._consumer.close()


def _recorder(into: list[TopicPartition]) -> Callable[[Any, list[ClientPartition]], None]:
    def record(_: Any, partitions: list[ClientPartition]) -> None:  # noqa: ANN401
        into.extend((partition.topic, partition.partition) for partition in partitions)

    return record
