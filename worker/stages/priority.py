"""Topic priority: pause low-priority partitions while higher ones lag.

The invariant: nobody starves; in every fourth round nobody rests. Resting drops what a client has
fetched ahead, so rounds are long against a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from worker.core.ports import TopicPartition
from worker.core.rulebook import Priority

ROUND_SECONDS: Final = 0.5
"""How long one round lasts."""

EVERYBODYS_ROUND: Final = 4
"""In every fourth round no partition rests."""

RANKS: Final[Mapping[Priority, int]] = {"high": 0, "normal": 1, "low": 2}


class PriorityRounds:
    """Counts rounds, and sees whether the last one had full batches."""

    def __init__(self) -> None:
        self._round = 0
        self._until = 0.0
        self._full_batches = 0
        self._saturated = False

    def begins(self, now: float) -> bool:
        """Does a round begin?

        now: seconds of a clock that never goes back.
        """
        if now < self._until:
            return False
        self._until = now + ROUND_SECONDS
        self._round += 1
        self._saturated = self._full_batches > 0
        self._full_batches = 0
        return True

    def batch(self, *, full: bool) -> None:
        """A batch was handed over."""
        self._full_batches += full

    @property
    def number(self) -> int | None:
        """The round's number; None where batches were not full, so that nobody must rest."""
        return self._round if self._saturated else None


def resting(
    priorities: Mapping[TopicPartition, Priority],
    *,
    behind: Callable[[TopicPartition], bool],
    round_number: int,
) -> frozenset[TopicPartition]:
    """Those that rest in this round: all below the most urgent priority that is behind.

    behind: has this partition records that were not taken yet? round_number: counts up from 0.
    """
    if round_number % EVERYBODYS_ROUND == EVERYBODYS_ROUND - 1:
        return frozenset()
    ranks = {partition: RANKS[priority] for partition, priority in priorities.items()}
    lowest = max(ranks.values(), default=0)
    urgent = min((rank for partition, rank in ranks.items() if behind(partition)), default=lowest)
    return frozenset(partition for partition, rank in ranks.items() if rank > urgent)
