"""Two batches in flight: one fills while the ledger works on the other, which then is announced.

A record that was read is in one of three states until its outcome is committed: filling, posting,
announcing. Each way from one to the next is a method here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain

from worker.core.assignment import Assignment
from worker.core.outcome import Outcome
from worker.stages.batch import Batch, Limits
from worker.stages.item import Item


@dataclass(frozen=True, slots=True)
class PostingBatch:
    """What the ledger works on; its outcomes to come, and the second in which it was submitted."""

    items: Sequence[Item]
    outcomes: Future[list[Outcome]]
    since: float


class InFlight:
    """Everything that was read and has no committed outcome.

    filling: what the next request takes from.
    filling_since: the second in which its first item came, or the last request was cut from it.
    posting: the one batch that the ledger works on.
    announcing: what the ledger has answered, while its transaction is under way.
    settled: how many have a committed outcome, since the start.
    """

    def __init__(self, limits: Limits) -> None:
        self.filling = Batch(limits)
        self.filling_since = 0.0
        self.posting: PostingBatch | None = None
        self.announcing: Sequence[Item] = ()
        self.settled = 0

    def fill(self, items: Iterable[Item], now: float) -> None:
        """These were read."""
        if not self.filling.items:
            self.filling_since = now
        self.filling.extend(items)

    def cut(self, now: float) -> list[Item]:
        """What goes to the ledger in one request; the rest goes on filling."""
        items = self.filling.cut()
        self.filling_since = now
        return items

    def submitted(self, items: Sequence[Item], outcomes: Future[list[Outcome]], now: float) -> None:
        """Filling → posting."""
        self.posting = PostingBatch(items, outcomes, now)

    def answered(self) -> PostingBatch | None:
        """Posting → announcing; None while the ledger has not answered."""
        batch = self.posting
        if batch is None or not batch.outcomes.done():
            return None
        self.posting, self.announcing = None, batch.items
        return batch

    def wait(self, seconds: float) -> bool:
        """Wait for the ledger; True when it has answered, or has nothing to answer."""
        if self.posting is None:
            return True
        try:
            self.posting.outcomes.exception(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def announced(self) -> None:
        """Announcing → committed, or dropped and read again."""
        self.announcing = ()

    def drop_lost(self, assignments: Iterable[Assignment]) -> None:
        """Nothing of other assignments is submitted; what is under way is dropped at its answer."""
        self.filling.drop_lost(assignments)

    def items(self) -> Iterable[Item]:
        """All of them, oldest first."""
        posting = self.posting.items if self.posting is not None else ()
        return chain(self.announcing, posting, self.filling.items)
