"""What an event says of Stripe's side: its object, and a balance transaction's amounts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeGuard

from worker.core.chain import Chain
from worker.core.event import Dead, Event
from worker.core.ids import event_key
from worker.core.wire import AMOUNT_MAX

CLEARING: Final = "stripe_clearing"
RESERVE: Final = "stripe_reserve"
UNSETTLED: Final = "stripe_unsettled"
BANK: Final = "bank"
SETTLEMENT: Final = "balance_transaction.created"
PAYMENTS: Final = "payments"
SETTLEMENTS: Final = "settlements"

_OBJECT_ID: Final = re.compile(r"[a-z]+_\w+", re.ASCII)
"""A Stripe id at the beginning of a fact's key."""

RESERVED: Final = "risk_reserved"
"""The `balance_type` of a row that is the other side of a hold: it is not on the balance."""

SECONDS_MAX: Final = 253_402_300_799
"""The last second of the year 9999."""

PARTIAL_CAPTURE: Final = "partial_capture_reversal"


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
    gross, fee, currency = about.get("amount"), about.get("fee") or 0, about.get("currency")
    if not (isinstance(currency, str) and _is_amount(gross) and _is_amount(fee)):
        return None
    net = about.get("net", gross - fee)
    if not _is_amount(net):
        return None
    return BalanceTransaction(
        txn=id_of(about),
        source=_source(about),
        category=category_of(about),
        currency=currency,
        gross=gross,
        fee=fee,
        net=net,
        on_balance=about.get("balance_type") != RESERVED,
    )


def _is_amount(value: object) -> TypeGuard[int]:
    """A whole number that a column holds."""
    return type(value) is int and abs(value) <= AMOUNT_MAX >> 1


def category_of(about: Mapping[str, Any]) -> str:
    """The reporting category of a balance transaction."""
    category = about.get("reporting_category")
    return category if isinstance(category, str) else ""


def _source(about: Mapping[str, Any]) -> str:
    """What a row is about: a partial capture's reversal is about the charge, where it says so.

    The two sides of a hold name nothing: they are of one second.
    """
    source = about.get("source")
    if not source and about.get("balance_type"):
        return f"{category_of(about)}/{about.get('created')}"
    if category_of(about) == PARTIAL_CAPTURE:
        expanded = source if isinstance(source, Mapping) else about.get("source_object")
        charge = id_of(expanded.get("charge")) if isinstance(expanded, Mapping) else ""
        return charge or id_of(source)
    return id_of(source)


def bank_names(about: Mapping[str, Any]) -> str:
    """What a bank statement may call a payout: its id, and the trace id that the bank gave it."""
    trace = about.get("trace_id")
    value = trace.get("value") if isinstance(trace, Mapping) else trace
    names = [id_of(about), value if isinstance(value, str) else ""]
    return " ".join(name for name in names if name)


def due_ms(about: Mapping[str, Any]) -> int:
    """When Stripe expects a payout at the bank; 0 where the event does not say."""
    arrival = about.get("arrival_date")
    return arrival * 1000 if type(arrival) is int and 0 < arrival <= SECONDS_MAX else 0


def told_by(chain: Chain) -> str:
    """Which side an event is of: the settlement feed, or payments."""
    return SETTLEMENTS if chain.event.type == SETTLEMENT else PAYMENTS


def settled_object(chain: Chain) -> str:
    """The Stripe object under which both sides report the same money.

    A settlement event names it as its source. A payment's rule names it by its fact, refund/re_1,
    or by the object that it carries.
    """
    about = object_of(chain.event)
    if chain.event.type == SETTLEMENT:
        return _source(about) or id_of(about)
    fact = "" if chain.key == event_key(chain.event.id) else chain.key.partition("/")[2]
    found = _OBJECT_ID.match(fact)
    return found[0] if found else id_of(about)
