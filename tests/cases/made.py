"""Stripe's events of one charge, made small: captures, refunds, disputes and payouts.

An event is its type, its object, and what else it has beside them.
"""

# ruff: noqa: E501 - a row of the tables beside this holds the events of a case

from __future__ import annotations

from typing import Any

from tests.cases.orders import every_end
from tests.cases.told import Told, decoded

Event1 = tuple[str, dict[str, Any], dict[str, Any]]


def charged(amount: int = 900, **more: Any) -> dict[str, Any]:
    about = {"id": "ch_1", "created": 5, "amount": amount, "amount_captured": amount, "paid": True,
             "amount_refunded": 0, "captured": True, "currency": "usd", "customer": "ann"}  # fmt: skip
    return about | more


def refund(amount: int, n: int = 1, **more: Any) -> dict[str, Any]:
    about = {"id": f"re_{n}", "created": 9 + n, "amount": amount, "currency": "usd", "charge": "ch_1",
             "balance_transaction": f"txn_{n}", "reason": "duplicate", "status": "succeeded"}  # fmt: skip
    return about | more


def refunded(
    total: int, before: int | None, *listed: dict[str, Any], version: str, captured: int = 900
) -> Event1:
    """charge.refunded, with a list of refunds where the version has one."""
    about = charged(amount_refunded=total, amount_captured=captured)
    if listed:
        about["refunds"] = {"data": list(listed)}
    changed: dict[str, Any] = {}
    if before is not None:
        changed = {"data": {"previous_attributes": {"amount_refunded": before}}}
    return "charge.refunded", about, changed | {"api_version": version}


def disputed(
    kind: str, *moved: int, status: str = "lost", apart: int = 1, settled_in: str = "usd"
) -> Event1:
    listed = [{"id": f"t{n}", "amount": amount, "created": 20 + apart * n, "currency": settled_in}
              for n, amount in enumerate(moved)]  # fmt: skip
    about = {"id": "dp_1", "created": 20, "amount": 900, "currency": "usd", "charge": "ch_1",
             "status": status, "balance_transactions": listed}  # fmt: skip
    return f"charge.dispute.{kind}", about, {}


def payout(kind: str, amount: int) -> Event1:
    return f"payout.{kind}", {"id": "po_1", "created": 7, "amount": amount, "currency": "usd"}, {}


CHARGE: Event1 = ("charge.succeeded", charged(), {})
HELD: Event1 = ("charge.succeeded", charged(captured=False, amount_captured=0), {})


def captured(
    total: int, before: int | None = None, kind: str = "charge.captured", back: int = 0, **also: Any
) -> Event1:
    """A capture, with the total so far. back: what Stripe has given back of the rest."""
    more = {} if before is None else {"data": {"previous_attributes": {"amount_captured": before}}}
    return kind, charged(amount_captured=total, amount_refunded=back, **also), more


def last(total: int, before: int | None = None) -> Event1:
    """The last capture: what is not captured is given back."""
    return captured(total, before, back=900 - total)


def bodies(told: list[Event1]) -> list[dict[str, Any]]:
    return [
        {"id": f"evt_{n}", "type": kind, "created": 100 + n, "api_version": "2025-03-31.basil"}
        | more
        | {"data": {"object": about, **more.get("data", {})}}
        for n, (kind, about, more) in enumerate(told)
    ]


def judged_in_every_order(events: list[Event1], left: dict[str, int], *, avro: bool) -> None:
    """In every order of the events the balances in usd are these, and nothing is dead."""

    def judge(end: Told) -> None:
        noted = {"authorised_only usd", "never_captured usd"} - {f"{name} usd" for name in left}
        found = {name: balance for name, balance in end.totals().items() if name not in noted}
        assert found == {f"{account} usd": balance for account, balance in left.items()}
        assert not end.dead
        assert not end.waiting

    every_end(decoded(bodies(events), avro=avro), judge)
