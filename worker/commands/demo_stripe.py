"""Stripe's side of the demo: its balance beside the books', and what only one side reported."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.codecs.decode import Decoder
from worker.core.event import Dead, Event
from worker.core.ports import Record
from worker.jobs.reconcile.stripe_side import (
    CLEARING,
    SETTLEMENT,
    UNSETTLED,
    balance_transaction,
    id_of,
    object_of,
)

OBJECT_ID: Final = re.compile(r"[a-z]+_\w+", re.ASCII)
"""A Stripe id at the beginning of a fact's key."""


@dataclass(frozen=True, slots=True)
class OneSidedItem:
    """A Stripe object on which payment and settlement events leave something, in minor units.

    amount: positive where payments reported more.
    """

    about: str
    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class StripeSide:
    """By currency, in minor units.

    balance: Σ net of the settlement events that came, less what Stripe holds back.
    booked: the clearing account in the ledger.
    """

    balance: Mapping[str, int]
    booked: Mapping[str, int]
    open_items: tuple[OneSidedItem, ...]

    @property
    def agrees(self) -> bool:
        """Is clearing what Stripe holds, in every currency?"""
        names = {*self.balance, *self.booked}
        return all(self.balance.get(name, 0) == self.booked.get(name, 0) for name in names)


def stripe_side(inputs: Iterable[Record], posted: Iterable[Record]) -> StripeSide:
    """What the records of the input topics and of the outbox say."""
    found = (Decoder().decode(record.value() or b"") for record in inputs)
    events = {event.id: event for event in found if not isinstance(event, Dead)}
    legs = [json.loads(record.value() or b"{}") for record in posted]
    rows = {
        row.txn: row
        for event in events.values()
        if event.type == SETTLEMENT and (row := balance_transaction(event)) and row.on_balance
    }
    balance: Counter[str] = Counter()
    for row in rows.values():
        balance[row.currency] += row.net
    booked: Counter[str] = Counter()
    for leg in legs:
        booked[leg["currency"]] += _moved(leg, CLEARING)
    return StripeSide(balance, booked, tuple(_open_items(legs, events)))


def _open_items(
    legs: Iterable[Mapping[str, Any]], events: Mapping[str, Event]
) -> Iterable[OneSidedItem]:
    sums: Counter[tuple[str, str]] = Counter()
    for leg in legs:
        moved = _moved(leg, UNSETTLED)
        if moved:
            sums[_about(leg, events[leg["event_id"]]), leg["currency"]] += moved
    return (OneSidedItem(*key, amount) for key, amount in sums.items() if amount)


def _moved(leg: Mapping[str, Any], account: str) -> int:
    """Debits less credits of one account."""
    debited, credited = (leg[f"{side}_account"] == account for side in ("debit", "credit"))
    return int(leg["amount"]) * (bool(debited) - bool(credited))


def _about(leg: Mapping[str, Any], event: Event) -> str:
    """The Stripe object under which both sides report the same money."""
    if event.type == SETTLEMENT:
        row = balance_transaction(event)
        return (row.source if row else "") or id_of(object_of(event))
    found = OBJECT_ID.match(str(leg["fact"]).partition("/")[2])
    return found[0] if found else id_of(object_of(event))
