"""Opening: a partition is read once its `since` is committed and the client was sent to its offset.

Where a client begins by itself is not to be trusted: librdkafka falls back to `auto.offset.reset`
when a dead worker's open transaction hides the commit for long. So the group is asked, and where it
has no commit of ours, the ledger is asked for its newest timestamp, which is committed first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

from worker.core.assignment import NO_REDO, Assignment, CommitMetadata, Opening
from worker.core.ports import GroupMember, TopicPartition
from worker.stages.commits import PartitionCommit
from worker.stages.seek_check import SeekCheck


class Openings:
    """The partitions of which the group has said where it is, and that are not open yet.

    window: how many offsets may follow the first one before the commit that raises `until`.
    """

    def __init__(self, source: GroupMember, seek_check: SeekCheck, *, window: int) -> None:
        self._source = source
        self._seek_check = seek_check
        self._window = window
        self._found: dict[TopicPartition, Opening] = {}
        self._newest: Future[int] | None = None
        self._newest_for: dict[TopicPartition, Opening] = {}

    @property
    def waits_for_ledger(self) -> bool:
        """Is the ledger being asked for its newest timestamp?"""
        return self._newest is not None

    def forget(self, partition: TopicPartition) -> None:
        """It left, or its offset is read again."""
        self._found.pop(partition, None)

    def forget_newest(self) -> None:
        """The ledger's answer, if one is to come, is nobody's."""
        self._newest = None

    def open_known(self, assignments: Mapping[TopicPartition, Assignment]) -> list[TopicPartition]:
        """Open those where the group has a commit of ours; the partitions opened."""
        for partition, assignment in assignments.items():
            if assignment.opened or partition in self._found:
                continue
            found = self._source.opening(partition)
            if found is not None:
                self._found[partition] = found
        known = [
            (partition, found.metadata)
            for partition, found in self._found.items()
            if found.metadata
        ]
        return [
            partition
            for partition, metadata in known
            if self._open(assignments[partition], metadata, redo=metadata.until)
        ]

    def first_commits(
        self,
        assignments: Mapping[TopicPartition, Assignment],
        newest_timestamp: Callable[[], Future[int]],
    ) -> list[PartitionCommit]:
        """What must be committed before the rest can open: `since` is the ledger's newest time.

        Empty while the ledger has not answered. newest_timestamp: asks it, in its own thread, after
        these partitions were assigned.
        """
        if self._newest is None:
            if not self._found:
                return []
            self._newest_for = dict(self._found)
            self._newest = newest_timestamp()
        if not self._newest.done():
            return []
        newest = self._newest.result()
        self._newest = None
        return [
            PartitionCommit(
                assignments[partition],
                found.offset,
                CommitMetadata(newest, found.offset + self._window),
            )
            for partition, found in self._newest_for.items()
            if self._found.get(partition) is found
        ]

    def open_first(self, committed: Iterable[PartitionCommit]) -> list[TopicPartition]:
        """Open these, whose first commit is in."""
        return [
            (assignment.topic, assignment.partition)
            for assignment, _, metadata in committed
            if self._open(assignment, metadata, redo=NO_REDO)
        ]

    def _open(self, assignment: Assignment, metadata: CommitMetadata, *, redo: int) -> bool:
        """False when the client cannot seek yet: the group's offset is read again."""
        partition = (assignment.topic, assignment.partition)
        offset = self._found.pop(partition).offset
        if not self._source.seek(partition, offset):
            return False
        assignment.open(offset=offset, metadata=metadata, redo=redo)
        expected = self._seek_check.expected(partition, offset)
        assignment.note_seek(offset, expects=expected)
        return True
