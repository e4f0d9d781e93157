"""Other cases of disputes and payouts: in parts, other currencies, other ends, in every order."""

# ruff: noqa: E501 - a row of the table holds the events of a case

from __future__ import annotations

import pytest

from tests.cases.made import (
    CHARGE,
    Event1,
    bodies,
    captured,
    charged,
    disputed,
    judged_in_every_order,
    payout,
    refund,
)
from tests.cases.orders import every_end
from tests.cases.told import Told, decoded

KINDS: dict[str, tuple[list[Event1], dict[str, int]]] = {
    # what happens          events    balances, usd
    "withdrawn in parts, lost, partly back": (
        [CHARGE, disputed("funds_withdrawn", -400), disputed("funds_withdrawn", -400, -500),
         disputed("closed", -400, -500), disputed("funds_reinstated", -400, -500, 70)],
        {"customer_wallet": 70, "stripe_unsettled": 70}),
    "withdrawn in parts within one second": (
        [CHARGE, disputed("funds_withdrawn", -400, apart=0), disputed("funds_withdrawn", -400, -500, apart=0)],
        {"disputes_held": 900, "customer_wallet": 900}),
    "given back in parts within one second": (
        [CHARGE, disputed("funds_withdrawn", -900, apart=0), disputed("funds_reinstated", -900, 300, apart=0),
         disputed("funds_reinstated", 200, -900, 300, apart=0)],
        {"disputes_held": 400, "customer_wallet": 900, "stripe_unsettled": 500}),
    "withdrawn in parts, the first never told": (
        [CHARGE, disputed("funds_withdrawn", -400, -500), disputed("closed", -400, -500)], {}),
    "withdrawn, given back, withdrawn again": (
        [CHARGE, disputed("funds_withdrawn", -900), disputed("funds_reinstated", -900, 900, status="won"),
         disputed("funds_withdrawn", -900, 900, -900)],
        {"disputes_held": 900, "customer_wallet": 900}),
    "withdrawn in parts, settled in another currency": (
        [CHARGE, disputed("funds_withdrawn", -440, settled_in="eur"),
         disputed("funds_withdrawn", -440, -550, settled_in="eur"), disputed("closed", -440, -550, settled_in="eur")], {}),
    "the same, given back in parts": (
        [CHARGE, disputed("funds_withdrawn", -990, settled_in="eur"),
         disputed("funds_reinstated", -990, 495, settled_in="eur"),
         disputed("funds_reinstated", -990, 495, 496, settled_in="eur", status="won")],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "the same, withdrawn again": (
        [CHARGE, disputed("funds_withdrawn", -990, settled_in="eur"),
         disputed("funds_reinstated", -990, 990, settled_in="eur", status="won"),
         disputed("funds_withdrawn", -990, 990, -990, settled_in="eur")],
        {"disputes_held": 900, "customer_wallet": 900}),
    "lost before the last capture is read": (
        [captured(300), captured(900, 300), disputed("funds_withdrawn", -900), disputed("closed", -900)], {}),
    "the same, and overturned": (
        [captured(300), captured(900, 300), disputed("funds_withdrawn", -900), disputed("closed", -900),
         disputed("funds_reinstated", -900, 900, status="won")],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "a guest's, lost before the last capture is read": (
        [captured(300, customer=None), captured(900, 300, customer=None),
         disputed("funds_withdrawn", -900), disputed("closed", -900)], {}),
    "a refund that fails after the loss": (
        [CHARGE, ("refund.created", refund(300), {}), disputed("funds_withdrawn", -900), disputed("closed", -900),
         ("refund.failed", refund(300, status="failed"), {})], {}),
    "the same, withdrawn in parts": (
        [CHARGE, ("refund.created", refund(300), {}), disputed("funds_withdrawn", -400),
         disputed("funds_withdrawn", -400, -500), disputed("closed", -400, -500),
         ("refund.failed", refund(300, status="failed"), {})], {}),
    "the same, and overturned in the end": (
        [CHARGE, ("refund.created", refund(300), {}), disputed("funds_withdrawn", -900), disputed("closed", -900),
         ("refund.updated", refund(300, status="failed"), {}), disputed("funds_reinstated", -900, 900, status="won")],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "a guest's refund that fails after the loss": (
        [("charge.succeeded", charged(customer=None), {}), ("refund.created", refund(300), {}),
         disputed("funds_withdrawn", -900), disputed("closed", -900),
         ("refund.failed", refund(300, status="failed"), {})], {}),
    "refunded, lost, overturned: the debt is repaid": (
        [CHARGE, ("refund.created", refund(300), {}), disputed("funds_withdrawn", -900),
         disputed("closed", -900), disputed("funds_reinstated", -900, 900, status="won")],
        {"customer_wallet": 600, "stripe_unsettled": 600}),
    "a guest's dispute, lost and overturned": (
        [("charge.succeeded", charged(customer=None), {}), disputed("funds_withdrawn", -900),
         disputed("closed", -900), disputed("funds_reinstated", -900, 900, status="won")],
        {"unallocated": 900, "stripe_unsettled": 900}),
    "lost for a charge that never came": (
        [disputed("funds_withdrawn", -900), disputed("closed", -900)],
        {"chargeback_losses": 900, "stripe_unsettled": -900}),
    "paid, then failed": ([payout("created", 50), payout("paid", 50), payout("failed", 50)], {}),
    "taken from the bank, then failed": (
        [payout("created", -50), payout("paid", -50), payout("failed", -50)], {}),
    "paid, but never created": ([payout("paid", 50)], {"bank": 50, "payouts_in_transit": -50}),
}  # fmt: skip


@pytest.mark.parametrize("avro", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_order(kind: str, avro: bool) -> None:  # noqa: FBT001 - how the events come
    """In every order of the events the balances are these, and nothing is dead."""
    judged_in_every_order(*KINDS[kind], avro=avro)


def row(n: int, amount: int, listed: int, *moved: int) -> Event1:
    """A balance transaction in euros, with the dispute as it was when so many were listed."""
    category = "dispute" if amount < 0 else "dispute_reversal"
    _, source, _ = disputed("funds_withdrawn", *moved[:listed], settled_in="eur")
    about = {"id": f"txn_{n}", "created": 20 + n, "amount": amount, "fee": 0, "net": amount, "currency": "eur",
             "reporting_category": category, "fee_details": [], "source": source | {"status": "needs_response"}}  # fmt: skip
    return "balance_transaction.created", about, {}


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    ("moved", "held"),
    [((-440, -550), 900), ((-990, 495), 450), ((-990, 495, 495), 0), ((-440, -550, 990), 0)],
)
def test_in_parts_in_another_currency(moved: tuple[int, ...], held: int, at_once: bool) -> None:  # noqa: FBT001
    """Both sides tell the same in the dispute's currency, whatever of it was listed when."""
    told: list[Event1] = []
    for n, amount in enumerate(moved):
        kind = "funds_withdrawn" if amount < 0 else "funds_reinstated"
        told.append(disputed(kind, *moved[: n + 1], settled_in="eur", status="needs_response"))
        told.append(row(n, amount, len(moved) if at_once else n + 1, *moved))

    def judge(end: Told) -> None:
        left = end.totals()
        assert "stripe_unsettled usd" not in left
        assert left.get("disputes_held usd", 0) == held
        assert left.get("fx_liquidity usd", 0) == -held
        assert left.get("stripe_clearing eur", 0) == sum(moved)
        assert not end.dead

    every_end(decoded(bodies(told)), judge)
