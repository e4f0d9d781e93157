"""Other cases of disputes and payouts: in parts, other currencies, other ends, in every order."""

# ruff: noqa: E501 - a row of the table holds the events of a case

from __future__ import annotations

import pytest

from tests.cases.made import (
    CHARGE,
    Event1,
    charged,
    disputed,
    judged_in_every_order,
    payout,
    refund,
)

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
