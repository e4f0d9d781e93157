"""Notices a client that reads on elsewhere after a seek, and seeks again.

It would pass over records that have no outcome, or whose announcement is missing. So what was read
before, and must come again, is remembered: nothing behind it is taken before it comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from worker.core.assignment import EXPECTS_NOTHING, Assignment
from worker.core.ports import GroupMember, TopicPartition

SEEKS_MAX: Final = 5
"""So often a partition is sought; a record that does not come then is in its topic no more."""

_log = structlog.get_logger(__name__)


class SeekCheck:
    """Seeks partitions, and sees whether the client reads from there.

    It keeps the offsets that were read, by partition, until the seek; which of them must come first
    then is in its Assignment.
    """

    def __init__(self, source: GroupMember) -> None:
        self._source = source
        self._read: dict[TopicPartition, set[int]] = {}

    def note(self, partition: TopicPartition, offset: int) -> None:
        """This record was read, and must come again."""
        self._read.setdefault(partition, set()).add(offset)

    def note_expected(self, assignments: Iterable[Assignment]) -> None:
        """What these still expect must come again too."""
        for assignment in assignments:
            if assignment.expects != EXPECTS_NOTHING:
                self.note((assignment.topic, assignment.partition), assignment.expects)

    def forget(self, partition: TopicPartition) -> None:
        """It is another worker's."""
        self._read.pop(partition, None)

    def seek(self, assignment: Assignment, offset: int, *, expects: int) -> bool:
        """Have the client read on from here; False: the client cannot seek now."""
        partition = (assignment.topic, assignment.partition)
        if self._source.seek(partition, offset):
            assignment.note_seek(offset, expects=expects)
            return True
        if expects != EXPECTS_NOTHING:
            self.note(partition, expects)
        return False

    def expected(self, partition: TopicPartition, offset: int) -> int:
        """The first of the records read before that comes again from this offset on; read once."""
        read = self._read.pop(partition, ())
        return min(
            (offset_read for offset_read in read if offset_read >= offset), default=EXPECTS_NOTHING
        )

    def passed_over(self, assignment: Assignment, offset: int) -> bool:
        """Does this record come where an earlier one must? Then seek again."""
        if offset <= assignment.expects:
            if offset == assignment.expects:
                assignment.expects = EXPECTS_NOTHING
            return False
        where = {"topic": assignment.topic, "partition": assignment.partition}
        facts = {**where, "expected": assignment.expects, "found": offset}
        if assignment.seeks >= SEEKS_MAX:
            _log.error("records_are_gone", **facts)
            assignment.expects = EXPECTS_NOTHING
            return False
        _log.warning("kafka_place_lost", **facts, placed_at=assignment.seek_offset)
        return True
