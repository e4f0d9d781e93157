"""Reads topics from a time or their start to the end seen now, in no group.

It gives every record of a range, or reports which offsets are gone. A transaction's markers leave
holes in the offsets that are no records.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.ports import Record, RecordPosition, TopicPartition, position_of
from worker.kafka.connection import REACH_SECONDS, KafkaConnection, connection_of
from worker.kafka.messages import readable
from worker.kafka.offsets import TopicOffsets

SILENT_SECONDS_MAX: Final = 60.0
"""How long the broker may send nothing before the end is reached."""

CHUNK: Final = 5000
FETCH_WAIT_MS: Final = 10
"""A broker answers in order: while it keeps a fetch open, every other request waits behind it."""

POLL_SECONDS: Final = 0.05
"""How long a call waits for a whole chunk; every range ends with such a wait."""

GROUP: Final = "ledger-worker-reader"


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets of one partition that are read.

    start: the first of them.
    end: the one after the last.
    """

    start: int
    end: int


def count_offsets(ranges: Mapping[TopicPartition, OffsetRange]) -> int:
    """How many offsets there are in all of these."""
    return sum(offsets.end - offsets.start for offsets in ranges.values())


RUN_GAP_MAX: Final = 500
"""Wanted offsets that are nearer to each other are read in one go, with what is between them."""


class TopicReader:
    """A reader of whole topics; made by `open_topic_reader`.

    offsets: what the broker says of the topics' offsets.
    unchecked: topics of which the broker did not say whether they are compacted.
    """

    def __init__(
        self, connection: KafkaConnection, offsets: type[TopicOffsets] = TopicOffsets
    ) -> None:
        self.unchecked: list[str] = []
        self._connection = connection
        self._consumer = connection.consumer(
            GROUP,
            {
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": FETCH_WAIT_MS,
            },
        )
        self.offsets = offsets(connection, self._consumer)

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()

    def ranges(self, topics: Sequence[str], *, start_ms: int) -> dict[TopicPartition, OffsetRange]:
        """What to read of these topics.

        start_ms: from the first record of this time or later; 0: from the very first.

        Raises:
            DependencyUnavailable: a topic is not there, or the broker does not answer.
            UsageError: records of the range are gone, by retention or compaction.
        """
        partitions = self.offsets.partitions(topics)
        found = {partition: self._range(partition, start_ms) for partition in partitions}
        self._refuse_compacted(topics)
        return found

    def whole(self, topics: Sequence[str]) -> dict[TopicPartition, OffsetRange]:
        """All that these topics still hold.

        Raises:
            DependencyUnavailable: a topic is not there, or the broker does not answer.
        """
        bounds = self.offsets.bounds(self.offsets.partitions(topics))
        return {partition: OffsetRange(*bound) for partition, bound in bounds.items()}

    def at(self, wanted: Iterable[RecordPosition]) -> dict[RecordPosition, Record]:
        """The records at these positions; what is gone, or was never there, is left out."""
        offsets: dict[TopicPartition, list[int]] = {}
        for topic, number, offset in sorted(set(wanted)):
            offsets.setdefault((topic, number), []).append(offset)
        existing = self.offsets.existing()
        runs = {
            partition: _runs(offsets[partition], self.offsets.watermarks(partition))
            for partition in offsets
            if partition in existing.get(partition[0], ())
        }
        found: dict[RecordPosition, Record] = {}
        while any(runs.values()):
            now = {partition: left.pop() for partition, left in runs.items() if left}
            for record in self.read(now):
                found[position_of(record)] = record
        positions = (
            RecordPosition(*partition, offset)
            for partition in offsets
            for offset in offsets[partition]
        )
        return {position: found[position] for position in positions if position in found}

    def _range(self, partition: TopicPartition, start_ms: int) -> OffsetRange:
        low, high = self.offsets.watermarks(partition)
        start = self.offsets.at_time({partition: high}, start_ms)[partition] if start_ms else low
        if low and start == low:
            since = "that time" if start_ms else "the beginning"
            raise UsageError(
                f"offsets 0 to {low - 1} of {partition[0]}/{partition[1]} are gone, and may lie"
                f" after {since}: give a later --from, or archives with --from-files"
            )
        return OffsetRange(start, high)

    def _refuse_compacted(self, topics: Sequence[str]) -> None:
        """Compaction removes records from the middle, which no reader can see."""
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        admin = self._connection.admin()  # it must live until its futures have their answers
        answers: Mapping[ConfigResource, Future[Any]] = admin.describe_configs(
            resources, request_timeout=REACH_SECONDS
        )
        for resource, answer in answers.items():
            try:
                policy = answer.result(timeout=REACH_SECONDS).get("cleanup.policy")
            except (KafkaException, TimeoutError):
                # Not every principal may look, and the embedded broker never answers.
                self.unchecked.append(resource.name)
                continue
            if policy is not None and "compact" in str(policy.value):
                raise UsageError(
                    f"the topic {resource.name} is compacted: records of it are gone, and nothing"
                    " can be proved from the rest; read an archive with --from-files"
                )

    def read(self, ranges: Mapping[TopicPartition, OffsetRange]) -> Iterator[Record]:
        """The records of these ranges, in order within each partition.

        Raises:
            DependencyUnavailable: the broker stopped sending before the end.
            UsageError: records were removed while they were read.
        """
        left = {
            partition: offsets
            for partition, offsets in ranges.items()
            if offsets.end > offsets.start
        }
        self._consumer.assign(
            [ClientPartition(*partition, offsets.start) for partition, offsets in left.items()]
        )
        heard = time.monotonic()
        while left:
            for message in self._consumer.consume(CHUNK, POLL_SECONDS):
                heard = time.monotonic()
                record = self._within(message, left)
                if record is not None:
                    yield record
            if time.monotonic() - heard > SILENT_SECONDS_MAX:
                topic, number = next(iter(left))
                raise DependencyUnavailable(
                    f"Kafka sent nothing of {topic}/{number} for {SILENT_SECONDS_MAX:g} s,"
                    f" and its end was not reached"
                )
        self._consumer.unassign()

    def _within(self, message: Any, left: dict[TopicPartition, OffsetRange]) -> Record | None:  # noqa: ANN401
        """A record of the ranges; a partition that is read to its end leaves `left`."""
        error = message.error()
        partition = topic, number = str(message.topic()), int(message.partition() or 0)
        if error is None:
            wanted = left.get(partition)
            if wanted is None or message.offset() >= wanted.end - 1:
                left.pop(partition, None)
            within = wanted is not None and message.offset() < wanted.end
            return readable(message) if within else None
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            left.pop(partition, None)
            return None
        if error.code() in _GONE:
            raise UsageError(f"records of {topic}/{number} were removed while they were read")
        if error.retriable():
            return None
        raise self._connection.unreachable(f"reading {topic}", KafkaException(error))


@contextmanager
def open_topic_reader(
    settings: Settings, *, offsets: type[TopicOffsets] = TopicOffsets
) -> Iterator[TopicReader]:
    """A reader of the cluster that the settings name, closed at the end."""
    reader = TopicReader(connection_of(settings), offsets)
    try:
        yield reader
    finally:
        reader.close()


def read_all(settings: Settings, topic: str) -> list[Record]:
    """Every record that a topic holds now, in order within each partition; all in memory.

    Raises:
        DependencyUnavailable: the topic is not there, or the broker did not send all of it.
    """
    with open_topic_reader(settings) as reader:
        return list(reader.read(reader.whole([topic])))


def _runs(offsets: Sequence[int], marks: tuple[int, int]) -> list[OffsetRange]:
    """Sorted offsets between two watermarks as ranges to read."""
    low, high = marks
    runs: list[OffsetRange] = []
    for offset in offsets:
        if not low <= offset < high:
            continue
        if runs and offset - runs[-1].end < RUN_GAP_MAX:
            runs[-1] = OffsetRange(runs[-1].start, offset + 1)
        else:
            runs.append(OffsetRange(offset, offset + 1))
    return runs


_GONE: Final = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})  # noqa: SLF001
