"""A source that ends: records at or beyond each partition's bound are never handed on.

The invariant: what is told of a partition's end is its bound, so that the group's last commit is
the bound exactly. Wraps a Source; knows nothing of Kafka.
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
        """Records before the bounds; a partition that reaches its bound is told as read to it."""
        polled = self._source.poll(records_max=records_max, timeout_seconds=timeout_seconds)
        self._done.difference_update(polled.gained)
        records: list[Record] = []
        ends: dict[TopicPartition, int] = {}
        for record in polled.records:
            place = (record.topic(), record.partition())
            if record.offset() < self._bounds.get(place, 0):
                records.append(record)
            else:
                self._reached(place, ends)
        for place, end in polled.ends.items():
            if end >= self._bounds.get(place, 0):
                self._reached(place, ends)
        return Polled(records, polled.lost, polled.gained, ends)

    def _reached(self, place: TopicPartition, ends: dict[TopicPartition, int]) -> None:
        if place not in self._done:
            self._done.add(place)
            self._source.pause([place])
        if place in self._bounds:
            ends[place] = self._bounds[place]

    def seek(self, place: TopicPartition, offset: int) -> bool:
        """Read from here on, also where the bound was reached before."""
        if not self._source.seek(place, offset):
            return False
        if place in self._done:
            self._done.discard(place)
            self._source.resume([place])
        return True

    def resume(self, places: Iterable[TopicPartition]) -> None:
        """Take records again of those that have not reached their bound."""
        self._source.resume([place for place in places if place not in self._done])

    def pause(self, places: Iterable[TopicPartition]) -> None:
        """Take no more records of these."""
        self._source.pause(places)

    def opening(self, place: TopicPartition) -> Opening | None:
        """Where the group stands."""
        return self._source.opening(place)

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Has the group committed these offsets?"""
        return self._source.reached(ends)

    def watermarks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """First offsets and ends."""
        return self._source.watermarks()

    def lag(self, place: TopicPartition, offset: int) -> int | None:
        """How much is left to the bound."""
        return max(0, self._bounds.get(place, 0) - offset)

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
