"""`journal.entry` by the packaged rules: two names, any account, debits equal to credits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.books import Books
from worker.core.account_ids import AccountRefs
from worker.core.errors import UsageError
from worker.core.event import Event
from worker.rulebooks.load import PACKAGED, load

RULES = load(PACKAGED)
SECONDS = 1_767_225_600


def line(side: str, account: str, amount: object, **more: object) -> dict[str, object]:
    """One line of an entry, in dollars unless it says otherwise."""
    return {"account": account, "currency": "usd", "side": side, "amount": amount, **more}


BANK = line("debit", "bank", 60)
ANN = line("credit", "customer_wallet", 60, key="cus_ann")


def entry(books: Books, *lines: dict[str, object], **changes: object) -> Event:
    """An entry that two people signed, of these lines."""
    about: dict[str, Any] = {
        "id": "je_1", "created": SECONDS, "reason": "opening",
        "requested_by": "Ada", "approved_by": "Grace", "lines": list(lines),
    }  # fmt: skip
    kept = {key: value for key, value in {**about, **changes}.items() if value is not None}
    return books.event("journal.entry", kept)


def test_an_entry_is_one_chain_through_a_control_account_that_ends_at_zero() -> None:
    """Two currencies, families and single accounts, in one chain, and all balances as written."""
    books = Books(RULES)
    lines = [
        BANK, ANN,
        line("debit", "stripe_clearing", 40), line("credit", "suspense", 40),
        line("debit", "bank", 7, currency="eur"), line("credit", "suspense", 7, currency="eur"),
    ]  # fmt: skip
    assert books.kinds(entry(books, *lines)) == ["posted"]
    assert books.balances() == {
        "bank usd": 60, "customer_wallet[cus_ann] usd": -60, "stripe_clearing usd": 40,
        "suspense usd": -40, "bank eur": 7, "suspense eur": -7,
    }  # fmt: skip
    assert len({transfer.user_data_128 for transfer in books.transfers()}) == 1
    assert len(books.transfers()) == len(lines)


def test_an_account_that_the_event_names_has_the_id_that_a_rule_gives_it() -> None:
    """The wallet that a journal credits is the wallet that a charge credits."""
    books = Books(RULES)
    books.tell(entry(books, BANK, ANN))
    wallet = RULES.accounts["customer_wallet"]
    known = AccountRefs([wallet]).ref(wallet, 840, "cus_ann").id
    assert known in {account.id for account in books.accounts()}


def test_an_entry_is_booked_once() -> None:
    """By its own id and second: told again it adds nothing, with other lines it is a conflict."""
    books = Books(RULES)
    assert books.kinds(entry(books, BANK, ANN)) == ["posted"]
    assert books.kinds(entry(books, BANK, ANN)) == ["redelivered"]
    assert books.kinds(entry(books, BANK | {"amount": 61}, ANN | {"amount": 61})) == ["conflict"]
    assert books.balances()["bank usd"] == 60


def test_what_an_entry_gives_it_may_take() -> None:
    """Credits come first: one entry may credit a wallet and take from what it gave."""
    books = Books(RULES)
    lines = [
        line("debit", "customer_wallet", 5, key="cus_ann"), line("credit", "suspense", 5),
        BANK, ANN,
    ]  # fmt: skip
    assert books.kinds(entry(books, *lines)) == ["posted"]


def test_a_wallet_is_not_overdrawn_by_an_entry() -> None:
    """The ledger's own limits hold for a journal as for anybody."""
    books = Books(RULES)
    taken = line("debit", "customer_wallet", 5, key="cus_ann")
    assert books.kinds(entry(books, taken, line("credit", "suspense", 5))) == ["rejected"]
    assert books.balances() == {}


BY_HAND = {"account": "journal_control"}
HELP = {"account": "shortfall_control"}
ZERO = "journal_entry: journal_control would not end at zero in"
SIGNED = "journal_entry: it is not true that one person asks for it and another approves it"
REFUSED: list[tuple[dict[str, object], list[dict[str, object]], str, str]] = [
    # changes               lines                                   reason          says
    ({},                     [BANK, ANN | {"amount": 59}],           "bad_amount",   f"{ZERO} usd"),
    ({},                     [BANK, ANN | {"currency": "eur"}],      "bad_amount",   f"{ZERO} eur"),
    ({},                     [BANK, BANK],                           "bad_amount",   f"{ZERO} usd"),
    ({},                     [BANK],                                 "bad_amount",   "two lines"),
    ({},                     [],                                     "bad_amount",   "two lines"),
    ({"lines": None},        [],                                     "missing_field", "lines"),
    ({},                     [BANK, ANN, BANK | {"side": "x"}],      "bad_amount",   "a debit or"),
    ({},                     [BANK | {"amount": 0}, ANN],            "bad_amount",   "an amount"),
    ({},                     [BANK | {"amount": -60}, ANN],          "bad_amount",   "an amount"),
    ({},                     [BANK | {"amount": "60"}, ANN],         "missing_field", "amount"),
    ({},                     [BANK | {"amount": True}, ANN],         "missing_field", "amount"),
    ({},                     [BANK | {"currency": "xau"}, ANN],      "unknown_currency", ""),
    ({},                     [BANK | {"account": "bnak"}, ANN],      "bad_key",      "no declared"),
    ({},                     [BANK | {"account": 7}, ANN],           "bad_key",      "no declared"),
    ({},                     [BANK | {"account": None}, ANN],        "missing_field", "null"),
    ({},                     [BANK | BY_HAND, ANN],                  "bad_key",      "named"),
    ({},                     [BANK | HELP, ANN],                     "bad_key",      "named"),
    ({},                     [BANK, ANN | {"key": ""}],              "bad_key",      "is missing"),
    ({},                     [BANK, ANN | {"key": None}],            "bad_key",      "is missing"),
    ({},                     [BANK, ANN | {"key": ["cus"]}],         "bad_key",      "a string"),
    ({},                     [BANK, ANN | {"key": "a\0"}],           "bad_key",      "NUL"),
    ({},                     [BANK | {"key": "x"}, ANN],             "bad_key",      "without"),
    ({"approved_by": "Ada"}, [BANK, ANN],                            "bad_key",      SIGNED),
    ({"approved_by": ""},    [BANK, ANN],                            "bad_key",      SIGNED),
    ({"approved_by": None},  [BANK, ANN],                            "missing_field", "approved"),
    ({"requested_by": ""},   [BANK, ANN],                            "bad_key",      SIGNED),
    ({"requested_by": 7},    [BANK, ANN],                            "missing_field", "requested"),
    ({"reason": ""},         [BANK, ANN],                            "bad_amount",   "it says why"),
    ({"created": None},      [BANK, ANN],                            "missing_field", "created"),
    ({"id": None},           [BANK, ANN],                            "missing_field", "id"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "lines", "reason", "says"), REFUSED)
def test_a_bad_entry_is_dead_and_nothing_of_it_is_posted(
    changes: dict[str, object], lines: list[dict[str, object]], reason: str, says: str
) -> None:
    """Each mistake with its reason and a sentence that holds no value of the entry."""
    books = Books(RULES)
    (outcome,) = books.tell(entry(books, *lines, **changes))
    assert outcome.dead is not None
    assert outcome.dead.reason == reason
    assert says in outcome.dead.detail
    assert books.transfers() == []


LEG = 'debit: account(item.account, coalesce(item.key, ""))'
WRONG = [
    # instead                            says
    ("debit: account(item.account)",     "account() takes two values"),
    ("debit: account()",                 "account() takes two values"),
    ("debit: account(item.a, item.b, 1)", "account() takes two values"),
    ("debit: account(itm.account, 1)",   "did you mean 'item'?"),
    ("debit: account(item.account, 1 +)", "ends too early"),
    ("debit: 'account(\"bank\", item.key)'", "the same for every event"),
]  # fmt: skip


@pytest.mark.parametrize(("instead", "says"), WRONG)
def test_mistakes_of_an_account_that_the_event_names(
    tmp_path: Path, instead: str, says: str
) -> None:
    """They are told with the file's line, like any other."""
    path = tmp_path / "rules.yaml"
    path.write_text(PACKAGED.read_text().replace(LEG, instead, 1))
    with pytest.raises(UsageError, match=r"rules\.yaml:\d+: ") as caught:
        load(path)
    assert says in str(caught.value)
