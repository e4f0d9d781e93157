"""The demo's page: what it says of Stripe's side."""

from __future__ import annotations

from typing import Any

import orjson

from worker.commands.demo_stripe import OneSidedItem, stripe_side
from worker.jobs.archive.records import ArchivedRecord


def _event(number: int, kind: str, about: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"evt_{number}", "type": kind, "created": 1, "data": {"object": about}}


def _settled(number: int, txn: str, source: object, net: int) -> dict[str, Any]:
    about = {
        "id": txn,
        "amount": net,
        "fee": 0,
        "net": net,
        "currency": "usd",
        "reporting_category": "charge",
        "source": source,
    }
    return _event(number, "balance_transaction.created", about)


def _leg(number: int, fact: str, debit: str, credit: str, amount: int) -> dict[str, Any]:
    return {
        "event_id": f"evt_{number}",
        "fact": fact,
        "currency": "usd",
        "amount": str(amount),
        "debit_account": debit,
        "credit_account": credit,
    }


EVENTS = [
    _event(1, "charge.succeeded", {"id": "ch_1"}),
    _settled(2, "txn_1", {"id": "ch_1"}, 100),
    _settled(3, "txn_1", {"id": "ch_1"}, 100),
    _event(4, "charge.succeeded", {"id": "ch_2"}),
    _settled(5, "txn_2", "re_1", -30),
]
LEGS = [
    _leg(1, "charge/ch_1", "stripe_unsettled", "wallet", 100),
    _leg(2, "fees/txn_1", "stripe_clearing", "stripe_unsettled", 100),
    _leg(4, "charge/ch_2", "stripe_unsettled", "wallet", 40),
    _leg(5, "fees/txn_2", "stripe_unsettled", "stripe_clearing", 30),
]


def _records(values: list[dict[str, Any]]) -> list[ArchivedRecord]:
    found = enumerate(map(orjson.dumps, values))
    return [ArchivedRecord("t", 0, number, b"", value, [], 0) for number, value in found]


def test_clearing_is_stripes_balance() -> None:
    """A balance transaction that comes twice counts once, as it is booked once."""
    side = stripe_side(_records(EVENTS), _records(LEGS))
    assert dict(side.balance) == dict(side.booked) == {"usd": 70}
    assert side.agrees
    assert not stripe_side(_records(EVENTS), _records(LEGS[:1])).agrees


def test_open_items_are_what_one_side_told() -> None:
    """A charge that is not settled and a refund that no payment event tells are open."""
    side = stripe_side(_records(EVENTS), _records(LEGS))
    assert set(side.open_items) == {
        OneSidedItem("ch_2", "usd", 40),
        OneSidedItem("re_1", "usd", 30),
    }
