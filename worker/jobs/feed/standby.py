"""One of several processes reads, and the others stand by: who has the partition of a topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from worker.core.ports import Polled, TopicPartition


class Member(Protocol):
    """A member of a consumer group."""

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        """What the group says."""
        ...


class ActiveMember:
    """Lets one process through. The group gives a partition to one member at a time.

    A member that was away for too long may still believe that the partition is its own: the
    transactional id, which the next one takes over, keeps it from writing.
    """

    def __init__(self, member: Member, partition: TopicPartition, beat: Callable[[], None]) -> None:
        self._member = member
        self._partition = partition
        self._beat = beat
        self.assignments = 0
        """How often the partition was given to this process."""
        self.active = False

    def poll(self, seconds: float = 0.0) -> bool:
        """Is the partition this process's now? Waits for so long."""
        polled = self._member.poll(records_max=1_000, timeout_seconds=seconds)
        self._beat()
        if self._partition in polled.lost:
            self.active = False
        if self._partition in polled.gained:
            self.active = True
            self.assignments += 1
        return self.active
