"""The packaged rulebook: what Stripe's real events and the wallet commands become."""

# ruff: noqa: E501 - a row of the table shows all legs of an event

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.stripe_event_rows import refunded, reinstated, withdrawn
from worker.core.chain import Chain
from worker.core.event import Dead, Event, Skipped
from worker.core.translate import Translator
from worker.rulebooks.load import PACKAGED, load
from worker.rulebooks.warnings import find_warnings

WEBHOOKS = Path(__file__).parents[1] / "stripe"
SECONDS = 1_700_000_000

# Source: Stripe's page on currencies: no minor unit, and three digits.
ZERO_DECIMAL = {
    "bif",
    "clp",
    "djf",
    "gnf",
    "jpy",
    "kmf",
    "krw",
    "mga",
    "pyg",
    "rwf",
    "vnd",
    "vuv",
    "xaf",
    "xof",
    "xpf",
}
THREE_DECIMAL = {"bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"}

NAMES = [
    "stripe_clearing",
    "stripe_reserve",
    "stripe_unsettled",
    "payouts_in_transit",
    "bank",
    "customer_wallet",
    "customer_cash",
    "pending_payouts",
    "user_receivable",
    "unallocated",
    "authorised_only",
    "never_captured",
    "told_so_far",
    "seller_payable",
    "sales",
    "fee_revenue",
    "processor_fees",
    "input_tax",
    "withheld_tax",
    "disputes_held",
    "dispute_fees",
    "chargeback_losses",
    "financing",
    "climate_contributions",
    "issuing",
    "fx_liquidity",
    "fx_gain_loss",
    "adjustments",
    "opening_balances",
    "suspense",
    "journal_control",
    "shortfall_control",
]


@pytest.fixture(scope="module")
def translator() -> Translator:
    """The packaged rules."""
    return Translator(load(PACKAGED))


def become(translator: Translator, event: Event, role: str) -> str:
    """An event's outcome in one word or line: legs as `debit>credit amount currency`."""
    found = translator.translate(event, role=role)
    if isinstance(found, Dead):
        return str(found.reason)
    if isinstance(found, Skipped):
        return found.outcome
    return f"{found.transaction}: " + ", ".join(_legs(found))


def _legs(chain: Chain) -> list[str]:
    legs = []
    for leg in chain.legs:
        refs = [ref for ref in (leg.debit, leg.credit) if ref]
        sides = [f"{ref.name}[{ref.key}]".replace("[]", "") for ref in refs]
        amount = "all" if leg.pending_ids and leg.amount == 0 else str(leg.amount)
        legs.append(f"{leg.spec.kind} {'>'.join(sides)} {amount} {leg.currency.name}")
    return [leg.replace("  ", " ").removeprefix("posted ") for leg in legs]


OUTCOMES = {
    "balance.available": "ignored",
    "charge.captured": "charge: stripe_unsettled>unallocated 100 usd",
    "charge.dispute.closed": "ignored",
    "charge.dispute.created": "ignored",
    "charge.dispute.funds_reinstated": (
        f"dispute_reinstated: {reinstated(25000, 'dp_00000000000000', 'ch_00000000000000')}"
    ),
    "charge.dispute.funds_withdrawn": f"dispute_withdrawn: {withdrawn(25000, 'dp_00000000000000')}",
    "charge.dispute.updated": "ignored",
    "charge.failed": "ignored",
    "charge.refund.updated": "ignored",
    "charge.refunded": f"refund: {refunded(100, 'ch_000000000000000000000000')}",
    "charge.succeeded": "charge: stripe_unsettled>unallocated 2000 usd",
    "charge.updated": "ignored",
    "payment_intent.amount_capturable_updated": "ignored",
    "payment_intent.canceled": "ignored",
    "payment_intent.created": "ignored",
    "payment_intent.payment_failed": "ignored",
    "payment_intent.processing": "ignored",
    "payment_intent.requires_action": "ignored",
    "payment_intent.succeeded": "ignored",
    "payout.created": (
        "payout_created: payouts_in_transit[po_000000000000000000000000]>stripe_unsettled 1100 usd"
    ),
    "payout.paid": (
        "payout_paid: origin.returned.credit else bank>shortfall_control 1100 usd, "
        "shortfall_control>payouts_in_transit[po_000000000000000000000000] 1100 usd"
    ),
    "payout.updated": "ignored",
    "transfer.created": (
        "payout_created: payouts_in_transit[tr_00000000000000]>stripe_unsettled 67 usd"
    ),
    "transfer.failed": (
        "payout_returned: stripe_unsettled>origin.arrived.debit else payouts_in_transit[data.object.id] 67 usd"
    ),
    "transfer.paid": (
        "payout_paid: origin.returned.credit else bank>shortfall_control 67 usd, "
        "shortfall_control>payouts_in_transit[tr_00000000000000] 67 usd"
    ),
    "transfer.updated": "ignored",
}


def test_every_webhook_is_listed() -> None:
    """The table above says what becomes of each of Stripe's sample webhooks."""
    assert {path.stem for path in WEBHOOKS.glob("*.json")} == set(OUTCOMES)


@pytest.mark.parametrize(("name", "outcome"), OUTCOMES.items())
def test_webhook(translator: Translator, name: str, outcome: str) -> None:
    """A real webhook is posted, ignored by name, or a dead letter until its rule comes."""
    body = json.loads((WEBHOOKS / f"{name}.json").read_text())
    event = Event(body["id"], body["type"], body["created"], body)
    assert become(translator, event, "payments") == outcome


CHARGE = {"id": "ch_1", "created": SECONDS, "amount": 250, "amount_captured": 250,
          "currency": "usd", "customer": "cus_1", "paid": True, "captured": True}  # fmt: skip
SETTLED = {"id": "txn_1", "created": SECONDS, "amount": 1000, "fee": 59, "net": 941,
           "currency": "usd", "reporting_category": "charge",
           "fee_details": [{"type": "stripe_fee", "amount": 50},
                           {"type": "tax", "amount": 9}]}  # fmt: skip
WITHDRAWAL = {"id": "wd_1", "created": SECONDS, "customer": "a", "amount": 9, "currency": "usd"}
EXCHANGE = {"id": "ex_1", "customer": "a", "sell": {"amount": 100, "currency": "usd"},
            "buy": {"amount": 90, "currency": "eur"},
            "spread": {"amount": 1, "currency": "usd"}}  # fmt: skip
SHARES = [{"customer": "b", "amount": 1}, {"customer": "c", "amount": 2}]

EVENTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # type                content     changes                         becomes
    ("charge.succeeded", CHARGE, {}, "charge: stripe_unsettled>customer_wallet[cus_1] 250 usd"),
    ("charge.succeeded", CHARGE, {"amount": -1}, "bad_amount"),
    ("charge.succeeded", CHARGE, {"captured": False}, "ignored"),
    ("charge.succeeded", CHARGE, {"paid": False}, "ignored"),
    ("charge.succeeded", CHARGE, {"currency": "xau"}, "unknown_currency"),
    ("charge.captured", CHARGE, {"amount_captured": 100},
     ("charge: stripe_unsettled>customer_wallet[cus_1] 100 usd, "
      "authorised_only[ch_1/150]>never_captured[ch_1/150] 150 usd, "
      "told_so_far[ch_1/150/noted/counter]>told_so_far[ch_1/150/noted] 150 usd, "
      "told_so_far[ch_1/captured/counter]>told_so_far[ch_1/captured] 100 usd")),
    ("charge.failed", CHARGE, {"failure_balance_transaction": None}, "ignored"),
    ("refund.created", {"id": "re_1", "created": 5}, {}, "missing_field"),
    ("refund.teleported", {}, {}, "no_rule"),
    ("wallet.p2p", {}, {"role": "payments"}, "wrong_topic"),
    ("balance_transaction.created", SETTLED, {},
     ("settled: stripe_clearing>stripe_unsettled 1000 usd, input_tax>stripe_clearing 9 usd, "
      "processor_fees>stripe_clearing 50 usd")),
    ("balance_transaction.created", SETTLED, {"fee": 60},
     ("settled: stripe_clearing>stripe_unsettled 1000 usd, input_tax>stripe_clearing 9 usd, "
      "processor_fees>stripe_clearing 50 usd, processor_fees>stripe_clearing 1 usd, "
      "stripe_clearing>adjustments 1 usd")),
    ("balance_transaction.created", SETTLED, {"fee": -59, "fee_details":
     [{"type": "stripe_fee", "amount": -50}, {"type": "tax", "amount": -9}]},
     ("settled: stripe_clearing>stripe_unsettled 1000 usd, stripe_clearing>input_tax 9 usd, "
      "stripe_clearing>processor_fees 50 usd, adjustments>stripe_clearing 118 usd")),
    ("balance_transaction.created", SETTLED, {"fee": 0, "fee_details": []}, ("settled: stripe_clearing>stripe_unsettled 1000 usd, "
                                                                             "adjustments>stripe_clearing 59 usd")),
    ("balance_transaction.created", SETTLED, {"fee": 7, "fee_details": []},
     ("settled: stripe_clearing>stripe_unsettled 1000 usd, "
      "processor_fees>stripe_clearing 7 usd, adjustments>stripe_clearing 52 usd")),
    ("balance_transaction.created", SETTLED, {"fee": 1.5}, "missing_field"),
    ("balance_transaction.created", SETTLED, {"fee_details": None}, ("settled: stripe_clearing>stripe_unsettled 1000 usd, "
                                                                     "processor_fees>stripe_clearing 59 usd")),
    ("balance_transaction.created", SETTLED, {"reporting_category": "dispute", "fee": 1500,
     "amount": -1000, "net": -2500, "fee_details": [{"type": "stripe_fee", "amount": 1500}]},
     ("settled_dispute: stripe_unsettled>stripe_clearing 1000 usd, "
      "dispute_fees>stripe_clearing 1500 usd")),
    ("balance_transaction.created", SETTLED, {"reporting_category": "fee", "net": -200},
     "stripe_fee: processor_fees>stripe_clearing 200 usd"),
    ("balance_transaction.created", SETTLED, {"reporting_category": "network_cost", "net": 20},
     "stripe_fee: stripe_clearing>processor_fees 20 usd"),
    ("balance_transaction.created", SETTLED, {"reporting_category": "tax", "net": -30},
     "stripe_tax: input_tax>stripe_clearing 30 usd"),
    ("balance_transaction.created", SETTLED, {"reporting_category": "brand_new"}, ("unknown_category: stripe_clearing>suspense 941 usd")),
    ("wallet.p2p", {"from": "a", "to": "b", "amount": 5, "currency": "jpy"}, {},
     "p2p: customer_wallet[a]>customer_wallet[b] 5 jpy"),
    ("wallet.p2p", {"from": "a", "to": "a", "amount": 5, "currency": "jpy"}, {}, "same_account"),
    ("wallet.split_bill", {"payer": "a", "shares": SHARES, "currency": "kwd"}, {},
     ("split_bill: customer_wallet[b]>customer_wallet[a] 1 kwd, "
      "customer_wallet[c]>customer_wallet[a] 2 kwd")),
    ("wallet.withdrawal", WITHDRAWAL, {},
     "withdrawal: pending customer_wallet[a]>pending_payouts 9 usd"),
    ("wallet.withdrawal_paid", WITHDRAWAL, {},
     "withdrawal_paid: post 9 usd, pending_payouts>bank 9 usd"),
    ("wallet.withdrawal_failed", WITHDRAWAL, {}, "withdrawal_failed: void all usd"),
    ("wallet.exchange", EXCHANGE, {},
     ("exchange: customer_wallet[a]>fx_liquidity 100 usd, "
      "fx_liquidity>customer_wallet[a] 90 eur, fx_liquidity>fee_revenue 1 usd")),
    ("wallet.unknown", {}, {}, "wrong_topic"),
    ("wallet.exchange", EXCHANGE, {"role": "commands"}, "wrong_topic"),
    ("wallet.withdrawal_paid", WITHDRAWAL, {"role": "commands"}, "wrong_topic"),
    ("wallet.p2p", {"from": "a", "to": "b", "amount": 5}, {"role": "treasury"}, "wrong_topic"),
    ("charge.succeeded", CHARGE, {"role": "commands"}, "wrong_topic"),
]  # fmt: skip


@pytest.mark.parametrize(("event_type", "content", "changes", "becomes"), EVENTS)
def test_event(
    translator: Translator,
    event_type: str,
    content: dict[str, Any],
    changes: dict[str, Any],
    becomes: str,
) -> None:
    """An event makes these transfers, in order, or has this outcome."""
    roles = {"wallet": "commands", "balance_transaction": "settlements"}
    treasury = {"wallet.withdrawal_paid", "wallet.withdrawal_failed", "wallet.exchange"}
    usual = "treasury" if event_type in treasury else roles.get(event_type.partition(".")[0])
    role = changes.get("role") or usual or "payments"
    body = {"data": {"object": {**content, **changes}}, "type": event_type}
    event = Event("evt_1", event_type, SECONDS, body)
    assert become(translator, event, role) == becomes


def test_both_tellings_of_a_charge_are_one_fact(translator: Translator) -> None:
    """A charge has the same transfer ids whichever event tells it."""
    chains = [
        translator.translate(
            Event(f"evt_{kind}", kind, SECONDS + 9, {"data": {"object": CHARGE}, "type": kind}),
            role="payments",
        )
        for kind in ("charge.succeeded", "charge.captured")
    ]
    ids = [[leg.id for leg in chain.legs] for chain in chains if isinstance(chain, Chain)]
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_a_bill_is_split_among_two_hundred(translator: Translator) -> None:
    """All debtors of a large bill are one chain: all pay, or none does."""
    shares = [{"customer": f"c{number}", "amount": number + 1} for number in range(200)]
    about = {"id": "bill_1", "payer": "p", "shares": shares, "currency": "usd"}
    body = {"data": {"object": about}, "type": "wallet.split_bill"}
    found = translator.translate(
        Event("evt_1", "wallet.split_bill", SECONDS, body), role="commands"
    )
    assert isinstance(found, Chain)
    assert [leg.amount for leg in found.legs] == list(range(1, 201))
    assert {leg.credit.key for leg in found.legs if leg.credit} == {"p"}


def test_commands_come_first(translator: Translator) -> None:
    """Wallet commands are drained first when there is a backlog."""
    assert translator.rulebook.priority_of("commands") == "high"


def test_currencies_have_stripe_s_scale(translator: Translator) -> None:
    """Each currency's ledger has its ISO number and Stripe's number of minor digits."""
    ledgers = translator.rulebook.ledgers
    assert (ledgers["usd"].ledger, ledgers["eur"].ledger, ledgers["jpy"].ledger) == (840, 978, 392)
    assert len(ledgers) >= 135
    for name, currency in ledgers.items():
        expected = 0 if name in ZERO_DECIMAL else 3 if name in THREE_DECIMAL else 2
        assert currency.scale == expected, name


def test_accounts_are_all_declared() -> None:
    """Every account of the chart has its code, so that no code is ever given away."""
    book = load(PACKAGED)
    assert sorted(book.accounts) == sorted(NAMES)
    assert {name: account.per for name, account in book.accounts.items() if account.per} == {
        "payouts_in_transit": "payout",
        "customer_wallet": "customer",
        "user_receivable": "customer",
        "customer_cash": "customer",
        "seller_payable": "account",
        "disputes_held": "dispute",
        "chargeback_losses": "charge",
        "authorised_only": "charge_and_amount",
        "never_captured": "charge_and_amount",
        "told_so_far": "fact",
    }


def test_no_warnings() -> None:
    """`check` finds nothing odd in the packaged rulebook."""
    assert find_warnings(load(PACKAGED)) == []


BAD_EXCHANGES = [
    # sell          buy            spread         says
    ((0, "usd"),    (10**8, "eur"), (0, "eur"),   "something is sold and something is bought"),
    ((-5, "usd"),   (90, "eur"),   (0, "eur"),    "something is sold and something is bought"),
    ((100, "usd"),  (0, "eur"),    (0, "eur"),    "something is sold and something is bought"),
    ((100, "usd"),  (90, "usd"),   (0, "usd"),    "they are two currencies"),
    ((100, "usd"),  (90, "eur"),   (1, "gbp"),    "the spread is in one of them"),
    ((100, "usd"),  (90, "eur"),   (-1, "usd"),   "the spread is a part of that side"),
    ((100, "usd"),  (90, "eur"),   (100, "usd"),  "the spread is a part of that side"),
    ((100, "usd"),  (90, "eur"),   (90, "eur"),   "the spread is a part of that side"),
]  # fmt: skip


@pytest.mark.parametrize(("sell", "buy", "spread", "says"), BAD_EXCHANGES)
def test_an_exchange_that_would_make_money_is_dead(
    translator: Translator,
    sell: tuple[int, str],
    buy: tuple[int, str],
    spread: tuple[int, str],
    says: str,
) -> None:
    """Nothing is bought for nothing, and the spread is smaller than the side that it is of."""
    sides = {"sell": sell, "buy": buy, "spread": spread}
    money = {name: {"amount": each[0], "currency": each[1]} for name, each in sides.items()}
    body = {"data": {"object": {"customer": "a", **money}}, "type": "wallet.exchange"}
    found = translator.translate(Event("evt_1", "wallet.exchange", SECONDS, body), role="treasury")
    assert isinstance(found, Dead)
    assert (found.reason, found.detail) == ("bad_amount", f"exchange: it is not true that {says}")
