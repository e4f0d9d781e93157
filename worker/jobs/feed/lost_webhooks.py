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


class LostWebhooks:
    """Knows the facts that payment events have brought lately, and the events by their ids.

    not_healed: called with the reason why an event that may be missing is not written.
    """

    def __init__(self, translator: Translator, not_healed: Callable[[str], None]) -> None:
        self._translator = translator
        self._not_healed = not_healed
        self._facts = Recent()
        self._ids = Recent()

    def note(self, event: Event | Dead, second: int) -> None:
        """An event is on the payments topic. second: since 1970, of its record."""
        if isinstance(event, Dead):
            return
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
