"""The translator that the settings ask for: the rulebook, and whose money may enter the books."""

from __future__ import annotations

from typing import Final

from worker.config.settings import Settings
from worker.core.rulebook import Rulebook
from worker.core.translate import ANY_ACCOUNT, Translator

LIVEMODES: Final = {"any": None, "true": True, "false": False}


def translator_of(settings: Settings, rulebook: Rulebook, *, booked: bool = False) -> Translator:
    """Everybody's translator, guarded by `events.livemode` and `events.account`.

    booked: for events that the ledger or the outbox tells of. They passed the guards of their day,
    so a guard that was set later does not refuse them.
    """
    if booked:
        return Translator(rulebook, account=ANY_ACCOUNT)
    events = settings.events
    return Translator(rulebook, livemode=LIVEMODES[events.livemode], account=events.account)
