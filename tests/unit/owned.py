"""Partitions of a group member that a test puts where it likes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from worker.core.assignment import Assignment, CommitMetadata, Opening
from worker.core.event import Skipped
from worker.core.ports import GroupMember, Polled, Record, TopicPartition
from worker.jobs.archive.records import ArchivedRecord
from worker.stages.commits import PartitionCommit
from worker.stages.item import Item
from worker.stages.partitions import InputTopic, Partitions

WINDOW = 100
SINCE = 17
HERE, THERE = ("t", 0), ("t", 1)
WAITING = ("parked", 0)


class Source:
    """A group member that says where partitions open and notes where it is put.

    positions: what the group answers of each partition; nothing about any other.
    refuses: partitions that it cannot be put in.
    """

    def __init__(self, positions: Mapping[TopicPartition, Opening]) -> None:
        self.positions = dict(positions)
        self.refuses: set[TopicPartition] = set()
        self.seeks: list[tuple[TopicPartition, int]] = []
        self.paused: set[TopicPartition] = set()

    def opening(self, partition: TopicPartition) -> Opening | None:
        return self.positions.get(partition)

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        if partition in self.refuses:
            return False
        self.seeks.append((partition, offset))
        return True

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self.paused.difference_update(partitions)


class Ours:
    """Partitions of which the group has committed offset 50 and that nothing goes beyond 60."""

    def __init__(self, *, until: int = 60) -> None:
        known = Opening(50, CommitMetadata(SINCE, until))
        self.source = Source(dict.fromkeys((HERE, THERE, WAITING), known))
        self.partitions = Partitions(
            group="books",
            topics={"t": InputTopic("role"), "parked": InputTopic("", 1, 1000)},
            window=WINDOW,
            source=cast("GroupMember", self.source),
        )

    def open(self, *which: TopicPartition) -> list[Assignment]:
        """These are gained and opened."""
        self.follow(gained=which)
        assert self.partitions.open_known() == list(which)
        return [self.of(each) for each in which]

    def follow(
        self,
        *,
        gained: Iterable[TopicPartition] = (),
        lost: Iterable[TopicPartition] = (),
        ends: Mapping[TopicPartition, int] | None = None,
    ) -> bool:
        return self.partitions.follow(Polled((), list(lost), list(gained), ends or {}))

    def of(self, partition: TopicPartition) -> Assignment:
        (found,) = [one for one in self.partitions.all() if (one.topic, one.partition) == partition]
        return found

    def take(self, *offsets: int, of: TopicPartition = HERE, due: bool = True) -> list[int]:
        """The offsets that are taken of the records at these."""
        records = [record(offset, of) for offset in offsets]
        taken = self.partitions.take(records, lambda *_: due)
        assert all(one is self.of(of) for _, one in taken)
        return [each.offset() for each, _ in taken]


def record(offset: int, of: TopicPartition = HERE) -> Record:
    return ArchivedRecord(*of, offset, None, b"{}")


def item(assignment: Assignment, offset: int) -> Item:
    return Item(cast("Record", None), assignment, offset, 1, "role", Skipped("ignored"))


def committed(commits: Iterable[PartitionCommit]) -> dict[int, tuple[int, int, int]]:
    """By partition: offset, `since`, `until`."""
    return {one.partition: (offset, *position) for one, offset, position in commits}
