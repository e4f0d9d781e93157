"""What to commit of each partition: the next offset, and how far the one after it may go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from worker.core.assignment import Assignment, CommittedPosition
from worker.stages.item import Item


class PartitionCommit(NamedTuple):
    """One partition's part of a transaction.

    offset: everything below it has its outcome.
    position: what the commit carries as metadata.
    """

    assignment: Assignment
    offset: int
    position: CommittedPosition


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
            one,
            one.committed,
            CommittedPosition(one.since, max(one.until, offset + window)),
        )
        for one, offset in first.items()
        if not one.may_submit(offset)
    ]


def raised(assignment: Assignment, next_offset: int, window: int) -> PartitionCommit:
    """Up to this offset, and `until` with it."""
    position = assignment.raised(next_offset=next_offset, window=window)
    return PartitionCommit(assignment, next_offset, position)
