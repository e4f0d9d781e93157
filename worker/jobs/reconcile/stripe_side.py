"""What an event says of Stripe's side: its object, and a balance transaction's amounts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from worker.core.chain import Chain
from worker.core.event import Dead, Event
from worker.core.ids import event_key
from worker.core.wire import AMOUNT_MAX

CLEARING: Final = "stripe_clearing"
RESERVE: Final = "stripe_reserve"
UNSETTLED: Final = "stripe_unsettled"
SETTLEMENT: Final = "balance_transaction.created"
PAYMENTS: Final = "payments"
SETTLEMENTS: Final = "settlements"

_OBJECT_ID: Final = re.compile(r"[a-z]+_\w+", re.ASCII)
"""A Stripe id at the beginning of a fact's key."""

RESERVED: Final = "reserve"
"""In the `balance_type` of a row that is the other side of a hold: it is not on the balance."""


class BalanceTransaction(NamedTuple):
    """A row of the settlement feed; amounts in minor units.

    txn: its id.
    source: the id of the object that it is about; empty where Stripe names none.
    category: Stripe's reporting category.
    on_balance: false for a row of the reserve's own balance, the other side of a hold.
    """

    txn: str
    source: str
    category: str
    currency: str
    gross: int
    fee: int
    net: int
    on_balance: bool


def object_of(found: Event | Dead) -> Mapping[str, Any]:
    """The Stripe object that an event carries."""
    if isinstance(found, Dead):
        return {}
    about: Mapping[str, Any] = found.body["data"]["object"]
    return about


def id_of(value: object) -> str:
    """The id of an object, or of a reference that may be expanded; empty where there is none."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) else ""


def balance_transaction(event: Event) -> BalanceTransaction | None:
    """The row that a settlement event is; None where it does not say what it moved."""
    about = object_of(event)
    amounts = [about.get(name) for name in ("amount", "fee", "net")]
    currency, category = about.get("currency"), about.get("reporting_category")
    if not isinstance(currency, str) or not all(
        type(amount) is int and abs(amount) <= AMOUNT_MAX >> 1 for amount in amounts
    ):
        return None
    gross, fee, net = map(int, amounts)  # type: ignore[arg-type] # whole numbers, as was looked at
    return BalanceTransaction(
        txn=id_of(about),
        source=_source(about),
        category=category if isinstance(category, str) else "",
        currency=currency,
        gross=gross,
        fee=fee,
        net=net,
        on_balance=RESERVED not in str(about.get("balance_type") or ""),
    )


def _source(about: Mapping[str, Any]) -> str:
    """What a row is about: a partial capture's reversal is about the charge, where it says so."""
    source = about.get("source")
    if about.get("reporting_category") == "partial_capture_reversal":
        expanded = source if isinstance(source, Mapping) else about.get("source_object")
        charge = id_of(expanded.get("charge")) if isinstance(expanded, Mapping) else ""
        return charge or id_of(source)
    return id_of(source)


def told_by(chain: Chain) -> str:
    """Which side an event is of: the settlement feed, or payments."""
    return SETTLEMENTS if chain.event.type == SETTLEMENT else PAYMENTS


def settled_object(chain: Chain) -> str:
    """The Stripe object under which both sides tell the same money.

    A settlement event names it as its source. A payment's rule names it by its fact, refund/re_1,
    or by the object that it carries.
    """
    about = object_of(chain.event)
    if chain.event.type == SETTLEMENT:
        return _source(about) or id_of(about)
    fact = "" if chain.key == event_key(chain.event.id) else chain.key.partition("/")[2]
    found = _OBJECT_ID.match(fact)
    return found[0] if found else id_of(about)
