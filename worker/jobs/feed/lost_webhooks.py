"""Which payment events are missing: no webhook with their fact has come.

What a fact is, the rulebook says: its key is that of the chain that an event makes. So an event
that the rulebook ignores is not missing, one whose key is the event's own id cannot be known again
and is never written, and one too many is booked once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from worker.codecs.decode import event_of
from worker.core.chain import Chain
from worker.core.event import Dead, Event, Skipped
from worker.core.translate import Translator
from worker.jobs.feed.recent import Recent

ROLE: Final = "payments"
OWN_KEY: Final = "event/"
CAPTURES: Final = frozenset({"charge.captured", "charge.updated"})
UNNAMED_REFUNDS: Final = ("2022-11-15", "2024-10-28")
"""Versions of Stripe's API from and before which a webhook does not name a card's refund."""


class LostWebhooks:
    """Knows the facts that payment events have brought lately, and the events by their ids.

    not_healed: called with the reason why an event that may be missing is not written.
    """

    def __init__(self, translator: Translator, not_healed: Callable[[str], None]) -> None:
        self._translator = translator
        self._not_healed = not_healed
        self._facts = Recent()
        self._ids = Recent()
        self._unnamed_refunds = False

    def note(self, event: Event | Dead, second: int) -> None:
        """An event is on the payments topic. second: since 1970, of its record."""
        if isinstance(event, Dead):
            return
        version = event.body.get("api_version")
        first, after = UNNAMED_REFUNDS
        if isinstance(version, str) and first <= version < after:
            self._unnamed_refunds = True
        chain = self._translator.translate(event, role=ROLE)
        if isinstance(chain, Chain):
            self._facts.add(chain.key, second)
            self._ids.add(event.id, second)

    def missing(self, body: Mapping[str, Any]) -> bool:
        """Has no event brought this one's fact, and can it be written?"""
        event = event_of(body)
        chain = event if isinstance(event, Dead) else self._translator.translate(event, role=ROLE)
        if isinstance(chain, Skipped):
            return False
        if isinstance(chain, Dead):
            self._not_healed("refused")
        elif chain.key.startswith(OWN_KEY):
            self._not_healed("no_fact")
        elif body["type"] == "refund.created" and self._unnamed_refunds:
            self._not_healed("unidentified")
        else:
            return chain.key not in self._facts
        return False

    def not_delivered(self, body: Mapping[str, Any]) -> bool:
        """Has this event of Stripe's own not come, nor its fact by another?

        Captures of one charge are one fact to the rulebook, which books what each adds: whether one
        of them has come, only its id says.
        """
        event = event_of(body)
        if isinstance(event, Event) and event.id in self._ids:
            return False
        if isinstance(event, Dead) or event.type not in CAPTURES:
            return self.missing(body)
        return isinstance(self._translator.translate(event, role=ROLE), Chain)

    def forget_before(self, second: int) -> None:
        """Forget facts and ids of older records."""
        self._facts.forget_before(second)
        self._ids.forget_before(second)
