"""What a writer of each topic can do at worst, tried line by line (docs/security.md)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.books import Books
from worker.codecs.parked import ROLE_HEADER, role_of
from worker.config.sections import ROLE_TOPICS
from worker.core.ports import Record
from worker.kafka.topics.declared import load_topics
from worker.rulebooks.load import PACKAGED, load

RULES = load(PACKAGED)
PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
SECONDS = 1_767_225_600

CHARGE = {
    "id": "ch_1", "object": "charge", "created": SECONDS, "amount": 10_000,
    "amount_captured": 10_000, "amount_refunded": 0,
    "captured": True, "paid": True, "status": "succeeded", "currency": "usd",
    "customer": "cus_eve", "balance_transaction": "txn_1", "refunded": False,
}  # fmt: skip
SETTLED = {
    "id": "txn_1", "object": "balance_transaction", "amount": 10_000, "fee": 0, "net": 10_000,
    "currency": "usd", "created": SECONDS, "available_on": SECONDS, "type": "charge",
    "reporting_category": "charge", "source": "ch_1", "status": "available", "exchange_rate": None,
    "description": None, "fee_details": [],
}  # fmt: skip
P2P = {"id": "p2p_1", "from": "cus_ann", "to": "cus_eve", "amount": 500, "currency": "usd"}
BILL = {
    "id": "bill_1", "payer": "cus_eve", "currency": "usd",
    "shares": [{"customer": "cus_ann", "amount": 300}, {"customer": "cus_ben", "amount": 200}],
}  # fmt: skip
WITHDRAWAL = {
    "id": "wd_1", "created": SECONDS, "customer": "cus_ann", "amount": 900, "currency": "usd",
}  # fmt: skip


def money(amount: int, currency: str) -> dict[str, object]:
    """An amount of a currency."""
    return {"amount": amount, "currency": currency}


EXCHANGE = {
    "id": "fx_1", "customer": "cus_ann",
    "sell": money(100, "usd"), "buy": money(90, "eur"), "spread": money(1, "eur"),
}  # fmt: skip
ENTRY = {
    "id": "je_1", "created": SECONDS, "reason": "r",
    "requested_by": "Eve", "approved_by": "Mallory",
    "lines": [
        {"account": "bank", "currency": "usd", "side": "debit", "amount": 700},
        {"account": "customer_wallet", "key": "cus_eve", "currency": "usd", "side": "credit",
         "amount": 700},
    ],
}  # fmt: skip

ALL: dict[str, dict[str, Any]] = {
    "charge.succeeded": CHARGE,
    "balance_transaction.created": SETTLED,
    "wallet.p2p": P2P,
    "wallet.split_bill": BILL,
    "wallet.withdrawal": WITHDRAWAL,
    "wallet.withdrawal_paid": WITHDRAWAL,
    "wallet.withdrawal_failed": WITHDRAWAL,
    "wallet.exchange": EXCHANGE,
    "journal.entry": ENTRY,
}
OWN = {
    "payments": {"charge.succeeded"},
    "settlements": {"balance_transaction.created"},
    "commands": {"wallet.p2p", "wallet.split_bill", "wallet.withdrawal"},
    "treasury": {"wallet.withdrawal_paid", "wallet.withdrawal_failed", "wallet.exchange"},
    "journal": {"journal.entry"},
}


@pytest.fixture
def books() -> Books:
    """Two customers with 10.00 USD each."""
    made = Books(RULES)
    lines = [
        {"account": "bank", "currency": "usd", "side": "debit", "amount": 2_000},
        *(
            {"account": "customer_wallet", "key": key, "currency": "usd", "side": "credit",
             "amount": 1_000}
            for key in ("cus_ann", "cus_ben")
        ),
    ]  # fmt: skip
    opening = {**ENTRY, "id": "opening", "lines": lines}
    assert made.kinds(made.event("journal.entry", opening)) == ["posted"]
    return made


def tried(books: Books, role: str, kind: str, content: dict[str, Any], **changes: object) -> str:
    """What becomes of an event on a role's topic, in a word."""
    (found,) = books.kinds(books.event(kind, {**content, **changes}), role=role)
    return found


def wallets(books: Books) -> dict[str, int]:
    """What each customer has, in cents."""
    found = books.balances().items()
    return {
        name.removeprefix("customer_wallet["): -balance
        for name, balance in found
        if name.startswith("customer_wallet[")
    }


FOREIGN = [(role, kind) for role in OWN for kind in ALL if kind not in OWN[role]]


@pytest.mark.parametrize(("role", "kind"), FOREIGN)
def test_nobody_writes_what_is_another_topics(books: Books, role: str, kind: str) -> None:
    """Each type is dead on every role but its own, and moves nothing."""
    before = books.balances()
    assert tried(books, role, kind, ALL[kind]) == "wrong_topic"
    assert books.balances() == before


def test_who_writes_payments_can_invent_money(books: Books) -> None:
    """At worst: a charge that never was fills a wallet, and no settlement confirms it."""
    assert tried(books, "payments", "charge.succeeded", CHARGE) == "posted"
    assert wallets(books)["cus_eve] usd"] == CHARGE["amount"]


CATEGORIES = ["charge", "fee", "tax", "refund", "dispute", "payout", "transfer", "never_heard_of"]


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("amount", [10_000, -10_000])
def test_who_writes_settlements_reaches_no_wallet(books: Books, category: str, amount: int) -> None:
    """At worst: clearing moves against the platform's own accounts."""
    before = wallets(books)
    changes = {"reporting_category": category, "amount": amount, "net": amount, "type": category}
    tried(books, "settlements", "balance_transaction.created", SETTLED, **changes)
    assert wallets(books) == before


COMMANDS = [
    # type                 content     changes                                       becomes
    ("wallet.p2p",         P2P,        {},                                           "posted"),
    ("wallet.p2p",         P2P,        {"amount": 1_001},                            "rejected"),
    ("wallet.p2p",         P2P,        {"amount": -500},                             "bad_amount"),
    ("wallet.p2p", P2P, {"amount": 0}, "nothing_to_post"),
    ("wallet.p2p",         P2P,        {"amount": 1.5},                              "bad_amount"),
    ("wallet.p2p",         P2P,        {"amount": 2**63},                            "bad_amount"),
    ("wallet.p2p", P2P, {"to": "cus_ann"}, "same_account"),
    ("wallet.p2p",         P2P,        {"currency": "eur"},                          "rejected"),
    ("wallet.split_bill",  BILL,       {},                                           "posted"),
    ("wallet.split_bill",  BILL,       {"shares": [{"customer": "a", "amount": -9}]}, "bad_amount"),
    ("wallet.withdrawal",  WITHDRAWAL, {},                                           "posted"),
    ("wallet.withdrawal",  WITHDRAWAL, {"amount": 1_001},                            "rejected"),
    ("wallet.withdrawal",  WITHDRAWAL, {"amount": -900},                             "bad_amount"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "content", "changes", "becomes"), COMMANDS)
def test_who_writes_commands_moves_what_is_there(
    books: Books, kind: str, content: dict[str, Any], changes: dict[str, object], becomes: str
) -> None:
    """At worst: another's wallet is emptied, as its app may ask. Money is never made."""
    before = sum(wallets(books).values())
    assert tried(books, "commands", kind, content, **changes) == becomes
    assert sum(wallets(books).values()) == before
    assert min(wallets(books).values()) >= 0


def test_who_writes_commands_can_empty_anothers_wallet(books: Books) -> None:
    """That is the app's duty: nobody else knows whether the customer asked for it."""
    assert tried(books, "commands", "wallet.p2p", P2P, amount=1_000) == "posted"
    assert wallets(books) == {"cus_ben] usd": 1_000, "cus_eve] usd": 1_000}


TREASURY = [
    # type                      content     changes                           becomes
    ("wallet.withdrawal_paid", WITHDRAWAL, {}, "predecessor_missing"),
    ("wallet.withdrawal_failed", WITHDRAWAL, {}, "predecessor_missing"),
    ("wallet.exchange",         EXCHANGE,   {"sell": money(0, "usd")},        "bad_amount"),
    ("wallet.exchange",         EXCHANGE,   {"sell": money(-100, "usd")},     "bad_amount"),
    ("wallet.exchange",         EXCHANGE,   {"buy": money(0, "eur")},         "bad_amount"),
    ("wallet.exchange",         EXCHANGE,   {"buy": money(10**8, "usd")},     "bad_amount"),
    ("wallet.exchange",         EXCHANGE,   {"spread": money(90, "eur")},     "bad_amount"),
    ("wallet.exchange",         EXCHANGE,   {"spread": money(-1, "eur")},     "bad_amount"),
    ("wallet.exchange",         EXCHANGE,   {"spread": money(1, "gbp")},      "bad_amount"),
    ("wallet.exchange",         EXCHANGE,   {"sell": money(1_001, "usd")},    "rejected"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "content", "changes", "becomes"), TREASURY)
def test_who_writes_treasury_cannot_sell_nothing(
    books: Books, kind: str, content: dict[str, Any], changes: dict[str, object], becomes: str
) -> None:
    """What was not asked for is not paid, and nothing is bought for nothing."""
    before = books.balances()
    assert tried(books, "treasury", kind, content, **changes) == becomes
    assert books.balances() == before


def test_who_writes_treasury_makes_the_rate(books: Books) -> None:
    """At worst: one cent buys a million, out of the platform's liquidity."""
    rate = {"sell": money(1, "usd"), "buy": money(10**8, "eur"), "spread": money(0, "eur")}
    assert tried(books, "treasury", "wallet.exchange", EXCHANGE, **rate) == "posted"
    assert books.balances()["fx_liquidity eur"] == 10**8
    assert wallets(books)["cus_ann] eur"] == 10**8


def test_an_exchange_goes_as_far_as_its_account_if_the_rulebook_says_so(tmp_path: Path) -> None:
    """An account of its own with a limit, filled by a journal: what goes beyond is rejected."""
    text = PACKAGED.read_text()
    rule = re.search(r"\n  exchange:\n.*?(?=\n\n|\Z)", text, re.DOTALL)
    assert rule is not None
    limited = "accounts:\n  exchange_float:\n    title: For customers' exchanges\n    code: 6001\n"
    limited += "    type: asset\n    flags: [debits_must_not_exceed_credits]\n"
    text = text.replace(rule[0], rule[0].replace("fx_liquidity", "exchange_float"))
    path = tmp_path / "rules.yaml"
    path.write_text(text.replace("\naccounts:\n", "\n" + limited, 1))
    books = Books(path)
    lines = [
        {"account": "bank", "currency": "eur", "side": "debit", "amount": 100},
        {"account": "exchange_float", "currency": "eur", "side": "credit", "amount": 100},
        {"account": "bank", "currency": "usd", "side": "debit", "amount": 1_000},
        {"account": "customer_wallet", "key": "cus_ann", "currency": "usd", "side": "credit",
         "amount": 1_000},
    ]  # fmt: skip
    assert tried(books, "journal", "journal.entry", ENTRY, lines=lines) == "posted"
    assert tried(books, "treasury", "wallet.exchange", EXCHANGE) == "posted"
    assert tried(books, "treasury", "wallet.exchange", EXCHANGE) == "rejected"
    assert wallets(books) == {"cus_ann] usd": 900, "cus_ann] eur": 90}


def line(account: str, side: str, amount: int, **more: object) -> dict[str, object]:
    """One line of an entry in dollars."""
    return {"account": account, "currency": "usd", "side": side, "amount": amount, **more}


JOURNAL = [
    # changes                                                              becomes
    ({"approved_by": "Eve"},                                               "bad_key"),
    ({"lines": [line("bank", "debit", 700), line("suspense", "credit", 1)]}, "bad_amount"),
    ({"lines": [line("bank", "debit", -1), line("suspense", "credit", -1)]}, "bad_amount"),
    ({"lines": [line("journal_control", "debit", 1), line("bank", "credit", 1)]}, "bad_key"),
    ({"lines": [line("shortfall_control", "debit", 1), line("bank", "credit", 1)]}, "bad_key"),
    ({"lines": [line("customer_wallet", "debit", 1_001, key="cus_ann"),
                line("bank", "credit", 1_001)]},                           "rejected"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "becomes"), JOURNAL)
def test_who_writes_journals_keeps_the_books_in_balance(
    books: Books, changes: dict[str, object], becomes: str
) -> None:
    """One name twice, what does not balance, a control account, an overdrawn wallet: nothing."""
    before = books.balances()
    assert tried(books, "journal", "journal.entry", ENTRY, **changes) == becomes
    assert books.balances() == before


def test_who_writes_journals_can_fill_a_wallet(books: Books) -> None:
    """At worst: any account against any other, with two names that one person wrote."""
    assert tried(books, "journal", "journal.entry", ENTRY) == "posted"
    assert wallets(books)["cus_eve] usd"] == 700


class Parked:
    """A record that somebody put on a parked topic."""

    def headers(self) -> list[tuple[str, bytes | None]]:
        """It says itself which role it came on."""
        return [(ROLE_HEADER, b"payments")]


def test_who_writes_parked_topics_chooses_the_role(books: Books) -> None:
    """At worst: all of the above, so nobody but the worker may write there."""
    role = role_of(cast("Record", Parked()))
    assert tried(books, role, "charge.succeeded", CHARGE) == "posted"
    grants = [each for each in load_topics().grants if each.operation == "write"]
    writers = {each.user for each in grants if each.name.startswith("ledger.events.parked")}
    assert writers == {"ledger-worker"}


def users_of(topic: str, operation: str) -> set[str]:
    """Who may read or write a topic, as the declared grants say."""
    return {
        each.user
        for each in load_topics().grants
        if (each.resource, each.name, each.operation) == ("topic", topic, operation)
    }


@pytest.mark.parametrize(
    ("topic", "writer", "readers"),
    [
        ("ledger.feed", "stripe-feed", {"stripe-feed"}),
        ("ledger.transfers.posted", "ledger-worker",
         {"ledger-worker", "ledger-operator", "ledger-sync", "redshift"}),
    ],
)  # fmt: skip
def test_who_writes_no_input_books_nothing(topic: str, writer: str, readers: set[str]) -> None:
    """Only its own writer may write there, and to no worker is it an input."""
    assert users_of(topic, "write") == {writer}
    assert users_of(topic, "read") == readers
    assert topic not in ROLE_TOPICS.values()
    assert f"| `{topic}`, `{writer}` |" in PAGE


def test_who_redrives_can_do_what_each_topics_writer_can(books: Books) -> None:
    """The operator writes to every input and to nothing else, and the role is the topic's."""
    written = {
        spec.name
        for spec in load_topics().topics
        if "ledger-operator" in users_of(spec.name, "write")
    }
    assert written == set(ROLE_TOPICS.values())
    for role in ROLE_TOPICS:
        for kind, about in ALL.items():
            if kind not in OWN[role]:
                assert tried(books, role, kind, about) == "wrong_topic"
    assert tried(books, "payments", "charge.succeeded", CHARGE) == "posted"


def test_one_user_for_each_topic_and_a_line_for_each() -> None:
    """No user from outside writes two kinds of topics, and the table names each topic's writer."""
    outside: dict[str, set[str]] = {}
    for grant in load_topics().grants:
        writes = grant.operation == "write" and grant.resource == "topic"
        if writes and grant.user not in {"ledger-worker", "ledger-operator"}:
            outside.setdefault(grant.name, set()).add(grant.user)
    assert outside.keys() == {*ROLE_TOPICS.values(), "ledger.feed"}
    for topic, (user, *others) in outside.items():
        assert others == []
        assert f"| `{topic}`, `{user}` |" in PAGE
