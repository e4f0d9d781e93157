"""What the pipeline needs of rooms above it, and of stages that have more than one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from worker.core.outcome import Outcome
from worker.core.ports import Announcement, Record, StageName, TopicPartition
from worker.stages.item import Item


class Posting(Protocol):
    """The ledger's side of a batch; blocks. The Poster, or a replay's RepostGuard before it."""

    def post(self, items: Sequence[Item]) -> list[Outcome]:
        """The outcome of every item, in order."""
        ...

    def newest_timestamp(self) -> int:
        """The ledger's newest transfer timestamp, in nanoseconds."""
        ...


class Writer(Protocol):
    """From outcomes to records. The simulation's auditor has one that uses no codec of ours."""

    def write(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Announcement]:
        """What is written to Kafka about these items."""
        ...


class Observer(Protocol):
    """Hears what happened; quick, and never fails. `worker.observe` lies above the pipeline."""

    def beat(self) -> None:
        """The loop is alive."""
        ...

    def rebalanced(
        self,
        *,
        lost: Sequence[TopicPartition],
        gained: Sequence[TopicPartition],
        assigned: Sequence[TopicPartition],
    ) -> None:
        """The group moved partitions; assigned: what is ours now."""
        ...

    def opened(self, partitions: Sequence[TopicPartition]) -> None:
        """These partitions' records are taken from now on."""
        ...

    def parked(self, partition: TopicPartition, record: Record | None) -> None:
        """The next record of this partition is not due yet; None: it may be now."""
        ...

    def passed(self, partition: TopicPartition) -> None:
        """This partition lags and brings nothing: the others go on without it."""
        ...

    def aborted(self, reason: str) -> None:
        """A transaction was aborted, and its records are read again."""
        ...

    def stage(self, name: StageName, seconds: float) -> None:
        """Time spent in a stage."""
        ...

    def committed(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """A batch is announced and committed."""
        ...
