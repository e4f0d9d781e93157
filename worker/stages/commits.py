"""What to commit of each partition: the next offset, and how far the one after it may go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from worker.core.assignment import Assignment, CommitMetadata
from worker.stages.item import Item


class PartitionCommit(NamedTuple):
    """What one transaction commits of one partition.

    offset: everything below it has its outcome.
    metadata: `since` and `until`, which the commit carries.
    """

    assignment: Assignment
    offset: int
    metadata: CommitMetadata


def settled(items: Iterable[Item], *, window: int) -> list[PartitionCommit]:
    """When these items, the oldest of their partitions, have their outcomes."""
    latest: dict[Assignment, int] = {item.assignment: item.offset for item in items}
    return [raised(assignment, offset + 1, window) for assignment, offset in latest.items()]


def blocked(items: Iterable[Item], *, window: int) -> list[PartitionCommit]:
    """When items lie beyond `until`: the same offset anew, so that they may be submitted."""
    first: dict[Assignment, int] = {}
    for item in items:
        first.setdefault(item.assignment, item.offset)
    return [
        PartitionCommit(
            assignment,
            assignment.committed,
            CommitMetadata(assignment.since, max(assignment.until, offset + window)),
        )
        for assignment, offset in first.items()
        if not assignment.may_submit(offset)
    ]


def raised(assignment: Assignment, next_offset: int, window: int) -> PartitionCommit:
    """Up to this offset, and `until` with it."""
    metadata = assignment.raised(next_offset=next_offset, window=window)
    return PartitionCommit(assignment, next_offset, metadata)
