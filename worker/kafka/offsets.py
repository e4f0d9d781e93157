"""A broker's offsets: watermarks, offsets by time, and a group's committed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.ports import RecordPosition, TopicPartition
from worker.kafka.connection import KafkaConnection
from worker.kafka.job_offsets import JobOffsets

LATEST: Final = -1
EARLIEST: Final = -2
"""Times by which a broker is asked for its offsets' ends."""


class TopicOffsets:
    """Asks one cluster.

    Raises:
        DependencyUnavailable: from every method: the broker did not answer, or refused us.
    """

    def __init__(self, connection: KafkaConnection, client: ClientConsumer) -> None:
        self._connection = connection
        self._client = client

    def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Every partition of these topics; one that is not there cannot be read."""
        return [partition for topic in topics for partition in self._partitions(topic)]

    def _partitions(self, topic: str) -> list[TopicPartition]:
        about = self._connection.request(
            f"looking at {topic}", self._client.list_topics, topic
        ).topics[topic]
        if about.error is not None or not about.partitions:
            why = about.error.str() if about.error is not None else "it has no partitions"
            raise DependencyUnavailable(f"the topic {topic} cannot be read: {why}")
        return [(topic, number) for number in sorted(about.partitions)]

    def existing(self) -> dict[str, set[TopicPartition]]:
        """All topics that there are, with their partitions."""
        found = self._connection.request("looking at the topics", self._client.list_topics).topics
        return {
            name: {(name, number) for number in about.partitions} for name, about in found.items()
        }

    def parked(self, prefix: str) -> list[str]:
        """The topics where events wait, one per delay."""
        return sorted(name for name in self.existing() if name.startswith(f"{prefix}."))

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        """The first offset that a partition still has, and the one after its last."""
        found: tuple[int, int] = self._connection.request(
            f"asking for the offsets of {partition[0]}",
            self._client.get_watermark_offsets,
            ClientPartition(*partition),
        )
        return found

    def bounds(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """The first offset that each partition still has, and the one after its last.

        As `watermarks`, by two requests to a broker for all of its partitions.
        """
        first = self.at_time(dict.fromkeys(partitions, 0), EARLIEST)
        last = self.at_time(dict.fromkeys(partitions, 0), LATEST)
        return {partition: (first[partition], last[partition]) for partition in partitions}

    def at_time(
        self, ends: Mapping[TopicPartition, int], time_ms: int
    ) -> dict[TopicPartition, int]:
        """The first offset of this time or later in each partition; its end where there is none."""
        if not ends:  # the client refuses to ask for none
            return {}
        found = self._connection.request(
            "asking for offsets by time",
            self._client.offsets_for_times,
            [ClientPartition(*partition, time_ms) for partition in ends],
        )
        offsets = {(entry.topic, entry.partition): entry.offset for entry in found}
        return {
            partition: offset if offset >= 0 else ends[partition]
            for partition, offset in offsets.items()
        }

    def by_time(
        self,
        bounds: Mapping[TopicPartition, tuple[int, int]],
        *,
        start_ms: int,
        end_ms: int = 0,
    ) -> dict[TopicPartition, tuple[int, int]]:
        """Of these first offsets and ends, what lies within some times. end_ms: 0 is open."""
        ends = {partition: end for partition, (_, end) in bounds.items()}
        starts = self.at_time(ends, max(start_ms, 0))
        if end_ms:
            ends = self.at_time(ends, end_ms)
        return {
            partition: (max(starts[partition], first), ends[partition])
            for partition, (first, _) in bounds.items()
        }

    def committed(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """A group's committed offsets; negative where it has none.

        Raises:
            UsageError: it has committed more than there is: the topic was made anew.
        """
        offsets = JobOffsets(self._connection, group)
        try:
            found = offsets.committed(partitions)
        finally:
            offsets.close()
        for partition, offset in found.items():
            if offset > 0 and offset > (end := self.watermarks(partition)[1]):
                position = RecordPosition(*partition, offset)
                raise UsageError(
                    f"the group {group} has committed {position}, which ends at {end}: the topic"
                    " was deleted and made anew; read archives with --from-files"
                )
        return found
