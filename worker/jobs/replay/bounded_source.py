"""A Source that ends: records at or beyond each partition's bound are not passed on.

A partition's bound is reported as its end, so that the group's last commit is exactly the bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from worker.core.assignment import Opening
from worker.core.ports import GroupMember, Polled, Record, TopicPartition


class BoundedSource:
    """Reads no further than the bounds; a partition without one is not read at all.

    ends: the offset at which each partition stops.
    """

    def __init__(self, source: GroupMember, ends: Mapping[TopicPartition, int]) -> None:
        self._source = source
        self._bounds = ends
        self._done: set[TopicPartition] = set()

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        """Records before the bounds; a partition at its bound is reported as read to its end.

        So is one without a bound: at 0, which is committed anyway.
        """
        polled = self._source.poll(records_max=records_max, timeout_seconds=timeout_seconds)
        self._done.difference_update(polled.gained)
        records: list[Record] = []
        ends: dict[TopicPartition, int] = {}
        for record in polled.records:
            partition = (record.topic(), record.partition())
            if record.offset() < self._bounds.get(partition, 0):
                records.append(record)
            else:
                self._reached(partition, ends)
        for partition, end in polled.ends.items():
            if end >= self._bounds.get(partition, 0):
                self._reached(partition, ends)
        return Polled(records, polled.lost, polled.gained, ends)

    def _reached(self, partition: TopicPartition, ends: dict[TopicPartition, int]) -> None:
        if partition not in self._done:
            self._done.add(partition)
            self._source.pause([partition])
        ends[partition] = self._bounds.get(partition, 0)  # where nothing is read, nobody waits

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        """Read from here on, also where the bound was reached before."""
        if not self._source.seek(partition, offset):
            return False
        if partition in self._done:
            self._done.discard(partition)
            self._source.resume([partition])
        return True

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Take records again of those that have not reached their bound."""
        self._source.resume([partition for partition in partitions if partition not in self._done])

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Take no more records of these."""
        self._source.pause(partitions)

    def opening(self, partition: TopicPartition) -> Opening | None:
        """The group's committed position."""
        return self._source.opening(partition)

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Has the group committed these offsets?"""
        return self._source.reached(ends)

    def watermarks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """First offsets and ends."""
        return self._source.watermarks()

    def lag(self, partition: TopicPartition, offset: int) -> int | None:
        """How much is left to the bound."""
        return max(0, self._bounds.get(partition, 0) - offset)

    @property
    def joined(self) -> bool:
        """Does the group count us in?"""
        return self._source.joined

    @property
    def waiting_seconds(self) -> float:
        """How long no broker has answered."""
        return self._source.waiting_seconds

    def membership(self) -> object:
        """The group's view of this member."""
        return self._source.membership()

    def close(self) -> None:
        """Leave the group."""
        self._source.close()
