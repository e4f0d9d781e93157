"""Each fact by every way it can be told, alone and together, in every order: the same ledger.

A webhook tells an object as it was then. The settlement feed expands the object of a balance
transaction, and a list call gives it, as it is today: refunded, failed or paid meanwhile. An event
made of one of these has an id, a time and a version of the API of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import pytest

from tests.cases.told import Told, decoded
from worker.core.wire import QueryFilter

About = dict[str, Any]
Fact = tuple[str, About, dict[str, Any]]
"""An event's type, its object, and what else the event has."""

CREATED, TODAY = 1_700_000_000, 1_760_000_000
LATEST = "2025-03-31.basil"


def made(number: str, amount: int, **more: Any) -> About:
    """One of Stripe's objects."""
    about = {"id": number, "created": CREATED, "amount": amount, "currency": "usd"}
    return about | more


def charged(**more: Any) -> About:
    about = made("ch_1", 900, amount_captured=900, amount_refunded=0, paid=True, captured=True)
    return about | {"customer": "ann", "status": "succeeded"} | more


def refund(**more: Any) -> About:
    about = made("re_1", 200, charge="ch_1", reason="duplicate", status="pending")
    return about | {"created": CREATED + 50, "balance_transaction": None} | more


def disputed(*amounts: int, status: str = "needs_response") -> About:
    moved = [made(f"txn_{number}", amount, created=CREATED + 100 + number)
             for number, amount in enumerate(amounts)]  # fmt: skip
    return made("dp_1", 900, charge="ch_1", status=status, balance_transactions=moved)


def listing(name: str, about: About, *parts: About) -> About:
    return about | {name: {"data": list(parts)}}


def same(kind: str, webhook: About, heal: About, backfill: About) -> tuple[Fact, Fact, Fact]:
    """One type by the three ways: with the object then, by its settlement, and today."""
    return (
        (kind, webhook, {"created": CREATED + 60}),
        (kind, heal, {"created": TODAY, "api_version": None}),
        (kind, backfill, {"created": TODAY + 9}),
    )


CHARGE: Fact = ("charge.succeeded", charged(), {})
GUEST: Fact = ("charge.succeeded", charged(customer=None), {})
HELD = charged(captured=False, amount_captured=0)
PART = charged(amount_captured=600, amount_refunded=300)
REFUNDED = charged(amount_refunded=900, refunded=True, disputed=True)
FAILED = charged(paid=False, status="failed", failure_balance_transaction="txn_8")
SETTLED = {"balance_transaction": "txn_7", "status": "succeeded"}
GONE = {"balance_transaction": "txn_7", "failure_balance_transaction": "txn_8", "status": "failed"}
OLD = {"created": CREATED + 61, "api_version": "2020-08-27"}
REST = refund(amount=300, reason=None)
NO_CHARGE = refund(charge=None, payment_intent="pi_1")
PAYOUT = made("po_1", 500, status="pending")
TAKEN = PAYOUT | {"amount": -500}
TRANSFER = made("tr_1", 500, destination="acct_1", amount_reversed=0)
BACK = made("trr_1", 200, created=CREATED + 70)
BACK_2 = made("trr_2", 300, created=CREATED + 80)
FEE = made("fee_1", 50, amount_refunded=0)
FEE_BACK = made("fr_1", 20, created=CREATED + 70)
FEE_BACK_2 = made("fr_2", 30, created=CREATED + 80)
TOPUP = made("tu_1", 700, status="succeeded")
CASH = {"id": "ccsbtxn_1", "created": CREATED, "currency": "usd", "net_amount": 400,
        "customer": "ann"}  # fmt: skip
WITHDRAWN: Fact = ("charge.dispute.funds_withdrawn", disputed(-900), {})
LOST: Fact = ("charge.dispute.closed", disputed(-900, status="lost"), {})


def payout(kind: str, about: About, status: str) -> tuple[Fact, ...]:
    """By webhook, by the feed once it is paid, and by the list once it is at its end."""
    return same(f"payout.{kind}", about, about | {"status": "paid"}, about | {"status": status})


PAID = payout("paid", PAYOUT | {"status": "paid"}, "failed")
CREATED_PAYOUT = payout("created", PAYOUT, "paid")

FACTS: dict[str, tuple[Sequence[Fact], Sequence[Fact]]] = {
    # fact               what else happened  the fact by its ways
    "charge": ((), same(
        "charge.succeeded", charged(), charged(amount_refunded=200), REFUNDED)),
    "guest charge": ((), same(
        "charge.succeeded", charged(customer=None), charged(customer=None, amount_refunded=200),
        REFUNDED | {"customer": None})),
    "capture": ((), (
        *same("charge.captured", charged(), charged(amount_refunded=200), REFUNDED),
        ("charge.succeeded", REFUNDED, {"created": TODAY + 10}))),
    "authorised, then captured": ((("charge.succeeded", HELD, {}),), (
        *same("charge.captured", charged(), charged(amount_refunded=200), REFUNDED),
        ("charge.succeeded", REFUNDED, {"created": TODAY + 10}))),
    "partial capture": ((), (
        *same("charge.captured", PART, PART | {"amount_refunded": 500},
              PART | {"amount_refunded": 900, "refunded": True}),
        ("charge.succeeded", PART | {"amount_refunded": 900}, {"created": TODAY + 10}))),
    "guest's partial capture": ((), same(
        "charge.captured", PART | {"customer": None},
        PART | {"customer": None, "amount_refunded": 500},
        PART | {"customer": None, "amount_refunded": 900})),
    "refund": ((CHARGE,), same(
        "refund.created", refund(), refund(**SETTLED), refund(**GONE))),
    "guest's refund": ((GUEST,), same(
        "refund.created", refund(), refund(**SETTLED), refund(**GONE))),
    "refund without a reason": ((CHARGE,), same(
        "refund.created", refund(reason=None), refund(reason=None, **SETTLED),
        refund(reason=None, **GONE))),
    "refund by the charge's event, with a list": ((CHARGE,), (
        ("charge.refunded", listing("refunds", REFUNDED, refund()), OLD),
        ("refund.created", refund(**SETTLED), {"created": TODAY}),
        ("refund.created", refund(**GONE), {"created": TODAY + 9}))),
    "refund by the charge's event, without a reason": ((CHARGE,), (
        ("charge.refunded", listing("refunds", REFUNDED, refund(reason=None)), OLD),
        ("refund.created", refund(reason=None, **SETTLED), {"created": TODAY}),
        ("refund.created", refund(reason=None, **GONE), {"created": TODAY + 9}))),
    "refund of what was never captured": ((("charge.captured", PART, {}),), same(
        "refund.created", REST, REST | SETTLED, REST | SETTLED)),
    "refund of it by the charge's event": ((("charge.captured", PART, {}),), (
        ("charge.refunded", listing("refunds", PART, REST), OLD),
        ("refund.created", REST | SETTLED, {"created": TODAY}),
        ("refund.created", REST | SETTLED, {"created": TODAY + 9}))),
    "refund failed": ((CHARGE, ("refund.created", refund(), {})), (
        *same("refund.failed", refund(status="failed"), refund(**GONE), refund(**GONE)),
        ("refund.updated", refund(**GONE), {}),
        ("charge.refund.updated", refund(**GONE), OLD))),
    "refund canceled": ((CHARGE, ("refund.created", refund(), {})), (
        *same("refund.updated", refund(status="canceled"), refund(status="canceled"),
              refund(status="canceled")),
        ("charge.refund.updated", refund(status="canceled"), OLD))),
    "refund without a charge": ((), same(
        "refund.created", NO_CHARGE, NO_CHARGE | SETTLED, NO_CHARGE | GONE)),
    "refund without a charge failed": ((), same(
        "refund.failed", NO_CHARGE | {"status": "failed"}, NO_CHARGE | GONE, NO_CHARGE | GONE)),
    "charge failed": ((CHARGE,), same(
        "charge.failed", FAILED, FAILED, FAILED | {"failure_code": "debit_not_authorized"})),
    "dispute withdrawn": ((CHARGE,), same(
        "charge.dispute.funds_withdrawn", disputed(-900), disputed(-900, status="lost"),
        disputed(-900, 900, status="won"))),
    "dispute withdrawn, as old events tell it": ((CHARGE,), same(
        "charge.dispute.funds_withdrawn", disputed(), disputed(-900),
        disputed(-900, 900, status="won"))),
    "dispute's second part withdrawn": ((CHARGE,), same(
        "charge.dispute.funds_withdrawn", disputed(-400, -500),
        disputed(-400, -500, status="lost"), disputed(-400, -500, 900, status="won"))),
    "dispute withdrawn after its loss": ((CHARGE, LOST), same(
        "charge.dispute.funds_withdrawn", disputed(-900, status="lost"),
        disputed(-900, status="lost"), disputed(-900, 900, status="won"))),
    "dispute reinstated": ((CHARGE, WITHDRAWN), same(
        "charge.dispute.funds_reinstated", disputed(-900, 900),
        disputed(-900, 900, status="won"), disputed(-900, 900, -900, status="lost"))),
    "dispute reinstated after its loss": ((CHARGE, WITHDRAWN, LOST), same(
        "charge.dispute.funds_reinstated", disputed(-900, 900, status="lost"),
        disputed(-900, 900, status="won"), disputed(-900, 900, status="won"))),
    "dispute lost": ((CHARGE, WITHDRAWN), same(
        "charge.dispute.closed", disputed(-900, status="lost"),
        disputed(-900, status="lost"), disputed(-900, 900, status="lost"))),
    "transfer": ((), same(
        "transfer.created", TRANSFER, TRANSFER | {"amount_reversed": 200},
        listing("reversals", TRANSFER | {"amount_reversed": 500}, BACK_2, BACK))),
    "transfer reversal": ((), same(
        "transfer.reversed", listing("reversals", TRANSFER | {"amount_reversed": 200}, BACK),
        listing("reversals", TRANSFER | {"amount_reversed": 500}, BACK),
        listing("reversals", TRANSFER | {"amount_reversed": 500}, BACK))),
    "transfer's second reversal": ((), same(
        "transfer.reversed", listing("reversals", TRANSFER, BACK_2, BACK),
        listing("reversals", TRANSFER, BACK_2), listing("reversals", TRANSFER, BACK, BACK_2))),
    "application fee": ((), same(
        "application_fee.created", FEE, FEE | {"amount_refunded": 20},
        listing("refunds", FEE | {"amount_refunded": 50, "refunded": True}, FEE_BACK))),
    "application fee's refund": ((), same(
        "application_fee.refunded", listing("refunds", FEE | {"amount_refunded": 20}, FEE_BACK),
        listing("refunds", FEE | {"amount_refunded": 50}, FEE_BACK),
        listing("refunds", FEE | {"amount_refunded": 50}, FEE_BACK))),
    "application fee's refund by itself": ((), same(
        "application_fee.refunded", listing("refunds", FEE | {"amount_refunded": 20}, FEE_BACK),
        FEE_BACK | {"fee": "fee_1"}, FEE_BACK | {"fee": "fee_1"})),
    "application fee's second refund": ((), same(
        "application_fee.refunded", listing("refunds", FEE, FEE_BACK_2, FEE_BACK),
        listing("refunds", FEE, FEE_BACK_2), listing("refunds", FEE, FEE_BACK, FEE_BACK_2))),
    "top-up": ((), same(
        "topup.succeeded", TOPUP, TOPUP | {"balance_transaction": "txn_7"},
        TOPUP | {"status": "reversed"})),
    "top-up reversed": ((("topup.succeeded", TOPUP, {}),), same(
        "topup.reversed", TOPUP | {"status": "reversed"}, TOPUP | {"status": "reversed"},
        TOPUP | {"status": "reversed"})),
    "payout created": ((), payout("created", PAYOUT, "paid")),
    "payout created that failed": ((), payout("created", PAYOUT, "failed")),
    "payout paid": ((CREATED_PAYOUT[0],), PAID),
    "payout failed": ((CREATED_PAYOUT[0],), payout("failed", PAYOUT, "failed")),
    "payout failed after it was paid": (
        (CREATED_PAYOUT[0], PAID[0]), payout("failed", PAYOUT, "failed")),
    "payout canceled": ((CREATED_PAYOUT[0],), payout("canceled", PAYOUT, "canceled")),
    "taken from the bank": ((), payout("created", TAKEN, "paid")),
    "taken from the bank, paid": ((), payout("paid", TAKEN, "failed")),
    "taken from the bank, failed": ((), payout("failed", TAKEN, "failed")),
    "customer's cash": ((), same("customer_cash_balance_transaction.created", CASH, CASH, CASH)),
}  # fmt: skip

Moved = frozenset[tuple[int, ...]]
"""What every transfer is: its id, accounts, amount and marks; not when and by which event."""


def bodies(facts: Sequence[Fact], name: str) -> list[dict[str, Any]]:
    """The facts as events of their own ids."""
    return [
        {"id": f"evt_{name}{number}", "type": kind, "created": CREATED, "api_version": LATEST}
        | more
        | {"data": {"object": about, **more.get("data", {})}}
        for number, (kind, about, more) in enumerate(facts)
    ]


def books(events: Sequence[Any]) -> tuple[Moved, dict[tuple[str, str, str], int]]:
    """The transfers and the balances after these events, of which none came to nothing."""
    told = Told().tell_all(events)
    assert not told.dead
    assert not told.rejected
    assert not told.waiting
    transfers = told.ledger.query_transfers(QueryFilter())
    moved = [(each.id, each.debit_account_id, each.credit_account_id, each.amount, each.ledger,
              each.code, int(each.flags), each.user_data_128) for each in transfers]  # fmt: skip
    return frozenset(moved), told.balances()


def orders(ways: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Every way alone, every two and every three of them, in every order."""
    for size in range(1, 4):
        yield from permutations(ways, size)


@pytest.mark.parametrize("avro", [False, True])
@pytest.mark.parametrize("name", FACTS)
def test_every_way(name: str, avro: bool) -> None:  # noqa: FBT001 - how the events come
    """After what else happened, and before it: the ledger is the webhook's."""
    before, by_ways = FACTS[name]
    others = decoded(bodies(before, "other"), avro=avro)
    ways = decoded(bodies(by_ways, "way"), avro=avro)
    after = books([*others, ways[0]])
    first = books([ways[0], *others])
    assert after[0] > books(others)[0], "the fact moves nothing"
    for order in orders(ways):
        assert books([*others, *order]) == after
        assert books([*order, *others]) == first


def test_a_charge_that_failed_meanwhile() -> None:
    """Told as it is today it gives nothing, so that its failure cannot be read too early."""
    succeeded = decoded(bodies([CHARGE, ("charge.succeeded", FAILED, {})], "charge"))
    failed = decoded(bodies([("charge.failed", FAILED, {}), ("charge.failed", FAILED, {})], "fail"))
    for size in range(1, 5):
        for order in permutations([*succeeded, *failed], size):
            told_in_time = succeeded[0] in order and not set(failed) & set(order)
            assert bool(books(order)[1]) == told_in_time


def test_a_transfer_reversal_by_itself() -> None:
    """The feed's own object, which holds the transfer; without that it is a dead letter."""
    webhook = listing("reversals", TRANSFER | {"amount_reversed": 200}, BACK)
    ways = [webhook, BACK | {"transfer": TRANSFER}]
    events = decoded(bodies([("transfer.reversed", about, {}) for about in ways], "way"))
    for order in orders(events):
        assert books(order) == books(events[:1])
    (unnamed,) = decoded(bodies([("transfer.reversed", BACK | {"transfer": "tr_1"}, {})], "way"))
    told = Told().tell_all([unnamed])
    assert [reason.partition(":")[0] for _, reason in told.dead] == ["missing_field"]
