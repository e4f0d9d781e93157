"""Posting that never books a fact twice: what the ledger holds under other ids is a conflict.

The live worker needs no such guard, because an event's ids never change under one rulebook; a
replay meets events of other years' rulebooks.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.core import outcome as table
from worker.core.chain import Chain
from worker.core.event import Reason
from worker.core.outcome import Outcome
from worker.stages.item import Item
from worker.stages.post.ledger_status import LedgerStatus, RequestedChain
from worker.stages.protocols import Posting

DETAIL = "the ledger holds this fact under other ids: a replay does not post it twice"


class RepostGuard:
    """Stands before another Posting."""

    def __init__(self, posting: Posting, ledger_status: LedgerStatus) -> None:
        self._posting = posting
        self._ledger_status = ledger_status

    def newest_timestamp(self) -> int:
        """The ledger's newest transfer timestamp, in nanoseconds."""
        return self._posting.newest_timestamp()

    def post(self, items: Sequence[Item]) -> list[Outcome]:
        """The outcome of every item, in order."""
        chains = [(item, item.translated) for item in items if isinstance(item.translated, Chain)]
        astray = self._ledger_status.under_other_ids(
            [RequestedChain(chain, item.role) for item, chain in chains]
        )
        refused = {
            id(item): table.ledger_dead_letter(chain, Reason.CONFLICT, DETAIL)
            for (item, chain), other in zip(chains, astray, strict=True)
            if other
        }
        rest = iter(self._posting.post([item for item in items if id(item) not in refused]))
        return [refused[id(item)] if id(item) in refused else next(rest) for item in items]
