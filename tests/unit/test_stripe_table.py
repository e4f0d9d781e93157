"""Every row of Stripe's table of reporting categories: the event and the feed, JSON and Avro.

Each row is a realistic event, made from Stripe's own object shapes (tests/stripe/objects), and the
legs that it becomes, `debit>credit amount currency`.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.delivered import FEED, OBJECTS, by_json, delivered
from worker.core.chain import AccountRef, Chain
from worker.core.event import Dead, Event, Skipped
from worker.core.translate import Translator
from worker.rulebooks.load import PACKAGED, load

TRANSLATOR = Translator(load(PACKAGED))

CHARGE = OBJECTS["charge"] | {"captured": True, "amount_captured": 100}
WALLET = CHARGE | {"customer": "cus_1"}
ORIGIN = "origin.gross.credit"
OWED = "user_receivable[origin.gross.credit.key] else unallocated"
AGAIN = "origin.principal.debit"
OWED_AGAIN = "user_receivable[origin.principal.debit.key] else unallocated"
CTL = "shortfall_control"
TRANSFER = OBJECTS["transfer"]
CONNECTED = "connected_accounts[acct_1PgafTB7WZ01zgkW]"
PAYOUT = OBJECTS["payout"] | {"id": "po_1"}
PARTLY = TRANSFER | {"amount_reversed": 400}


def moved(*steps: tuple[int, int], currency: str = "usd") -> dict[str, Any]:
    """A dispute's balance transactions: when, and how much."""
    listed = [
        {"id": f"txn_{number}", "amount": amount, "created": created, "currency": currency}
        for number, (created, amount) in enumerate(steps)
    ]
    return {"balance_transactions": listed}


DISPUTE = OBJECTS["dispute"] | {"amount": 1000, "created": 5}
OLD = {name: value for name, value in DISPUTE.items() if name != "balance_transactions"}
LOST = DISPUTE | {"status": "lost"}


def taken(wallet: str, other: str, from_: str, into: str, amount: int) -> str:
    """The three transfers of a shortfall."""
    return f"{from_}>{into} {amount} usd, {wallet}>{CTL} {amount} usd, {other}>{CTL} {amount} usd"


EVENTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # type                  object                  the rest of data    legs
    ("charge.succeeded", WALLET, {}, "stripe_clearing>customer_wallet[cus_1] 100 usd"),
    ("charge.succeeded", CHARGE, {}, "stripe_clearing>unallocated 100 usd"),
    ("charge.succeeded", WALLET | {"currency": "jpy"}, {},
     "stripe_clearing>customer_wallet[cus_1] 100 jpy"),
    ("charge.succeeded", WALLET | {"currency": "kwd", "amount": 12340}, {},
     "stripe_clearing>customer_wallet[cus_1] 12340 kwd"),
    ("charge.succeeded", WALLET | {"captured": False}, {}, "ignored"),
    ("charge.captured", WALLET | {"amount_captured": 60}, {},
     "stripe_clearing>customer_wallet[cus_1] 60 usd"),
    ("charge.failed", WALLET | {"paid": False, "failure_balance_transaction": "txn_9"}, {},
     taken(ORIGIN, OWED, CTL, "stripe_clearing", 100)),
    ("charge.failed", WALLET | {"paid": False, "balance_transaction": None}, {}, "ignored"),
    ("refund.created", OBJECTS["refund"], {}, taken(ORIGIN, OWED, CTL, "stripe_clearing", 100)),
    ("refund.created", OBJECTS["refund"] | {"status": "pending", "amount": 30}, {},
     taken(ORIGIN, OWED, CTL, "stripe_clearing", 30)),
    ("refund.created", OBJECTS["refund"] | {"status": "failed"}, {}, "ignored"),
    ("refund.created", OBJECTS["refund"] | {"charge": None}, {}, "missing_field"),
    ("refund.failed", OBJECTS["refund"] | {"status": "failed"}, {},
     f"stripe_clearing>{CTL} 100 usd, {CTL}>{OWED_AGAIN} 100 usd, {CTL}>{AGAIN} 100 usd"),
    ("refund.updated", OBJECTS["refund"] | {"status": "canceled"}, {},
     f"stripe_clearing>{CTL} 100 usd, {CTL}>{OWED_AGAIN} 100 usd, {CTL}>{AGAIN} 100 usd"),
    ("charge.refund.updated", OBJECTS["refund"] | {"status": "failed"}, {},
     f"stripe_clearing>{CTL} 100 usd, {CTL}>{OWED_AGAIN} 100 usd, {CTL}>{AGAIN} 100 usd"),
    ("refund.updated", OBJECTS["refund"], {}, "ignored"),
    ("charge.refund.updated", OBJECTS["refund"], {}, "ignored"),
    ("charge.refunded", CHARGE | {"amount_refunded": 100}, {}, "ignored"),
    ("charge.dispute.created", DISPUTE, {}, "ignored"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -1000)), {},
     "disputes_held>stripe_clearing 1000 usd"),
    ("charge.dispute.funds_withdrawn", DISPUTE, {}, "disputes_held>stripe_clearing 1000 usd"),
    ("charge.dispute.funds_withdrawn", OLD, {}, "disputes_held>stripe_clearing 1000 usd"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -400), (8, -600)), {},
     "disputes_held>stripe_clearing 600 usd"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((8, -600), (6, -400), (8, -3)), {},
     "disputes_held>stripe_clearing 603 usd"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -1000), (7, 1000), (9, -990)), {},
     "disputes_held>stripe_clearing 990 usd"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -928), currency="eur"), {},
     "disputes_held>fx_liquidity 1000 usd, fx_liquidity>stripe_clearing 928 eur"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -400), (7, -528), currency="eur"), {},
     "no_rule"),
    ("charge.dispute.funds_withdrawn", DISPUTE | moved((6, -928), currency="xau"), {},
     "unknown_currency"),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -1000), (7, 1000)), {},
     "stripe_clearing>disputes_held 1000 usd"),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -1000)), {},
     "stripe_clearing>disputes_held 1000 usd"),
    ("charge.dispute.funds_reinstated", OLD, {}, "stripe_clearing>disputes_held 1000 usd"),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -1000), (7, 300), (9, 200)), {},
     "stripe_clearing>disputes_held 200 usd"),
    ("charge.dispute.funds_reinstated", DISPUTE | moved((6, -928), (9, 930), currency="eur"), {},
     "fx_liquidity>disputes_held 1000 usd, stripe_clearing>fx_liquidity 930 eur"),
    ("charge.dispute.closed", LOST | moved((6, -1000)), {},
     taken(ORIGIN, "chargeback_losses", CTL, "disputes_held", 1000)),
    ("charge.dispute.closed", LOST | moved((6, -1000), (8, 300)), {},
     taken(ORIGIN, "chargeback_losses", CTL, "disputes_held", 700)),
    ("charge.dispute.closed", LOST | moved((6, -928), currency="eur"), {},
     taken(ORIGIN, "chargeback_losses", CTL, "disputes_held", 1000)),
    ("charge.dispute.closed", OLD | {"status": "lost"}, {},
     taken(ORIGIN, "chargeback_losses", CTL, "disputes_held", 1000)),
    ("charge.dispute.closed", LOST, {}, "nothing_to_post"),
    ("charge.dispute.closed", LOST | moved((6, -9), (7, 9), currency="eur"), {}, "nothing_to_post"),
    ("charge.dispute.closed", LOST | {"status": "won"}, {}, "ignored"),
    ("charge.dispute.closed", LOST | {"status": "warning_closed"}, {}, "ignored"),
    ("charge.dispute.closed", LOST | {"status": "never_heard_of"}, {}, "no_rule"),
    ("payout.created", PAYOUT, {}, "payouts_in_transit[po_1]>stripe_clearing 1100 usd"),
    ("payout.paid", PAYOUT, {}, "bank>payouts_in_transit[po_1] 1100 usd"),
    ("payout.failed", PAYOUT, {},
     "stripe_clearing>origin.arrived.debit else payouts_in_transit[data.object.id] 1100 usd"),
    ("payout.canceled", PAYOUT, {},
     "stripe_clearing>origin.arrived.debit else payouts_in_transit[data.object.id] 1100 usd"),
    ("payout.created", PAYOUT | {"amount": -5}, {}, "bad_amount"),
    ("payout.updated", PAYOUT, {}, "ignored"),
    ("payout.reconciliation_completed", PAYOUT, {}, "ignored"),
    ("application_fee.created", OBJECTS["application_fee"], {},
     "stripe_clearing>fee_income 100 usd"),
    ("application_fee.refunded", OBJECTS["application_fee"] | {"amount_refunded": 90},
     {"previous_attributes": {"amount_refunded": 20}}, "fee_income>stripe_clearing 70 usd"),
    ("application_fee.refunded", OBJECTS["application_fee"], {}, "missing_field"),
    ("application_fee.refund.updated", OBJECTS["fee_refund"], {}, "ignored"),
    ("transfer.created", TRANSFER, {}, f"{CONNECTED}>stripe_clearing 1100 usd"),
    ("transfer.reversed", PARTLY, {"previous_attributes": {"amount_reversed": 0}},
     f"stripe_clearing>{CONNECTED} 400 usd"),
    ("transfer.reversed", PARTLY, {"previous_attributes": {"amount_reversed": 100}},
     f"stripe_clearing>{CONNECTED} 300 usd"),
    ("topup.succeeded", OBJECTS["topup"] | {"source": None}, {}, "stripe_clearing>bank 1000 usd"),
    ("topup.reversed", OBJECTS["topup"] | {"source": None}, {}, "bank>stripe_clearing 1000 usd"),
    ("topup.failed", OBJECTS["topup"], {}, "ignored"),
    ("topup.canceled", OBJECTS["topup"], {}, "ignored"),
    ("topup.created", OBJECTS["topup"] | {"source": None}, {}, "ignored"),
    ("reserve.hold.created", OBJECTS["reserve.hold"], {}, "ignored"),
    ("reserve.release.created", OBJECTS["reserve.release"], {}, "ignored"),
    ("charge.teleported", CHARGE, {}, "no_rule"),
]  # fmt: skip


def fees(*parts: tuple[str, int]) -> list[dict[str, Any]]:
    """Details of a fee: kind and amount."""
    return [{"type": kind, "amount": amount, "currency": "usd"} for kind, amount in parts]


CARD = {"fee": 59, "fee_details": fees(("stripe_fee", 50), ("tax", 9))}
CARD_LEGS = "input_tax>stripe_clearing 9 usd, processor_fees>stripe_clearing 50 usd"
BACK = {"fee": -59, "fee_details": fees(("stripe_fee", -50), ("tax", -9))}
BACK_LEGS = "stripe_clearing>input_tax 9 usd, stripe_clearing>processor_fees 50 usd"
PLATFORM = {"fee": 30, "fee_details": fees(("application_fee", 20), ("withheld_tax", 10))}
PLATFORM_LEGS = "processor_fees>stripe_clearing 20 usd, processor_fees>stripe_clearing 10 usd"
DISPUTED = {"fee": 1500, "fee_details": fees(("stripe_fee", 1500))}
EUROS = {"exchange_rate": 1.1, "source": {"id": "ch_1", "amount": 900, "currency": "eur"}}
PARTLY_CAPTURED = {"id": "ch_1", "amount": 900, "amount_captured": 600, "currency": "eur"}
NO_RATE = EUROS | {"exchange_rate": None}
DOLLARS = {"exchange_rate": 1.0, "source": {"id": "ch_1", "amount": 990, "currency": "usd"}}

SETTLED: list[tuple[str | None, int, dict[str, Any], str]] = [
    # reporting_category  amount  more                 legs
    ("charge", 1000, CARD, CARD_LEGS),
    ("charge", 1000, {"fee": 0, "fee_details": []}, "nothing_to_post"),
    ("charge", 1000, PLATFORM, PLATFORM_LEGS),
    ("charge", 1000, {"fee": 7, "fee_details": []}, "processor_fees>stripe_clearing 7 usd"),
    ("charge", 990, CARD | EUROS,
     f"{CARD_LEGS}, fx_liquidity>stripe_clearing 900 eur, stripe_clearing>fx_liquidity 990 usd"),
    ("charge", 990, CARD | NO_RATE,
     f"{CARD_LEGS}, fx_liquidity>stripe_clearing 900 eur, stripe_clearing>fx_liquidity 990 usd"),
    ("charge", 990, CARD | DOLLARS, CARD_LEGS),
    ("charge", 990, CARD | EUROS | {"source": "ch_1"}, "missing_field"),
    ("partial_capture_reversal", -400, BACK, BACK_LEGS),
    ("partial_capture_reversal", -330, EUROS | {"fee_details": [], "source": PARTLY_CAPTURED},
     "stripe_clearing>fx_liquidity 300 eur, fx_liquidity>stripe_clearing 330 usd"),
    ("partial_capture_reversal", -330, EUROS | {"fee_details": []},
     "stripe_clearing>fx_liquidity 900 eur, fx_liquidity>stripe_clearing 330 usd"),
    ("refund", -1000, BACK, BACK_LEGS),
    ("refund", -990, EUROS | {"fee": 0, "fee_details": []},
     "stripe_clearing>fx_liquidity 900 eur, fx_liquidity>stripe_clearing 990 usd"),
    ("refund_failure", 1000, CARD, CARD_LEGS),
    ("charge_failure", -1000, BACK, BACK_LEGS),
    ("dispute", -1000, DISPUTED, "dispute_fees>stripe_clearing 1500 usd"),
    ("dispute", -1000, DISPUTED | {"net": -2600},
     "dispute_fees>stripe_clearing 1500 usd, adjustments>stripe_clearing 100 usd"),
    ("dispute", -1000, {"fee": 1500, "fee_details": [], "exchange_rate": 1.1},
     "dispute_fees>stripe_clearing 1500 usd"),
    ("dispute_reversal", 1000, {"fee": 0, "fee_details": []}, "nothing_to_post"),
    ("dispute_reversal", 1000, {"fee": -1500, "fee_details": fees(("stripe_fee", -1500))},
     "stripe_clearing>dispute_fees 1500 usd"),
    ("payout", -1000, CARD, CARD_LEGS),
    ("payout_reversal", 1000, BACK, BACK_LEGS),
    ("platform_earning", 100, CARD, CARD_LEGS),
    ("platform_earning_refund", -100, BACK, BACK_LEGS),
    ("transfer", -1000, CARD, CARD_LEGS),
    ("transfer_reversal", 1000, BACK, BACK_LEGS),
    ("topup", 1000, CARD, CARD_LEGS),
    ("topup_reversal", -1000, BACK, BACK_LEGS),
    ("risk_reserved_funds", -700, {}, "stripe_reserve>stripe_clearing 700 usd"),
    ("risk_reserved_funds", 700, {}, "stripe_clearing>stripe_reserve 700 usd"),
    ("connect_reserved_funds", -700, {}, "stripe_reserve>stripe_clearing 700 usd"),
    ("connect_reserved_funds", 700, {}, "stripe_clearing>stripe_reserve 700 usd"),
    ("fee", -200, {}, "processor_fees>stripe_clearing 200 usd"),
    ("fee", 200, {}, "stripe_clearing>processor_fees 200 usd"),
    ("network_cost", -20, {}, "processor_fees>stripe_clearing 20 usd"),
    ("network_cost", 20, {}, "stripe_clearing>processor_fees 20 usd"),
    ("tax", -30, {}, "input_tax>stripe_clearing 30 usd"),
    ("tax", 30, {}, "stripe_clearing>input_tax 30 usd"),
    ("other_adjustment", -40, {}, "adjustments>stripe_clearing 40 usd"),
    ("other_adjustment", 40, {}, "stripe_clearing>adjustments 40 usd"),
    ("connect_collection_transfer", -40, {}, "adjustments>stripe_clearing 40 usd"),
    ("connect_collection_transfer", 40, {}, "stripe_clearing>adjustments 40 usd"),
    ("issuing_transaction", -40, {}, "no_rule"),
    ("climate_order_purchase", -40, {}, "no_rule"),
    (None, -40, {}, "no_rule"),
]  # fmt: skip


@pytest.fixture(scope="module")
def translator() -> Translator:
    """The packaged rules."""
    return TRANSLATOR


def become(translator: Translator, event: Event, role: str) -> str:
    """The legs of an event, or its outcome in one word."""
    found = translator.translate(event, role=role)
    if isinstance(found, Dead):
        return str(found.reason)
    return found.outcome if isinstance(found, Skipped) else legs(found)


def legs(chain: Chain) -> str:
    """`debit>credit amount currency` of each leg."""
    return ", ".join(
        f"{side(leg.debit)}>{side(leg.credit)} {leg.amount} {leg.currency.name}"
        for leg in chain.legs
    )


def side(ref: AccountRef | None) -> str:
    """An account with its key."""
    assert ref is not None
    return f"{ref.name}[{ref.key}]" if ref.key else ref.name


@pytest.mark.parametrize(("kind", "content", "more", "expected"), EVENTS)
def test_payment_event(
    translator: Translator, kind: str, content: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    """A payment event makes these legs, the same from JSON and from Avro."""
    for event in delivered(kind, content, data=more):
        assert become(translator, event, "payments") == expected


@pytest.mark.parametrize(("category", "amount", "more", "expected"), SETTLED)
def test_settlement_event(
    translator: Translator, category: str | None, amount: int, more: dict[str, Any], expected: str
) -> None:
    """A balance transaction makes these legs, the same from JSON and from Avro."""
    settled = OBJECTS["balance_transaction"] | {"amount": amount, "reporting_category": category}
    settled = {**settled, "net": amount - more.get("fee", 0), **more}
    for event in delivered(FEED, settled):
        assert become(translator, event, "settlements") == expected


def test_a_dispute_s_funds_can_move_more_than_once(translator: Translator) -> None:
    """Another withdrawal is another fact; the same told again, in another order, is not."""
    chains = []
    for created in ([5, 7], [7, 5], [5, 7, 9]):
        about = DISPUTE | moved(*((second, -second) for second in created))
        for event in delivered("charge.dispute.funds_withdrawn", about):
            found = translator.translate(event, role="payments")
            assert isinstance(found, Chain)
            chains.append(found)
    ids = [chain.legs[0].id for chain in chains]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert ids[4] == ids[5] != ids[0]
    assert [chain.legs[0].amount for chain in chains] == [7, 7, 7, 7, 9, 9]
    assert len({chain.tag for chain in chains}) == 1


# Source: Stripe's page on reporting categories; those that FACTS' table has are in SETTLED.
UNBOOKED_CATEGORIES = [
    "advance", "advance_funding", "anticipation_repayment", "climate_order_purchase",
    "climate_order_refund", "contribution", "financing_paydown", "financing_paydown_reversal",
    "financing_payout", "financing_payout_reversal", "issuing_authorization_hold",
    "issuing_authorization_release", "issuing_dispute", "issuing_transaction", "obligation",
    "partner_earnings", "unreconciled_customer_funds", "balance_transfer_inbound",
    "stripe_balance_payment_debit", "new_in_2031",
]  # fmt: skip


@pytest.mark.parametrize("category", UNBOOKED_CATEGORIES)
def test_a_category_without_a_rule_is_refused(translator: Translator, category: str) -> None:
    """Money that nobody said how to book is a dead letter with a reason, never skipped."""
    settled = OBJECTS["balance_transaction"] | {"reporting_category": category}
    for event in delivered(FEED, settled):
        assert become(translator, event, "settlements") == "no_rule"


# Source: Stripe's list of event types; money moves at Stripe with each of these, or may.
MONEY = [
    "application_fee.created", "application_fee.refunded", "cash_balance.funds_available",
    "charge.captured", "charge.dispute.funds_reinstated", "charge.dispute.funds_withdrawn",
    "charge.succeeded", "climate.order.created", "climate.order.canceled",
    "customer_cash_balance_transaction.created", "issuing_authorization.request",
    "issuing_dispute.funds_reinstated", "issuing_transaction.created", "payout.canceled",
    "payout.created", "payout.failed", "payout.paid", "refund.created", "refund.failed",
    "topup.reversed", "topup.succeeded", "transfer.created", "transfer.reversed",
    "treasury.credit_reversal.posted", "treasury.inbound_transfer.succeeded",
    "treasury.outbound_payment.posted", "treasury.received_debit.created", "something.new",
]  # fmt: skip


@pytest.mark.parametrize("kind", MONEY)
@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_no_money_is_skipped(translator: Translator, kind: str, name: str) -> None:
    """Whatever object such an event carries, it is booked or refused with a reason."""
    content = OBJECTS[name] | {"captured": True, "paid": True, "amount_captured": 100}
    body = OBJECTS["event"] | {"type": kind, "data": {"object": content}}
    found = translator.translate(by_json(body), role="payments")
    assert isinstance(found, Chain | Dead)
    assert isinstance(found, Chain) or (found.reason and found.detail)


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted({kind for kind, *_ in EVENTS} | {FEED, "wallet.split_bill"})),
    name=st.sampled_from(sorted(OBJECTS)),
    changes=st.dictionaries(
        st.sampled_from([*OBJECTS["charge"], "balance_transactions", "fee_details", "shares"]),
        json_values | st.lists(json_values, max_size=2) | st.dictionaries(
            st.sampled_from(["amount", "created", "currency", "type"]), json_values),
        max_size=6,
    ),
)  # fmt: skip
def test_whatever_an_object_holds(kind: str, name: str, changes: dict[str, Any]) -> None:
    """Translation by the packaged rules is total: a chain of whole amounts, or a word why not."""
    body = OBJECTS["event"] | {"type": kind, "data": {"object": OBJECTS[name] | changes}}
    event = Event("evt_1", kind, 5, body)
    for role in TRANSLATOR.rulebook.topics:
        found = TRANSLATOR.translate(event, role=role)
        if isinstance(found, Chain):
            assert all(type(leg.amount) is int and leg.amount >= 0 for leg in found.legs)
        else:
            assert isinstance(found, Skipped) or (found.reason and found.detail)
