"""Whose turn it is: partitions of less urgent topics rest while more urgent ones are behind.

The invariant: nobody starves; in the last turn of every round nobody rests. No I/O, and no clock of
its own. Resting drops what a client has fetched ahead, so turns are long against a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from worker.core.ports import TopicPartition
from worker.core.rulebook import Priority

TURN_SECONDS: Final = 0.5
"""How long one turn lasts."""

ROUND_TURNS: Final = 4
"""The last of so many turns is everybody's."""

RANKS: Final[Mapping[Priority, int]] = {"high": 0, "normal": 1, "low": 2}


class PriorityRounds:
    """Counts turns, and sees whether the last one had full batches."""

    def __init__(self) -> None:
        self._turn = 0
        self._until = 0.0
        self._full_batches = 0
        self._saturated = False

    def begins(self, now: float) -> bool:
        """Does a turn begin? now: seconds of a clock that never goes back."""
        if now < self._until:
            return False
        self._until = now + TURN_SECONDS
        self._turn += 1
        self._saturated = self._full_batches > 0
        self._full_batches = 0
        return True

    def batch(self, *, full: bool) -> None:
        """A batch was handed over."""
        self._full_batches += full

    @property
    def number(self) -> int | None:
        """Of this turn; None: there is time for all."""
        return self._turn if self._saturated else None


def resting(
    priorities: Mapping[TopicPartition, Priority],
    *,
    behind: Callable[[TopicPartition], bool],
    turn: int,
) -> frozenset[TopicPartition]:
    """Those that rest in this turn: all below the most urgent priority that is behind.

    behind: has this partition records that were not taken yet? turn: counts up from 0.
    """
    if turn % ROUND_TURNS == ROUND_TURNS - 1:
        return frozenset()
    ranks = {place: RANKS[priority] for place, priority in priorities.items()}
    lowest = max(ranks.values(), default=0)
    urgent = min((rank for place, rank in ranks.items() if behind(place)), default=lowest)
    return frozenset(place for place, rank in ranks.items() if rank > urgent)
