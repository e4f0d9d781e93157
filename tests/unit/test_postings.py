"""The postings that the field recommends, row by row: what events leave on the accounts.

Each story is told once by JSON records and once by Avro ones, to the packaged rulebook on a ledger
in memory, in order. Balances are debits less credits in minor units; accounts at zero are left out.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.books import Books
from tests.unit.delivered import FEED, OBJECTS, by_avro, by_json
from worker.core.event import Event
from worker.core.ids import account_id
from worker.core.money import major_units
from worker.core.outcome import Outcome
from worker.core.wire import Account, Transfer, TransferFlags, pack_account, pack_transfer
from worker.rulebooks.load import PACKAGED, load

RULEBOOK = load(PACKAGED)
SECONDS = 1_700_000_000
Told = tuple[str, dict[str, Any]]


def charge(amount: int, customer: str | None = "a", *, currency: str = "usd", n: int = 1) -> Told:
    """A charge that is captured at once."""
    about = {"id": f"ch_{n}", "created": SECONDS, "amount": amount, "amount_captured": amount,
             "currency": currency, "customer": customer, "captured": True}  # fmt: skip
    return "charge.succeeded", OBJECTS["charge"] | about


def late(told: Told, captured: int) -> tuple[Told, Told]:
    """The same charge, authorised first and then captured, perhaps in part."""
    authorised = told[1] | {"captured": False, "amount_captured": 0}
    back = told[1]["amount"] - captured
    taken = {"amount_captured": captured, "amount_refunded": back}
    return (told[0], authorised), ("charge.captured", told[1] | taken)


def about(kind: str, name: str, amount: int, **more: Any) -> Told:
    """An event about one of Stripe's objects."""
    made = {"id": f"{name}_1", "created": SECONDS + 9, "amount": amount, "currency": "usd"}
    return kind, OBJECTS[name] | {"source": None} | made | more


def settled(category: str | None, amount: int, *fees: tuple[str, int], **more: Any) -> Told:
    """A balance transaction with its fees by kind."""
    details = [{"type": kind, "amount": fee, "currency": "usd"} for kind, fee in fees]
    fee = sum(fee for _, fee in fees)
    made = {"id": f"txn_{category}_{amount}", "created": SECONDS, "amount": amount, "fee": fee,
            "net": amount - fee, "currency": "usd", "reporting_category": category,
            "fee_details": details, "source": None}  # fmt: skip
    return FEED, OBJECTS["balance_transaction"] | made | more


def disputed(kind: str, *moved: int, status: str = "lost", **more: Any) -> Told:
    """A dispute of 100 and what it did to Stripe's balance so far."""
    listed = [
        {"id": f"txn_{n}", "created": SECONDS + n, "amount": amount, "currency": "usd"}
        for n, amount in enumerate(moved)
    ]
    made = {"charge": "ch_1", "status": status, "balance_transactions": listed}
    return about(f"charge.dispute.{kind}", "dispute", 100, **made | more)


def command(kind: str, **fields: Any) -> Told:
    """A command of the app."""
    return f"wallet.{kind}", {"id": f"{kind}_1", "currency": "usd", **fields}


def p2p(amount: int) -> Told:
    """From a to b."""
    return command("p2p", **{"from": "a", "to": "b"}, amount=amount)


EURO_CHARGE = {"id": "ch_1", "amount": 100, "amount_captured": 60, "currency": "eur"}
RATE = {"exchange_rate": 1.1}
WITHDRAWAL = {"id": "wd_1", "created": SECONDS, "customer": "a", "amount": 30}
EXCHANGE = {"customer": "a", "sell": {"amount": 100, "currency": "usd"},
            "buy": {"amount": 90, "currency": "eur"},
            "spread": {"amount": 2, "currency": "usd"}}  # fmt: skip
IN_EUROS: dict[str, Any] = {"balance_transactions": [
    {"id": "txn_0", "created": SECONDS, "amount": -93, "currency": "eur"}]}  # fmt: skip
REFUND = about("refund.created", "refund", 100, charge="ch_1")
REFUND_FAILED = ("refund.failed", REFUND[1] | {"status": "failed"})
FAILED = {"status": "failed", "paid": False, "failure_balance_transaction": "txn_f"}
TRANSFERRED = about("transfer.created", "transfer", 50, destination="acct_1")

STORIES: dict[str, tuple[tuple[Told, ...], str]] = {
    # fact                   events                       balances, usd
    "charge": ((charge(100),), "stripe_unsettled 100, customer_wallet[a] -100"),
    "guest": ((charge(100, None),), "stripe_unsettled 100, unallocated -100"),
    "told twice": ((charge(100), ("charge.captured", charge(100)[1])),
        "stripe_unsettled 100, customer_wallet[a] -100"),
    "delayed capture": (late(charge(100), 100), "stripe_unsettled 100, customer_wallet[a] -100"),
    "partial capture": (
        (*late(charge(100), 60), settled("charge", 100, ("stripe_fee", 5)),
         settled("partial_capture_reversal", -40, ("stripe_fee", -2))),
        ("customer_wallet[a] -60, authorised_only[ch_1/40] 40, "
         "never_captured[ch_1/40] -40, stripe_clearing 57, processor_fees 3")),
    "its fee and tax": ((charge(100), settled("charge", 100, ("stripe_fee", 5), ("tax", 1))),
        "stripe_clearing 94, customer_wallet[a] -100, processor_fees 5, input_tax 1"),
    "settles in another currency": (
        (charge(100, currency="eur"),
         settled("charge", 110, source=EURO_CHARGE, **RATE)),
        ("stripe_clearing 110, customer_wallet[a] eur -100, fx_liquidity eur 100, "
         "fx_liquidity -110")),
    "partial capture, in another currency": (
        (*late(charge(100, currency="eur"), 60), settled("charge", 110, source=EURO_CHARGE, **RATE),
         settled("partial_capture_reversal", -44, source=EURO_CHARGE, **RATE)),
        ("customer_wallet[a] eur -60, authorised_only[ch_1/40] eur 40, fx_liquidity eur 60, "
         "never_captured[ch_1/40] eur -40, stripe_clearing 66, fx_liquidity -66")),
    "refund": ((charge(150), REFUND), "stripe_unsettled 50, customer_wallet[a] -50"),
    "refund of spent money": ((charge(100), p2p(80), REFUND),
        "customer_wallet[b] -80, user_receivable[a] 80"),
    "guest's refund": ((charge(100, None), REFUND), ""),
    "refund failed": ((charge(100), p2p(80), REFUND, REFUND_FAILED),
        "stripe_unsettled 100, customer_wallet[a] -20, customer_wallet[b] -80"),
    "guest's refund failed": ((charge(100, None), REFUND, REFUND_FAILED),
        "stripe_unsettled 100, unallocated -100"),
    "dispute opened": ((charge(100), disputed("funds_withdrawn", -100),
                        settled("dispute", -100, ("stripe_fee", 15))),
        ("stripe_unsettled 100, customer_wallet[a] -100, "
         "disputes_held[dispute_1] 100, stripe_clearing -115, dispute_fees 15")),
    "dispute won, fee kept": (
        (charge(100), disputed("funds_withdrawn", -100), disputed("funds_reinstated", -100, 100),
         disputed("closed", -100, 100, status="won"), settled("dispute", -100, ("stripe_fee", 15)),
         settled("dispute_reversal", 100)),
        ("stripe_unsettled 100, customer_wallet[a] -100, stripe_clearing -15, "
         "dispute_fees 15")),
    "dispute won, fee returned": (
        (charge(100), disputed("funds_withdrawn", -100), disputed("funds_reinstated", -100, 100),
         settled("dispute", -100, ("stripe_fee", 15)),
         settled("dispute_reversal", 100, ("stripe_fee", -15))),
        "stripe_unsettled 100, customer_wallet[a] -100"),
    "dispute lost": (
        (charge(100), disputed("funds_withdrawn", -100), disputed("closed", -100)), ""),
    "dispute lost, money spent": (
        (charge(100), p2p(80), disputed("funds_withdrawn", -100), disputed("closed", -100)),
        "customer_wallet[b] -80, chargeback_losses[ch_1] 80"),
    "guest's dispute lost": (
        (charge(100, None), disputed("funds_withdrawn", -100), disputed("closed", -100)), ""),
    "withdrawn in parts, one given back, lost": (
        (charge(100), disputed("funds_withdrawn", -60, -40), disputed("funds_withdrawn", -60),
         disputed("funds_reinstated", -60, -40, 30), disputed("closed", -60, -40, 30)),
        "stripe_unsettled 30, customer_wallet[a] -30"),
    "lost after a full refund": ((charge(100), REFUND, disputed("closed")), ""),
    "lost, settled in another currency": (
        (charge(100), disputed("funds_withdrawn", **IN_EUROS), disputed("closed", **IN_EUROS)),
        ""),
    "withdrawal requested": ((charge(100), command("withdrawal", **WITHDRAWAL)),
        ("stripe_unsettled 100, customer_wallet[a] -100, "
         "customer_wallet[a] reserved 30, pending_payouts reserved -30")),
    "withdrawal paid": (
        (charge(100), command("withdrawal", **WITHDRAWAL),
         command("withdrawal_paid", **WITHDRAWAL)),
        "stripe_unsettled 100, customer_wallet[a] -70, bank -30"),
    "withdrawal failed": (
        (charge(100), command("withdrawal", **WITHDRAWAL),
         command("withdrawal_failed", **WITHDRAWAL)),
        "stripe_unsettled 100, customer_wallet[a] -100"),
    "payout on its way": ((about("payout.created", "payout", 70),),
        "payouts_in_transit[payout_1] 70, stripe_unsettled -70"),
    "payout paid": ((about("payout.created", "payout", 70), about("payout.paid", "payout", 70)),
        "stripe_unsettled -70, bank 70"),
    "payout failed": (
        (about("payout.created", "payout", 70), about("payout.failed", "payout", 70)), ""),
    "payout canceled": (
        (about("payout.created", "payout", 70), about("payout.canceled", "payout", 70)), ""),
    "payout failed after paid": (
        (about("payout.created", "payout", 70), about("payout.paid", "payout", 70),
         about("payout.failed", "payout", 70)), ""),
    "payout paid, read after its failure": (
        (about("payout.created", "payout", 70), about("payout.failed", "payout", 70),
         about("payout.paid", "payout", 70)), ""),
    "instant payout's fee": (
        (about("payout.created", "payout", 70), settled("payout", -70, ("stripe_fee", 1))),
        "stripe_clearing -71, payouts_in_transit[payout_1] 70, processor_fees 1"),
    "Connect transfer": ((TRANSFERRED,), "seller_payable[acct_1] 50, stripe_unsettled -50"),
    "charge failed after success": (
        (charge(100), p2p(80), ("charge.failed", charge(100)[1] | FAILED)),
        "customer_wallet[b] -80, user_receivable[a] 80"),
    "adjustments": ((settled("other_adjustment", -40), settled("other_adjustment", 15)),
        "adjustments 25, stripe_clearing -25"),
    "collection transfer": ((settled("connect_collection_transfer", -40),),
        "adjustments 40, stripe_clearing -40"),
    "P2P": ((charge(100), p2p(80)),
        "stripe_unsettled 100, customer_wallet[a] -20, customer_wallet[b] -80"),
    "application fee": ((about("application_fee.created", "application_fee", 9),),
        "stripe_unsettled 9, fee_revenue -9"),
    "top-up": ((about("topup.succeeded", "topup", 500),), "stripe_unsettled 500, bank -500"),
    "top-up reversed": (
        (about("topup.succeeded", "topup", 500), about("topup.reversed", "topup", 500)), ""),
    "reserve": ((settled("risk_reserved_funds", -70), settled("connect_reserved_funds", -5),
                 settled("risk_reserved_funds", 30)),
        "stripe_clearing -45, stripe_reserve 45"),
    "Stripe's own fees": ((settled("fee", -20), settled("network_cost", -3), settled("tax", -4)),
        "stripe_clearing -27, processor_fees 23, input_tax 4"),
    "exchange": ((charge(150), command("exchange", **EXCHANGE)),
        ("stripe_unsettled 150, customer_wallet[a] -50, fx_liquidity -98, "
         "fx_liquidity eur 90, customer_wallet[a] eur -90, fee_revenue -2")),
}  # fmt: skip
READ = {"JSON": by_json, "Avro": by_avro}


def events(told: tuple[Told, ...], encoding: str) -> list[Event]:
    """The events as one encoding brings them, each with an id of its own."""
    return [
        READ[encoding](
            OBJECTS["event"] | {"id": f"evt_{n}", "type": kind, "data": {"object": content}}
        )
        for n, (kind, content) in enumerate(told)
    ]


def balances(books: Books) -> dict[str, int]:
    """By account and, but for dollars, currency; and what is reserved. Notes cancel out."""
    found = books.balances()
    notes = [found.pop(name) for name in [*found] if name.startswith("told_so_far")]
    assert sum(notes) == 0
    posted = {name.removesuffix(" usd"): balance for name, balance in found.items()}
    reserved = {
        f"{ref.name}[{ref.key}] reserved".replace("[]", ""): pending
        for account in books.accounts()
        if (pending := account.debits_pending - account.credits_pending)
        for ref in (books.translator.name_account(account),)
    }
    return posted | reserved


def expected(text: str) -> dict[str, int]:
    """`account 5, other eur -5` as balances."""
    pairs = [each.rsplit(" ", 1) for each in text.split(", ") if each]
    return {name: int(balance) for name, balance in pairs}


@pytest.mark.parametrize("encoding", READ)
@pytest.mark.parametrize("fact", STORIES)
def test_posting(fact: str, encoding: str) -> None:
    """The events of a fact leave these balances, and debits equal credits in each currency."""
    told, left = STORIES[fact]
    books = Books(RULEBOOK)
    for event in events(told, encoding):
        assert books.kinds(event)[0] in {"posted", "redelivered", "ignored", "nothing_to_post"}
    assert balances(books) == expected(left)


@pytest.mark.parametrize("encoding", READ)
def test_parts_of_what_is_reversed(encoding: str) -> None:
    """Each reversal of a transfer, and refund of an application fee, is booked by its own part."""
    books = Books(RULEBOOK)
    told = [TRANSFERRED, about("application_fee.created", "application_fee", 9)]
    books.kinds(*events(tuple(told), encoding))
    for name, kind, field, parts in (
        ("transfer", "transfer.reversed", "reversals", (20, 30)),
        ("application_fee", "application_fee.refunded", "refunds", (4, 5)),
    ):
        listed: list[dict[str, Any]] = []
        for number, part in enumerate(parts):
            one = {"id": f"{field}_{number}", "amount": part, "created": SECONDS, "currency": "usd"}
            listed = [one, *listed]
            content = about(kind, name, 50, destination="acct_1")[1] | {field: {"data": listed}}
            data = {"object": content}
            body = OBJECTS["event"] | {"id": f"{kind}_{number}", "type": kind, "data": data}
            assert books.kinds(READ[encoding](body)) == ["posted"]
    assert balances(books) == {}


@pytest.mark.parametrize("encoding", READ)
def test_withdrawals_of_one_second_are_told_with_their_total(encoding: str) -> None:
    """Two events of one second with different lists: the second brings what is more."""
    _, first = disputed("funds_withdrawn", -60)
    listed = [*first["balance_transactions"], {**first["balance_transactions"][0], "id": "txn_9"}]
    second = first | {"balance_transactions": listed}
    told = [("charge.dispute.funds_withdrawn", each) for each in (first, second)]
    for order in (told, told[::-1]):
        books = Books(RULEBOOK)
        assert books.kinds(*events(tuple(order), encoding)) == ["posted", "posted"]
        assert balances(books) == {"disputes_held[dispute_1]": 120, "stripe_unsettled": -120}


@pytest.mark.parametrize("encoding", READ)
def test_a_bill_of_two_hundred(encoding: str) -> None:
    """Two hundred debtors pay one bill together, or, where one cannot, none does."""
    debtors = [f"c{number}" for number in range(200)]
    shares = [{"customer": one, "amount": 5} for one in debtors]
    charges = [charge(5, one, n=number) for number, one in enumerate(debtors)]
    bill = command("split_bill", payer="p", shares=shares)
    dear = command("split_bill", payer="p", shares=[*shares[:-1], {**shares[-1], "amount": 6}])
    books = Books(RULEBOOK)
    books.tell(*events(tuple(charges), encoding))
    refused, *_ = books.tell(*events((dear,), encoding))
    assert refused.rejection
    assert refused.rejection.reason == "exceeds_credits"
    assert books.kinds(*[event_again(event) for event in events((bill,), encoding)]) == ["posted"]
    assert balances(books) == {"stripe_unsettled": 1000, "customer_wallet[p]": -1000}


def event_again(event: Event) -> Event:
    """The same under an id of its own."""
    return Event("evt_again", event.type, event.created, event.body)


SCALES = {
    # currency: 12300 minor units
    "usd": "123.00", "jpy": "12300", "krw": "12300", "mga": "12300", "xof": "12300",
    "isk": "123.00", "ugx": "123.00", "bhd": "12.300", "jod": "12.300", "kwd": "12.300",
    "omr": "12.300", "tnd": "12.300",
}  # fmt: skip


@pytest.mark.parametrize("encoding", READ)
@pytest.mark.parametrize("currency", sorted(RULEBOOK.ledgers))
def test_every_currency(currency: str, encoding: str) -> None:
    """A charge is booked in minor units on its currency's ledger, and told in Stripe's scale."""
    books = Books(RULEBOOK)
    assert books.kinds(*events((charge(12_300, currency=currency),), encoding)) == ["posted"]
    assert books.balances() == {
        f"stripe_unsettled {currency}": 12_300, f"customer_wallet[a] {currency}": -12_300,
    }  # fmt: skip
    (moved,) = books.transfers()
    ledger = RULEBOOK.ledgers[currency]
    assert moved.ledger == ledger.ledger
    if currency in SCALES:
        assert major_units(moved.amount, ledger.scale) == SCALES[currency]


def close(books: Books, customer: str) -> None:
    """Close a dollar wallet as an operator would, by a pending transfer of nothing."""
    wallet = account_id(ledger=840, name="customer_wallet", key=customer)
    guests = account_id(ledger=840, name="unallocated", key="")
    books.ledger.create_accounts(pack_account(Account(id=guests, ledger=840, code=2200)))
    flags = int(TransferFlags.PENDING | TransferFlags.CLOSING_CREDIT)
    closing = Transfer(id=99, debit_account_id=guests, credit_account_id=wallet, amount=0,
                       ledger=840, code=1, flags=flags)  # fmt: skip
    (result,) = books.ledger.create_transfers(pack_transfer(closing))
    assert result.status == (1 << 32) - 1


CLOSED: dict[str, tuple[tuple[Told, ...], tuple[Told, ...], str]] = {
    # fact              before the wallet is closed    after it             balances
    "charge": ((charge(100),), (charge(30, n=2),),
        "stripe_unsettled 130, customer_wallet[a] -100, suspense -30"),
    "refund": ((charge(100),), (REFUND,), "customer_wallet[a] -100, suspense 100"),
    "refund failed": ((charge(100), REFUND), (REFUND_FAILED,),
        "stripe_unsettled 100, suspense -100"),
    "charge failed": ((charge(100),), (("charge.failed", charge(100)[1] | FAILED),),
        "customer_wallet[a] -100, suspense 100"),
    "dispute lost": ((charge(100), disputed("funds_withdrawn", -100)), (disputed("closed", -100),),
        "customer_wallet[a] -100, suspense 100"),
}  # fmt: skip


@pytest.mark.parametrize("encoding", READ)
@pytest.mark.parametrize("fact", CLOSED)
def test_a_closed_wallet(fact: str, encoding: str) -> None:
    """An external fact that meets a closed wallet goes to suspense, with an alert."""
    before, after, left = CLOSED[fact]
    books = Books(RULEBOOK)
    told = events((*before, *after), encoding)
    assert set(books.kinds(*told[: len(before)])) == {"posted"}
    close(books, "a")
    found: list[Outcome] = books.tell(*told[len(before) :])
    assert [str(outcome.kind) for outcome in found] == ["posted"]
    assert "suspense" in found[0].alert
    assert balances(books) == expected(left)


@pytest.mark.parametrize("kind", ["p2p", "withdrawal"])
def test_a_customer_s_command_on_a_closed_wallet_is_rejected(kind: str) -> None:
    """Suspense is for facts from outside: a customer's own command is refused."""
    books = Books(RULEBOOK)
    books.kinds(*events((charge(100),), "JSON"))
    close(books, "a")
    told = p2p(5) if kind == "p2p" else command("withdrawal", **WITHDRAWAL)
    (found,) = books.tell(*map(event_again, events((told,), "JSON")))
    assert found.rejection
    assert found.rejection.reason == "debit_account_already_closed"
