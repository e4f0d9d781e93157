"""Announce: what is written to Kafka about each outcome.

A posted event is announced leg by leg, a rejected one once, a dead or parked one
with its original bytes; everything else is counted only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from worker.codecs.dead_letters import DeadLetters
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.parked import ParkedEvents
from worker.codecs.rejected import RejectedEncoder
from worker.core.chain import Chain
from worker.core.errors import BrokenInvariant
from worker.core.event import Dead, Reason
from worker.core.outcome import Outcome, OutcomeKind, Rejection
from worker.core.ports import Announcement
from worker.stages.item import Item

_UNREAD: Final = frozenset(
    {Reason.UNDECODABLE, Reason.UNKNOWN_SCHEMA, Reason.NOT_AN_EVENT, Reason.THIN_EVENT}
)


class AnnouncementWriter:
    """Turns the outcomes of a batch into records."""

    def __init__(
        self,
        *,
        outbox: OutboxEncoder,
        rejected: RejectedEncoder,
        parked: ParkedEvents,
        dead: DeadLetters,
    ) -> None:
        self._outbox = outbox
        self._rejected = rejected
        self._parked = parked
        self._dead = dead

    def write(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Announcement]:
        """The announcements, in order. A flat loop: it runs for every leg."""
        written: list[Announcement] = []
        encode = self._outbox.encode
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.legs:
                written += encode(_chain(item), outcome.attempt, outcome.legs, item.record)
            elif outcome.rejection is not None:
                written.append(self._rejection(item, outcome, outcome.rejection))
            elif outcome.dead is not None and outcome.kind is OutcomeKind.PARKED:
                written.append(self._wait(item, outcome.dead))
            elif outcome.dead is not None:
                written.append(self._letter(item, outcome.dead))
        return written

    def _rejection(self, item: Item, outcome: Outcome, rejection: Rejection) -> Announcement:
        return self._rejected.encode(
            item.record,
            _chain(item).event,
            transaction=outcome.transaction,
            leg=rejection.leg,
            reason=rejection.reason,
            attempt=outcome.attempt,
        )

    def _wait(self, item: Item, dead: Dead) -> Announcement:
        assignment = item.assignment
        return self._parked.park(
            item.record, dead, tries=assignment.tries, role=item.role, since=assignment.since
        )

    def _letter(self, item: Item, dead: Dead) -> Announcement:
        stage = _stage(item, dead)
        small = partial(self._dead.too_large, item.record, dead, stage=stage)
        return self._dead.letter(item.record, dead, stage=stage)._replace(otherwise=small)


def _stage(item: Item, dead: Dead) -> str:
    """Where the record died."""
    if isinstance(item.translated, Chain):
        return "post"
    return "decode" if dead.reason in _UNREAD else "translate"


def _chain(item: Item) -> Chain:
    if not isinstance(item.translated, Chain):
        raise BrokenInvariant("an event without a chain was posted")
    return item.translated
