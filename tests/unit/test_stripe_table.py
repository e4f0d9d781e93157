"""Every row of Stripe's table of reporting categories: the event and the feed, JSON and Avro.

Each row is a realistic event, made from Stripe's own object shapes (tests/stripe/objects), and the
legs that it becomes, `debit>credit amount currency`.
"""

# ruff: noqa: E501 - a row of the table shows all legs of an event

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.delivered import FEED, OBJECTS, by_json, delivered
from tests.unit.stripe_event_rows import DISPUTE, EVENTS, moved
from worker.core.chain import AccountRef, Chain
from worker.core.event import Dead, Event, Skipped
from worker.core.translate import Translator
from worker.rulebooks.load import PACKAGED, load

TRANSLATOR = Translator(load(PACKAGED))


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
    ("charge", 1000, CARD, ("stripe_clearing>stripe_unsettled 1000 usd, "
                            "input_tax>stripe_clearing 9 usd, "
                            "processor_fees>stripe_clearing 50 usd")),
    ("charge", 1000, {"fee": 0, "fee_details": []}, "stripe_clearing>stripe_unsettled 1000 usd"),
    ("charge", 1000, PLATFORM, ("stripe_clearing>stripe_unsettled 1000 usd, "
                                "withheld_tax>stripe_clearing 10 usd, "
                                "processor_fees>stripe_clearing 20 usd")),
    ("charge", 1000, {"fee": 7, "fee_details": []}, ("stripe_clearing>stripe_unsettled 1000 usd, "
                                                     "processor_fees>stripe_clearing 7 usd")),
    ("charge", 990, CARD | EUROS,
     ("fx_liquidity>stripe_unsettled 900 eur, stripe_clearing>fx_liquidity 990 usd, "
      "input_tax>stripe_clearing 9 usd, processor_fees>stripe_clearing 50 usd")),
    ("charge", 990, CARD | NO_RATE,
     ("fx_liquidity>stripe_unsettled 900 eur, stripe_clearing>fx_liquidity 990 usd, "
      "input_tax>stripe_clearing 9 usd, processor_fees>stripe_clearing 50 usd")),
    ("charge", 990, CARD | DOLLARS, ("stripe_clearing>stripe_unsettled 990 usd, "
                                     "input_tax>stripe_clearing 9 usd, "
                                     "processor_fees>stripe_clearing 50 usd")),
    ("charge", 990, CARD | EUROS | {"source": "ch_1"}, ("stripe_clearing>stripe_unsettled 990 usd, "
                                                        "input_tax>stripe_clearing 9 usd, "
                                                        "processor_fees>stripe_clearing 50 usd")),
    ("partial_capture_reversal", -400, BACK, ("stripe_unsettled>stripe_clearing 400 usd, "
                                              "stripe_clearing>input_tax 9 usd, "
                                              "stripe_clearing>processor_fees 50 usd")),
    ("partial_capture_reversal", -330, EUROS | {"fee_details": [], "source": PARTLY_CAPTURED},
     "stripe_unsettled>fx_liquidity 300 eur, fx_liquidity>stripe_clearing 330 usd"),
    ("partial_capture_reversal", -330, EUROS | {"fee_details": []},
     "stripe_unsettled>fx_liquidity 900 eur, fx_liquidity>stripe_clearing 330 usd"),
    ("refund", -1000, BACK, ("stripe_unsettled>stripe_clearing 1000 usd, "
                             "stripe_clearing>input_tax 9 usd, "
                             "stripe_clearing>processor_fees 50 usd")),
    ("refund", -990, EUROS | {"fee": 0, "fee_details": []},
     "stripe_unsettled>fx_liquidity 900 eur, fx_liquidity>stripe_clearing 990 usd"),
    ("refund_failure", 1000, CARD, ("stripe_clearing>stripe_unsettled 1000 usd, "
                                    "input_tax>stripe_clearing 9 usd, "
                                    "processor_fees>stripe_clearing 50 usd")),
    ("charge_failure", -1000, BACK, ("stripe_unsettled>stripe_clearing 1000 usd, "
                                     "stripe_clearing>input_tax 9 usd, "
                                     "stripe_clearing>processor_fees 50 usd")),
    ("dispute", -1000, DISPUTED, ("stripe_unsettled>stripe_clearing 1000 usd, "
                                  "dispute_fees>stripe_clearing 1500 usd")),
    ("dispute", -1000, DISPUTED | {"net": -2600},
     ("stripe_unsettled>stripe_clearing 1000 usd, dispute_fees>stripe_clearing 1500 usd, "
      "adjustments>stripe_clearing 100 usd")),
    ("dispute", -1000, {"fee": 1500, "fee_details": [], "exchange_rate": 1.1},
     "stripe_unsettled>stripe_clearing 1000 usd, dispute_fees>stripe_clearing 1500 usd"),
    ("dispute_reversal", 1000, {"fee": 0, "fee_details": []}, ("stripe_clearing>stripe_unsettled 1000 usd")),
    ("dispute_reversal", 1000, {"fee": -1500, "fee_details": fees(("stripe_fee", -1500))},
     "stripe_clearing>stripe_unsettled 1000 usd, stripe_clearing>dispute_fees 1500 usd"),
    ("payout", -1000, CARD, ("stripe_unsettled>stripe_clearing 1000 usd, "
                             "input_tax>stripe_clearing 9 usd, "
                             "processor_fees>stripe_clearing 50 usd")),
    ("payout_reversal", 1000, BACK, ("stripe_clearing>stripe_unsettled 1000 usd, "
                                     "stripe_clearing>input_tax 9 usd, "
                                     "stripe_clearing>processor_fees 50 usd")),
    ("platform_earning", 100, CARD, ("stripe_clearing>stripe_unsettled 100 usd, "
                                     "input_tax>stripe_clearing 9 usd, "
                                     "processor_fees>stripe_clearing 50 usd")),
    ("platform_earning_refund", -100, BACK, ("stripe_unsettled>stripe_clearing 100 usd, "
                                             "stripe_clearing>input_tax 9 usd, "
                                             "stripe_clearing>processor_fees 50 usd")),
    ("transfer", -1000, CARD, ("stripe_unsettled>stripe_clearing 1000 usd, "
                               "input_tax>stripe_clearing 9 usd, "
                               "processor_fees>stripe_clearing 50 usd")),
    ("transfer_reversal", 1000, BACK, ("stripe_clearing>stripe_unsettled 1000 usd, "
                                       "stripe_clearing>input_tax 9 usd, "
                                       "stripe_clearing>processor_fees 50 usd")),
    ("topup", 1000, CARD, ("stripe_clearing>stripe_unsettled 1000 usd, "
                           "input_tax>stripe_clearing 9 usd, "
                           "processor_fees>stripe_clearing 50 usd")),
    ("topup_reversal", -1000, BACK, ("stripe_unsettled>stripe_clearing 1000 usd, "
                                     "stripe_clearing>input_tax 9 usd, "
                                     "stripe_clearing>processor_fees 50 usd")),
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
    ("issuing_transaction", -40, {}, "issuing>stripe_clearing 40 usd"),
    ("climate_order_purchase", -40, {}, "climate_contributions>stripe_clearing 40 usd"),
    (None, -40, {}, "suspense>stripe_clearing 40 usd"),
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
    assert [chain.legs[0].amount for chain in chains] == [12, 12, 12, 12, 21, 21]
    assert len({chain.tag for chain in chains}) == 2


# Source: `reporting_category` of a report run's parameters in Stripe's package, version 16.1.
CATEGORIES: dict[str, list[str | None]] = {
    # moves, against clearing
    "stripe_unsettled": [
        "charge", "charge_failure", "dispute", "dispute_reversal", "partial_capture_reversal",
        "payout", "payout_reversal", "platform_earning", "platform_earning_refund", "refund",
        "refund_failure", "topup", "topup_reversal", "transfer", "transfer_reversal",
        "unreconciled_customer_funds"],
    "processor_fees": ["fee", "network_cost"],
    "input_tax": ["tax"],
    "stripe_reserve": ["connect_reserved_funds", "risk_reserved_funds",
        "payout_minimum_balance_hold", "payout_minimum_balance_release"],
    "financing": [
        "advance", "advance_funding", "anticipation_repayment", "financing_paydown",
        "financing_paydown_reversal", "financing_payout", "financing_payout_reversal"],
    "climate_contributions": ["climate_order_purchase", "climate_order_refund", "contribution"],
    "issuing": [
        "issuing_authorization_hold", "issuing_authorization_release", "issuing_dispute",
        "issuing_transaction"],
    "adjustments": ["connect_collection_transfer", "other_adjustment"],
    "suspense": ["obligation", "partner_earnings", "new_in_2031", "", None],
}  # fmt: skip


@pytest.mark.parametrize("amount", [-40, 40])
@pytest.mark.parametrize(
    ("account", "category"),
    [(account, category) for account, listed in CATEGORIES.items() for category in listed],
)
def test_every_category_moves_clearing_by_net(
    translator: Translator, account: str, category: str | None, amount: int
) -> None:
    """Each of Stripe's categories, and any other, is booked: none is refused, none is skipped."""
    settled = OBJECTS["balance_transaction"] | {"reporting_category": category}
    settled |= {"amount": amount, "fee": 0, "net": amount, "fee_details": []}
    sides = f"stripe_clearing>{account}" if amount > 0 else f"{account}>stripe_clearing"
    for event in delivered(FEED, settled):
        assert become(translator, event, "settlements") == f"{sides} 40 usd"
        chain = translator.translate(event, role="settlements")
        assert isinstance(chain, Chain)
        assert bool(chain.alert) == (account == "suspense")


# Source: Stripe's list of event types; these tell money that no other does.
MONEY = [
    "application_fee.created", "charge.captured", "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn", "charge.succeeded",
    "customer_cash_balance_transaction.created", "payout.canceled", "payout.created",
    "payout.failed", "payout.paid", "refund.created", "refund.failed",
    "topup.reversed", "topup.succeeded", "transfer.created",
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
