"""Reads topics from a time or from their start to the end seen now, in no group.

The invariant: read-committed, it commits nothing, and it gives every record of the range or says
which offsets are gone. A transaction's markers leave holes in the offsets that are no records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.ports import Record, RecordPosition, TopicPartition
from worker.kafka.connection import (
    REACH_SECONDS,
    ConnectionTrouble,
    client_config,
    open_client,
    unreachable,
)
from worker.kafka.job_offsets import JobOffsets

SILENT_SECONDS_MAX: Final = 60.0
"""How long the broker may send nothing before the end is reached."""

CHUNK: Final = 5000
GROUP: Final = "ledger-worker-reader"


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets of one partition that are read: from `start` to before `end`."""

    start: int
    end: int


RUN_GAP_MAX: Final = 500
"""Wanted offsets that are nearer to each other are read in one go, with what is between them."""


class TopicReader:
    """A reader of whole topics; close it afterwards.

    unchecked: topics of which the broker did not say whether they are compacted.
    """

    def __init__(self, settings: Settings) -> None:
        self.unchecked: list[str] = []
        self._settings = settings
        self._trouble = ConnectionTrouble()
        self._config = self._client(
            {
                "group.id": GROUP,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
            }
        )
        self._consumer = open_client(lambda: ClientConsumer(self._config))

    def _client(self, own: Mapping[str, Any]) -> dict[str, Any]:
        return client_config(
            bootstrap_servers=self._settings.kafka.bootstrap_servers,
            client=self._settings.kafka.client,
            trouble=self._trouble,
            own=own,
        )

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()

    def places(self, topics: Sequence[str]) -> list[TopicPartition]:
        """Every partition of these topics.

        Raises:
            DependencyUnavailable: a topic is not there, or the broker does not answer.
        """
        return [place for topic in topics for place in self._places(topic)]

    def parked(self, prefix: str) -> list[str]:
        """The topics where events wait, one per delay."""
        found = self._ask("looking at the topics", self._consumer.list_topics).topics
        return sorted(name for name in found if name.startswith(f"{prefix}."))

    def ranges(self, topics: Sequence[str], *, start_ms: int) -> dict[TopicPartition, OffsetRange]:
        """What to read of these topics.

        start_ms: from the first record of this time or later; 0: from the very first.

        Raises:
            DependencyUnavailable: a topic is not there, or the broker does not answer.
            UsageError: records of the range are gone, by retention or compaction.
        """
        found = {place: self._range(place, start_ms) for place in self.places(topics)}
        self._refuse_compacted(topics)
        return found

    def whole(self, topics: Sequence[str]) -> dict[TopicPartition, OffsetRange]:
        """All that these topics still hold.

        Raises:
            DependencyUnavailable: a topic is not there, or the broker does not answer.
        """
        return {place: OffsetRange(*self._watermarks(place)) for place in self.places(topics)}

    def at(self, wanted: Iterable[RecordPosition]) -> dict[RecordPosition, Record]:
        """The records at these places; what is gone, or was never there, is left out."""
        by_place: dict[TopicPartition, list[int]] = {}
        for topic, partition, offset in sorted(set(wanted)):
            by_place.setdefault((topic, partition), []).append(offset)
        known = self._existing({topic for topic, _ in by_place})
        runs = {
            place: _runs(offsets, self._watermarks(place))
            for place, offsets in by_place.items()
            if place in known
        }
        found: dict[RecordPosition, Record] = {}
        while any(runs.values()):
            now = {place: left.pop() for place, left in runs.items() if left}
            for record in self.read(now):
                found[record.topic(), record.partition(), record.offset()] = record
        return {
            (topic, partition, offset): found[topic, partition, offset]
            for (topic, partition), offsets in by_place.items()
            for offset in offsets
            if (topic, partition, offset) in found
        }

    def _existing(self, topics: Iterable[str]) -> set[TopicPartition]:
        """The partitions of those topics that there are."""
        about = self._ask("looking at the topics", self._consumer.list_topics).topics
        return {
            (topic, number)
            for topic in topics
            if topic in about
            for number in about[topic].partitions
        }

    def _watermarks(self, place: TopicPartition) -> tuple[int, int]:
        topic, partition = place
        low, high = self._ask(
            f"asking for the offsets of {topic}",
            lambda timeout: self._consumer.get_watermark_offsets(
                ClientPartition(topic, partition), timeout
            ),
        )
        return low, high

    def _places(self, topic: str) -> list[TopicPartition]:
        about = self._ask(
            f"looking at {topic}", lambda timeout: self._consumer.list_topics(topic, timeout)
        ).topics[topic]
        if about.error is not None or not about.partitions:
            why = about.error.str() if about.error is not None else "it has no partitions"
            raise DependencyUnavailable(f"the topic {topic} cannot be read: {why}")
        return [(topic, number) for number in sorted(about.partitions)]

    def _range(self, place: TopicPartition, start_ms: int) -> OffsetRange:
        topic, partition = place
        low, high = self._watermarks(place)
        start = low
        if start_ms:
            start = self.offsets_at({place: high}, start_ms)[place]
        if low and start == low:
            asked = "that time" if start_ms else "the beginning"
            raise UsageError(
                f"offsets 0 to {low - 1} of {topic}/{partition} are gone, and may lie after"
                f" {asked}: give a later --from, or archives with --from-files"
            )
        return OffsetRange(start, high)

    def offsets_at(
        self, ends: Mapping[TopicPartition, int], time_ms: int
    ) -> dict[TopicPartition, int]:
        """The first offset of this time or later in each partition; its end where there is none."""
        asked = [ClientPartition(*place, time_ms) for place in ends]
        found = self._ask(
            "asking for offsets by time",
            lambda timeout: self._consumer.offsets_for_times(asked, timeout),
        )
        return {
            (one.topic, one.partition): one.offset
            if one.offset >= 0
            else ends[one.topic, one.partition]
            for one in found
        }

    def _refuse_compacted(self, topics: Sequence[str]) -> None:
        """Compaction removes records from the middle, which no reader can see."""
        admin = open_client(lambda: AdminClient(self._client({})))
        asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        answers: Mapping[ConfigResource, Future[Any]] = admin.describe_configs(
            asked, request_timeout=REACH_SECONDS
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

    def committed(self, group: str, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """A group's committed offsets; negative where it has none.

        Raises:
            UsageError: it has committed more than there is: the topic was made anew.
        """
        standing = JobOffsets(self._settings, group)
        try:
            found = standing.committed(places)
        finally:
            standing.close()
        for (topic, partition), offset in found.items():
            if offset > 0 and offset > (end := self._watermarks((topic, partition))[1]):
                raise UsageError(
                    f"the group {group} has committed {topic}/{partition}@{offset}, which ends at"
                    f" {end}: the topic was deleted and made anew; read archives with --from-files"
                )
        return found

    def read(self, ranges: Mapping[TopicPartition, OffsetRange]) -> Iterator[Record]:
        """The records of these ranges, in order within each partition.

        Raises:
            DependencyUnavailable: the broker stopped sending before the end.
            UsageError: records were removed while they were read.
        """
        left = {place: one for place, one in ranges.items() if one.end > one.start}
        self._consumer.assign([ClientPartition(*place, one.start) for place, one in left.items()])
        heard = time.monotonic()
        while left:
            for message in self._consumer.consume(CHUNK, 0.5):
                heard = time.monotonic()
                record = self._sound(message, left)
                if record is not None:
                    yield record
            if time.monotonic() - heard > SILENT_SECONDS_MAX:
                topic, partition = next(iter(left))
                raise DependencyUnavailable(
                    f"Kafka sent nothing of {topic}/{partition} for {SILENT_SECONDS_MAX:g} s,"
                    f" and its end was not reached"
                )
        self._consumer.unassign()

    def _sound(self, message: Any, left: dict[TopicPartition, OffsetRange]) -> Record | None:  # noqa: ANN401
        """A record of the range; a partition that is read to its end leaves `left`."""
        error = message.error()
        place = (str(message.topic()), int(message.partition() or 0))
        if error is None:
            known = left.get(place)
            if known is None or message.offset() >= known.end:
                left.pop(place, None)
                return None
            if message.offset() == known.end - 1:
                del left[place]
            record: Record = message
            return record
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            left.pop(place, None)
            return None
        if error.code() in _GONE:
            raise UsageError(f"records of {place[0]}/{place[1]} were removed while they were read")
        if error.retriable():
            return None
        raise unreachable(f"reading {place[0]}", KafkaException(error), self._trouble)

    def _ask(self, doing: str, call: Callable[..., Any]) -> Any:  # noqa: ANN401
        try:
            return call(timeout=REACH_SECONDS)
        except KafkaException as error:
            raise unreachable(doing, error, self._trouble) from None


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
