"""The partitions that are ours: gained, opened, lost, and opened anew after a failed transaction.

The invariant: work belongs to an assignment, not to a partition; a partition that comes back, or
opens anew, is another Assignment, and what was under way for the old one is nobody's.

What a partition waits for has a module each: its opening, a seek that must be checked, the time of
a parked record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import NamedTuple

from worker.core.assignment import EXPECTS_NOTHING, Assignment
from worker.core.ids import position_base
from worker.core.ports import GroupMember, Polled, Record, TopicPartition
from worker.core.topic_rule import Priority
from worker.stages import commits
from worker.stages.commits import PartitionCommit
from worker.stages.item import Item
from worker.stages.opening import Openings
from worker.stages.parking import ParkedPartitions
from worker.stages.seek_check import SeekCheck


class InputTopic(NamedTuple):
    """What a topic is read as: see `Assignment`, and `worker.stages.priority` for the priority."""

    role: str
    tries: int = 0
    delay_ms: int = 0
    priority: Priority = "normal"


class Partitions:
    """What this worker answers for.

    group: the consumer group, part of every position.
    topics: those that are read.
    window: how many offsets may follow the next one before the commit that raises `until`.
    """

    def __init__(
        self, *, group: str, topics: Mapping[str, InputTopic], window: int, source: GroupMember
    ) -> None:
        self._group = group
        self._topics = topics
        self._window = window
        self._source = source
        self._assignments: dict[TopicPartition, Assignment] = {}
        self._seek_check = SeekCheck(source)
        self._openings = Openings(source, self._seek_check, window=window)
        self._parked = ParkedPartitions()
        self._ends: dict[TopicPartition, int] = {}
        self._ahead: frozenset[TopicPartition] = frozenset()
        self.changes = 0
        """Grows when an assignment comes or goes."""

    # Records and their assignments

    def take(
        self, records: Iterable[Record], is_due: Callable[[Record, Assignment], bool]
    ) -> list[tuple[Record, Assignment]]:
        """Of the records just polled those that come in order, each with its assignment.

        is_due: asked about a record of a topic with a delay. A flat loop: it runs for every record.
        """
        taken: list[tuple[Record, Assignment]] = []
        astray: set[Assignment] = set()
        for record in records:
            assignment = self._taker(record, astray)
            if assignment is not None and (not assignment.delay_ms or is_due(record, assignment)):
                taken.append((record, assignment))
        return taken

    def _taker(self, record: Record, astray: set[Assignment]) -> Assignment | None:
        """The assignment that takes a record; None when the record comes again later.

        What comes before a partition opens is read again from where it opens, what lies below its
        commit has its outcome, and what comes while it sleeps is read again when it wakes.
        astray: those that passed a record over in this poll.
        """
        partition, offset = (record.topic(), record.partition()), record.offset()
        assignment = self._assignments.get(partition)
        if assignment is None:
            return None
        if not assignment.opened:
            self._seek_check.note(partition, offset)
            return None
        if offset < assignment.committed or (
            assignment.expects != EXPECTS_NOTHING and self._parked.sleeps(partition)
        ):
            return None
        if assignment.expects != EXPECTS_NOTHING:
            if assignment in astray:
                return None
            if self._seek_check.passed_over(assignment, offset):
                astray.add(assignment)
                seeks = assignment.seeks + 1
                self._seek(assignment, assignment.seek_offset, expects=assignment.expects)
                assignment.seeks = seeks
                return None
        return assignment

    def ours(self, item: Item) -> bool:
        """Does this work still belong to an assignment of ours?"""
        assignment = item.assignment
        return self._assignments.get((assignment.topic, assignment.partition)) is assignment

    def all_ours(self, items: Iterable[Item]) -> bool:
        """Does all of it? Items side by side mostly belong to one assignment."""
        last: Assignment | None = None
        for item in items:
            if item.assignment is not last:
                if not self.ours(item):
                    return False
                last = item.assignment
        return True

    def all(self) -> Iterable[Assignment]:
        """Every assignment, opened or not."""
        return self._assignments.values()

    def assigned(self) -> list[TopicPartition]:
        """Every partition that is ours."""
        return list(self._assignments)

    def inputs(self) -> list[TopicPartition]:
        """Every partition that is ours, but those of parked topics."""
        return [partition for partition, one in self._assignments.items() if not one.delay_ms]

    def opened(self) -> list[TopicPartition]:
        """The partitions whose records are taken, now or when they are due."""
        return [
            partition for partition, assignment in self._assignments.items() if assignment.opened
        ]

    def awake(self) -> list[TopicPartition]:
        """The partitions whose records are taken now."""
        return [
            partition
            for partition in self.opened()
            if not self._parked.sleeps(partition) and partition not in self._ahead
        ]

    # Gained, lost, opened anew

    def follow(self, polled: Polled) -> bool:
        """Take over what the group said; True when something changed."""
        for partition in polled.lost:
            self._forget(partition)
            self._seek_check.forget(partition)
        for partition in polled.gained:
            self._begin(partition)
        if polled.gained:
            self._source.pause(polled.gained)
        for partition, end in polled.ends.items():
            assignment = self._assignments.get(partition)
            if (
                assignment is not None
                and assignment.opened
                and assignment.expects == EXPECTS_NOTHING
            ):
                self._ends[partition] = end
        return bool(polled.lost or polled.gained)

    def start_over(
        self, items: Iterable[Item], waiting: Iterable[tuple[Record, Assignment]] = ()
    ) -> None:
        """After a failed transaction: every partition opens anew, where the group says.

        Whether it was written or not, the group knows; what is in memory may be older. items: what
        is in flight, and must come again if it has no outcome. waiting: the first of each partition
        that was read and is in no batch.
        """
        self._openings.forget_newest()
        self._seek_check.note_expected(self._assignments.values())
        for item in items:
            assignment = item.assignment
            if self.ours(item):
                self._seek_check.note((assignment.topic, assignment.partition), item.offset)
        for record, assignment in waiting:
            self._seek_check.note((assignment.topic, assignment.partition), record.offset())
        for partition in self.assigned():
            self._begin(partition)
        self._source.pause(self.assigned())

    def _begin(self, partition: TopicPartition) -> None:
        """A new assignment, which is not open yet."""
        self._forget(partition)
        topic, number = partition
        read_as = self._topics[topic]
        self._assignments[partition] = Assignment(
            topic,
            number,
            read_as.role,
            position_base(group=self._group, topic=topic, partition=number),
            tries=read_as.tries,
            delay_ms=read_as.delay_ms,
        )

    def _forget(self, partition: TopicPartition) -> None:
        self._assignments.pop(partition, None)
        self._openings.forget(partition)
        self._ends.pop(partition, None)
        self._parked.forget(partition)
        self._ahead -= {partition}
        self.changes += 1

    def _seek(self, assignment: Assignment, offset: int, *, expects: int) -> None:
        """Read from here on; a partition where that fails opens anew, at the group's commit."""
        if not self._seek_check.seek(assignment, offset, expects=expects):
            partition = (assignment.topic, assignment.partition)
            self._begin(partition)
            self._source.pause([partition])

    # Opening

    @property
    def opening(self) -> bool:
        """Is some partition ours but not open yet, or a question about one that left unanswered?"""
        return self.waits_for_ledger or not all(
            assignment.opened for assignment in self._assignments.values()
        )

    @property
    def waits_for_ledger(self) -> bool:
        """Is the ledger being asked for its newest timestamp?"""
        return self._openings.waits_for_ledger

    def open_known(self) -> list[TopicPartition]:
        """Open what the group has a commit for; the partitions opened."""
        return self._openings.open_known(self._assignments)

    def first_commits(self, newest_timestamp: Callable[[], Future[int]]) -> list[PartitionCommit]:
        """What must be committed before the rest can open; see `Openings`."""
        return self._openings.first_commits(self._assignments, newest_timestamp)

    def open_first(self, committed: Iterable[PartitionCommit]) -> list[TopicPartition]:
        """Open these, whose first commit is in."""
        return self._openings.open_first(committed)

    # Parked records

    def asleep(self) -> list[TopicPartition]:
        """The partitions whose next record is not due yet."""
        return self._parked.asleep()

    def sleep(self, assignment: Assignment, *, offset: int, wake_ms: int) -> None:
        """Take nothing more until then, and read again from this offset: it must wait."""
        partition = (assignment.topic, assignment.partition)
        self._parked.sleep(partition, wake_ms)
        self._ends.pop(partition, None)
        self._source.pause([partition])
        self._seek(assignment, offset, expects=offset)

    def wake(self, now_ms: int) -> list[TopicPartition]:
        """The partitions that have slept long enough."""
        return self._parked.wake(now_ms)

    # Time order

    def hold(self, ahead: frozenset[TopicPartition]) -> None:
        """Fetch nothing of these, which were read far ahead of others, and of all others again."""
        before, self._ahead = self._ahead, ahead
        if ahead != before:
            self._source.pause(ahead - before)
            self._source.resume([each for each in self.awake() if each in before])

    # Commits

    def settled(self, items: Iterable[Item]) -> list[PartitionCommit]:
        """What to commit when these items, the oldest of their partitions, have their outcomes."""
        return commits.settled(items, window=self._window)

    def blocked(self, items: Iterable[Item]) -> list[PartitionCommit]:
        """What to commit so that items beyond `until` may be submitted."""
        return commits.blocked(items, window=self._window)

    def tails(self) -> list[PartitionCommit]:
        """What to commit at the very end of partitions read to their end.

        A transaction's marker takes an offset that no record has. Only when nothing is under way.
        """
        return [
            commits.raised(assignment, self._ends[partition], self._window)
            for partition, assignment in self._assignments.items()
            if assignment.opened
            and not self._parked.sleeps(partition)
            and self._ends.get(partition, 0) > assignment.committed
        ]
