"""Other cases of the same kinds: other amounts, versions, parts and ends, in every order."""

# ruff: noqa: E501 - a row of the table holds the events of a case

from __future__ import annotations

from typing import Any

import pytest

from tests.cases.made import (
    CHARGE,
    HELD,
    Event1,
    bodies,
    captured,
    charged,
    judged_in_every_order,
    last,
    refund,
    refunded,
)
from tests.cases.orders import every_end
from tests.cases.told import Told, decoded
from tests.unit.books import Books
from worker.core.outcome import OutcomeKind
from worker.rulebooks.load import PACKAGED

KINDS: dict[str, tuple[list[Event1], dict[str, int]]] = {
    # what happens          events    balances, usd
    "no list of refunds": (
        [CHARGE, refunded(200, 0, version="2023-10-16"), refunded(500, 200, version="2023-10-16")],
        {"customer_wallet": 400, "stripe_unsettled": 400}),
    "no list, and nothing of what was before": (
        [CHARGE, *((kind, about, {"api_version": "2023-10-16"}) for kind, about, _ in
                   (refunded(200, 0, version=""), refunded(500, 200, version=""), refunded(600, 500, version="")))],
        {"customer_wallet": 300, "stripe_unsettled": 300}),
    "the same of a partial capture": (
        [HELD, last(700), *(("charge.refunded", charged(amount_captured=700, amount_refunded=total), {"api_version": "2023-10-16"})
                                for total in (200, 300, 450))],
        {"customer_wallet": 450, "stripe_unsettled": 450}),
    "a list, and refund.created": (
        [CHARGE, refunded(200, 0, refund(200), version="2020-08-27"),
         refunded(500, 200, refund(300, 2), refund(200), version="2020-08-27"),
         ("refund.created", refund(200), {}), ("refund.created", refund(300, 2), {})],
        {"customer_wallet": 400, "stripe_unsettled": 400}),
    "without a list, and told by itself": (
        [CHARGE, refunded(200, 0, version="2023-10-16"), ("refund.created", refund(200), {"api_version": "2023-10-16"})],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
    "without a list, and each told by itself": (
        [CHARGE, refunded(200, 0, version="2023-10-16"), refunded(500, 200, version="2023-10-16"),
         ("refund.created", refund(200, reason=None), {}), ("refund.created", refund(300, 2), {})],
        {"customer_wallet": 400, "stripe_unsettled": 400}),
    "without a list, of one amount, and each told by itself": (
        [CHARGE, *(refunded(total, None, version="2022-11-15") for total in (300, 600, 900)),
         *(("refund.created", refund(300, n, reason=None), {}) for n in (1, 2, 3))], {}),
    "without a list, one event is lost, and each told by itself": (
        [CHARGE, refunded(500, 200, version="2023-10-16"),
         ("refund.created", refund(200), {}), ("refund.created", refund(300, 2), {})],
        {"customer_wallet": 400, "stripe_unsettled": 400}),
    "without a list, and one of two told by itself": (
        [CHARGE, refunded(200, 0, version="2023-10-16"), refunded(500, 200, version="2023-10-16"),
         ("refund.created", refund(300, 2), {})],
        {"customer_wallet": 400, "stripe_unsettled": 400}),
    "a guest's, without a list and by itself": (
        [("charge.succeeded", charged(customer=None), {}), refunded(500, 0, version="2023-10-16"),
         ("refund.created", refund(500), {})],
        {"unallocated": 400, "stripe_unsettled": 400}),
    "without a list and by itself, of a charge before these books": (
        [refunded(500, 0, version="2023-10-16"), ("refund.created", refund(500), {})],
        {"opening_balances": -500, "stripe_unsettled": -500}),
    "a partial capture, all of it told without a list and by itself": (
        [HELD, last(600), refunded(300, 0, version="2023-10-16", captured=600),
         refunded(400, 300, version="2023-10-16", captured=600),
         ("refund.created", refund(300, reason=None), {}), ("refund.created", refund(100, 2), {})],
        {"customer_wallet": 500, "stripe_unsettled": 500}),
    "captures in parts, the rest told without a list and by itself": (
        [captured(300), last(700, 300), refunded(200, 0, version="2023-10-16", captured=700),
         ("refund.created", refund(200, reason=None), {})],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
    "a refund between two captures, as large as the rest then": (
        [HELD, captured(500), ("refund.created", refund(400, reason=None), {}), captured(900, 500)],
        {"customer_wallet": 500, "stripe_unsettled": 500}),
    "the same, told by the charge": (
        [HELD, captured(500), refunded(400, 0, refund(400, reason=None), version="2020-08-27", captured=500), captured(900, 500)],
        {"customer_wallet": 500, "stripe_unsettled": 500}),
    "the same, a guest's": (
        [captured(500, customer=None), ("refund.created", refund(400, reason=None), {}),
         captured(900, 500, customer=None)],
        {"unallocated": 500, "stripe_unsettled": 500}),
    "the same, and the rest given back": (
        [captured(500), ("refund.created", refund(400, reason=None), {}), last(800, 500),
         ("refund.created", refund(100, 2, reason=None), {})],
        {"customer_wallet": 400, "stripe_unsettled": 400}),
    "a capture that does not say that its rest goes back": (
        [HELD, captured(600), ("refund.created", refund(300, reason=None), {}),
         ("refund.created", refund(100, 2), {})],
        {"customer_wallet": 500, "stripe_unsettled": 500}),
    "a new version tells both": (
        [CHARGE, refunded(200, 0, version="2024-10-28.acacia"), ("refund.created", refund(200), {})],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
    "a list, and refund.created, without a reason": (
        [CHARGE, refunded(200, 0, refund(200, reason=None), version="2020-08-27"),
         refunded(500, 200, refund(300, 2, reason=None), refund(200, reason=None), version="2020-08-27"),
         ("refund.created", refund(200, reason=None), {}),
         ("refund.created", refund(300, 2, reason=None), {})],
        {"customer_wallet": 400, "stripe_unsettled": 400}),
    "an old partial capture, what was not captured told by the charge": (
        [HELD, last(600), refunded(300, 0, version="2023-10-16", captured=600),
         refunded(400, 300, version="2023-10-16", captured=600)],
        {"customer_wallet": 500, "stripe_unsettled": 500}),
    "the same with a list": (
        [HELD, last(600), refunded(300, 0, refund(300, reason=None), version="2020-08-27", captured=600),
         refunded(400, 300, refund(100, 2), refund(300, reason=None), version="2020-08-27", captured=600)],
        {"customer_wallet": 500, "stripe_unsettled": 500}),
    "half captured, and that half refunded, with lists": (
        [HELD, last(450), refunded(900, 450, refund(450, 2, reason=None), version="2020-08-27", captured=450)],
        {"authorised_only": 450, "never_captured": 450}),
    "a refund under way, of a charge before these books": (
        [("refund.created", refund(200, status="pending", balance_transaction=None), {})],
        {"opening_balances": -200, "stripe_unsettled": -200}),
    "the same, then it fails": (
        [("refund.created", refund(200, status="pending", balance_transaction=None), {}),
         ("refund.failed", refund(200, status="failed"), {})], {}),
    "a guest's charge, in parts, and a refund": (
        [("charge.updated", charged(customer=None, amount_captured=400), {"data": {"previous_attributes": {"amount_captured": 0}}}),
         ("charge.captured", charged(customer=None), {"data": {"previous_attributes": {"amount_captured": 400}}}),
         ("refund.created", refund(200), {})],
        {"unallocated": 700, "stripe_unsettled": 700}),
    "one of two refunds fails": (
        [CHARGE, ("refund.created", refund(200), {}), ("refund.created", refund(300, 2), {}),
         ("refund.failed", refund(300, 2, status="failed"), {})],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
    "a partial capture, its refund, and another": (
        [HELD, last(600), ("refund.created", refund(300, reason=None), {}),
         ("refund.created", refund(100, 2, reason=None), {})],
        {"customer_wallet": 500, "stripe_unsettled": 500}),
    "a partial capture whose refund is not told, and another": (
        [HELD, last(600), ("refund.created", refund(100, 2, reason=None), {})],
        {"customer_wallet": 500, "stripe_unsettled": 500, "authorised_only": 300,
         "never_captured": 300}),
    "three captures": (
        [HELD, captured(100, 0, "charge.updated"), captured(350, 100, "charge.updated"),
         captured(900, 350)],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "two captures, neither says what was before": (
        [HELD, captured(400), captured(900)], {"customer_wallet": 900, "stripe_unsettled": 900}),
    "three captures, none says what was before": (
        [HELD, captured(100), captured(350), captured(900)],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "an interim capture, and one that does not say what was before": (
        [HELD, captured(100, 0, "charge.updated"), captured(350, 100, "charge.updated"), captured(900)],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "the same, not all of it captured": (
        [HELD, captured(100, 0, "charge.updated"), captured(350, 100, "charge.updated"), last(800)],
        {"customer_wallet": 800, "stripe_unsettled": 800}),
    "the same, and healed by its list": (
        [HELD, captured(100, 0, "charge.updated"), captured(900), ("charge.succeeded", charged(), {})],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "an interim capture, the last one healed": (
        [HELD, captured(100, 0, "charge.updated"), ("charge.succeeded", charged(), {})],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "a guest's captures, none says what was before": (
        [("charge.captured", charged(customer=None, amount_captured=part), {}) for part in (300, 600, 900)],
        {"unallocated": 900, "stripe_unsettled": 900}),
    "a capture in between is lost, then a refund": (
        [captured(100, 0, "charge.updated"), captured(900, 350), ("refund.created", refund(200), {})],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
    "captures in parts, and the refund of the rest": (
        [HELD, captured(300, 0, "charge.updated"), last(700, 300), ("refund.created", refund(200, reason=None), {})],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
    "the same, none says what was before": (
        [HELD, captured(300), last(700), ("refund.created", refund(200, reason=None), {})],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
    "three captures, the rest's refund, and another with a reason": (
        [captured(300), captured(500), last(700), ("refund.created", refund(200, reason=None), {}),
         ("refund.created", refund(100, 2), {})],
        {"customer_wallet": 600, "stripe_unsettled": 600}),
    "a guest's captures in parts, and the refund of the rest": (
        [("charge.captured", charged(customer=None, amount_captured=300), {}),
         ("charge.captured", charged(customer=None, amount_captured=700, amount_refunded=200), {}),
         ("refund.created", refund(200, reason=None), {})],
        {"unallocated": 700, "stripe_unsettled": 700}),
    "one total told in three ways": (
        [captured(400, 0, "charge.updated"), captured(900, 400, "charge.updated"), captured(900, 400), captured(900)],
        {"customer_wallet": 900, "stripe_unsettled": 900}),
    "the refund of the rest in a list, before the last capture": (
        [captured(300), last(700), refunded(200, 0, refund(200, reason=None), version="2020-08-27", captured=700)],
        {"customer_wallet": 700, "stripe_unsettled": 700}),
}  # fmt: skip


@pytest.mark.parametrize("avro", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_order(kind: str, avro: bool) -> None:  # noqa: FBT001 - how the events come
    """In every order of the events the balances are these, and nothing is dead."""
    judged_in_every_order(*KINDS[kind], avro=avro)


def test_a_guest_s_charge_that_names_a_customer_later() -> None:
    """It is one fact: the first that is read says whose it is, the others are redeliveries."""
    told: list[Event1] = [
        ("charge.succeeded", charged(customer=None), {}),
        CHARGE,
        ("charge.captured", charged(), {}),
        ("refund.created", refund(200), {}),
    ]

    def judge(end: Told) -> None:
        found = end.totals()
        assert found.get("unallocated usd", 0) + found.get("customer_wallet usd", 0) == 700
        assert found["stripe_unsettled usd"] == 700
        assert not end.dead

    every_end(decoded(bodies(told)), judge)


@pytest.mark.parametrize("kind", ["charge.succeeded", "charge.captured"])
def test_a_charge_without_a_field_for_its_customer(kind: str) -> None:
    """Null is a guest; a field that is not there, as in an older schema, is a dead letter."""
    about = {name: value for name, value in charged().items() if name != "customer"}
    end = Told()
    for event in decoded(bodies([(kind, about, {})])):
        end.tell(event)
    assert [reason.partition(":")[0] for _, reason in end.dead] == ["missing_field"]
    assert "data.object.customer is missing" in end.dead[0][1]


def settled(amount: int, **more: Any) -> list[dict[str, Any]]:
    about = {"id": "txn_1", "created": 9, "amount": amount, "fee": 10, "net": amount - 10, "currency": "usd",
             "reporting_category": "charge", "fee_details": [], "source": "ch_1"}  # fmt: skip
    return bodies([("balance_transaction.created", about | more, {})])


@pytest.mark.parametrize("category", ["charge", "dispute"])
@pytest.mark.parametrize(
    "details",
    [
        [{"amount": 10}],
        [{"type": None, "amount": 10}],
        [{"type": "tax"}],
        [{"type": "tax", "amount": None}],
    ],
)
def test_half_said_fees(category: str, details: list[dict[str, Any]]) -> None:
    """A fee without a type or an amount is a fee all the same: clearing moves by net."""
    end = Told().tell_all(decoded(settled(900, fee_details=details, reporting_category=category)))
    assert not end.dead
    assert "input_tax usd" not in end.totals()


def test_taken_from_the_bank_in_another_currency() -> None:
    """A payout below zero that settles in another currency: both sides told, nothing is open."""
    about = {"id": "po_1", "created": 7, "amount": -50, "currency": "eur"}
    events = bodies([("payout.created", about, {}), ("payout.paid", about, {})])
    events += [
        body | {"id": "evt_bt"} for body in settled(55, reporting_category="payout", source=about)
    ]

    def judge(end: Told) -> None:
        assert "stripe_unsettled eur" not in end.totals()
        assert end.totals()["bank eur"] == -50

    every_end(decoded(events), judge)


def test_source_whose_capture_is_not_said() -> None:
    """The rest of a charge in another currency, where its source does not say what was captured."""
    source = {"id": "ch_1", "amount": 300, "amount_captured": None, "currency": "eur"}
    told = settled(-330, reporting_category="partial_capture_reversal", source=source)
    end = Told().tell_all(decoded(told))
    assert not end.dead
    assert end.totals()["stripe_unsettled eur"] == 300


SOURCES: list[dict[str, Any]] = [
    {"id": "ch_1", "amount": 300, "currency": "zzz"},
    {"id": "ch_1", "amount": 300, "currency": None},
    {"id": "ch_1", "amount": "300", "currency": "eur"},
    {"id": "ch_1", "amount": None, "currency": "eur"},
    {"id": "ch_1", "currency": "eur"},
    {"id": "ch_1"},
]


@pytest.mark.parametrize("category", ["charge", "refund", "partial_capture_reversal", "dispute"])
@pytest.mark.parametrize("source", SOURCES)
def test_source_that_cannot_be_booked(source: dict[str, Any], category: str) -> None:
    """Its currency has no ledger, or its amount is no whole number: an open item where it settled."""
    end = Told().tell_all(decoded(settled(330, reporting_category=category, source=source)))
    assert not end.dead
    assert end.totals()["stripe_unsettled usd"] == -330
    assert end.totals()["stripe_clearing usd"] == 320


def test_settled_in_a_currency_without_a_ledger() -> None:
    """A clear dead letter, and the other currencies are right."""
    told = [*settled(900), *settled(700, id="txn_2", currency="zzz")]
    end = Told()
    for event in decoded([body | {"id": f"evt_{n}"} for n, body in enumerate(told)]):
        end.tell(event)
    assert [reason.partition(":")[0] for _, reason in end.dead] == ["unknown_currency"]
    assert end.totals()["stripe_clearing usd"] == 890


def test_fee_whose_amount_is_text() -> None:
    """It is a fee without an amount: clearing moves by net."""
    details = [{"type": "stripe_fee", "amount": "10"}]
    end = Told().tell_all(decoded(settled(900, fee_details=details)))
    assert not end.dead
    assert end.totals()["processor_fees usd"] == 10


@pytest.mark.parametrize("amount", [800, 900, 1000])
def test_a_charge_told_in_another_currency_is_a_conflict(amount: int) -> None:
    """More of a fact is more of the same money: another currency's amount is none of it."""
    books = Books(PACKAGED)
    (first,) = books.tell(books.event("charge.succeeded", charged(900)))
    other = charged(amount, currency="eur")
    (second,) = books.tell(books.event("charge.succeeded", other))
    assert (first.kind, second.kind) == (OutcomeKind.POSTED, OutcomeKind.CONFLICT)
