"""Journal files: exact amounts, every mistake with its line, the same bytes for the same entry."""

from __future__ import annotations

import pytest

from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.money import BadAmount, minor_units
from worker.core.visible import visible
from worker.jobs.journal.entries import LINES_MAX, read_journal
from worker.jobs.journal.events import event_of_entry, value_of
from worker.rulebooks.load import load

RULES = load(PACKAGED_RULEBOOK)
HEADER = "entry,account,key,currency,debit,credit,reason,requested_by,approved_by,date\n"
BANK = "je_1,bank,,usd,60.00,,opening,Ada,Grace,2026-01-01\n"
ANN = "je_1,customer_wallet,cus_ann,usd,,60.00,,,,\n"

AMOUNTS = [
    # text               scale  minor units
    ("12.34",            2,     1234),
    ("12",               2,     1200),
    ("12.3",             2,     1230),
    ("12.340",           2,     1234),
    ("0.01",             2,     1),
    ("007",              0,     7),
    ("5.000",            0,     5),
    ("0.001",            3,     1),
    ("92233720368547758.07", 2, 2**63 - 1),
    ("0",                2,     0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "scale", "minor"), AMOUNTS)
def test_amounts_are_exact(text: str, scale: int, minor: int) -> None:
    """Major units become whole minor units without any rounding."""
    assert minor_units(text, scale) == minor


BAD_AMOUNTS = [
    # text               scale  says
    ("12.345",           2,     "more than the 2 digits"),
    ("0.5",              0,     "more than the 0 digits"),
    ("1,234.00",         2,     "no plain number"),
    ("1 234",            2,     "no plain number"),
    ("-5",               2,     "no plain number"),
    ("+5",               2,     "no plain number"),
    ("1e3",              2,     "no plain number"),
    (".5",               2,     "no plain number"),
    ("5.",               2,     "no plain number"),
    ("$5",               2,     "no plain number"),
    ("\u0665",           0,     "no plain number"),
    ("NaN",              2,     "no plain number"),
    ("92233720368547758.08", 2, "above 2^63-1"),
    ("9" * 5000,         2,     "above 2^63-1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "scale", "says"), BAD_AMOUNTS)
def test_what_is_no_exact_amount_is_refused(text: str, scale: int, says: str) -> None:
    """Nothing is guessed: separators, signs and digits that the currency does not have."""
    with pytest.raises(BadAmount, match=says.replace("^", r"\^")):
        minor_units(text, scale)


def test_a_file_becomes_entries() -> None:
    """Names, dates and amounts as written; currencies in either case, blank lines, any order."""
    more = "je_2,bank,,JPY,700,,later,Ada,Grace,2026-01-02T10:00:00Z\n"
    more += "je_2,suspense,,jpy,,700,,,,\n"
    found = read_journal(f"\ufeff{HEADER}{BANK}{ANN}\n{more}", RULES)
    assert found.mistakes == []
    first, other = found.entries
    assert (first.id, first.reason, first.created) == ("je_1", "opening", 1_767_225_600)
    assert [(line.account, line.key, line.side, line.amount) for line in first.lines] == [
        ("bank", "", "debit", 6000),
        ("customer_wallet", "cus_ann", "credit", 6000),
    ]
    assert [line.number for line in other.lines] == [5, 6]
    assert other.created == 1_767_348_000
    assert other.lines[0].amount == 700


def changed(there: str, instead: str, *, of: str = HEADER + BANK + ANN) -> str:
    """The file with one thing put otherwise."""
    assert there in of
    return of.replace(there, instead, 1)


MISTAKES = [
    # file                                             line  says
    ("",                                               1,    "has no entries"),
    (HEADER,                                           1,    "has no entries"),
    (changed("entry,", "entrie,"),                     1,    "see 'entry'"),
    (changed(",date", ",date,note"),                   1,    "no column 'note'"),
    (changed(",date", ",date,date"),                   1,    "see 'date'"),
    (HEADER.replace(",", ";"),                         1,    "write commas"),
    (changed("je_1,bank", "je_1,je_1,bank"),           2,    "has 11 cells, the first line has 10"),
    (changed("opening", '"opening'),                   2,    "is no CSV"),
    (changed("je_1,bank", "je_1,bnak"),                2,    "declares no account 'bnak'"),
    (changed("je_1,bank", "je_1,journal_control"),     2,    "a control account"),
    (changed("bank,,", "bank,x,"),                     2,    "one account, without keys"),
    (changed("cus_ann", ""),                           3,    "a family, per customer"),
    (changed("cus_ann", "cus\0ann"),                   3,    "`key` holds NUL"),
    (changed("usd", "xau"),                            2,    "no ledger 'xau'"),
    (changed("60.00,,opening", "60.00,5.00,opening"),  2,    "either a `debit` or a `credit`"),
    (changed("60.00,,opening", ",,opening"),           2,    "either a `debit` or a `credit`"),
    (changed("60.00,,opening", "0.00,,opening"),       2,    "`debit` is 0"),
    (changed("60.00,,opening", "60.001,,opening"),     2,    "more than the 2 digits"),
    (changed(",60.00,,,,", ",59.99,,,,"),              2,    "debits 60.00, credits 59.99"),
    (changed("cus_ann,usd", "cus_ann,eur"),            2,    "does not balance in usd"),
    (changed("cus_ann,usd", "cus_ann,eur"),            2,    "does not balance in eur"),
    (changed(ANN, ""),                                 2,    "two lines at least"),
    (changed("opening", ""),                           2,    "`reason` is missing"),
    (changed("Ada", ""),                               2,    "`requested_by` is missing"),
    (changed("Grace", ""),                             2,    "`approved_by` is missing"),
    (changed("Grace", " ada "),                        2,    "are one person"),
    (changed("2026-01-01", ""),                        2,    "`date` is missing"),
    (changed("2026-01-01", "01/02/2026"),              2,    "`date` must be 2026-01-31"),
    (changed("2026-01-01", "2026-02-30"),              2,    "`date` must be 2026-01-31"),
    (changed("2026-01-01", "1969-12-31"),              2,    "`date` must be 2026-01-31"),
    (changed(",60.00,,,,", ",60.00,other,,,"),         3,    "`reason` is another"),
    (changed(",60.00,,,,", ",60.00,,,Bob,"),           3,    "`approved_by` is another"),
    (HEADER + BANK + ANN + BANK.replace("je_1", "je_2") + ANN.replace("je_1", "je_2") + BANK,
                                                       6,    "'je_1' began on line 2 already"),
    (changed("je_1,bank", ",bank"),                    2,    "`entry` is missing"),
    ((BANK + ANN).replace("je_1", "e" * 201).join([HEADER, ""]), 2, "more than 200 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "says"), MISTAKES)
def test_every_mistake_has_its_line(text: str, line: int, says: str) -> None:
    """What is wrong is told where it stands."""
    found = read_journal(text, RULES)
    assert any(at == line and says in why for at, why in found.mistakes), found.mistakes


def test_all_mistakes_are_told_at_once() -> None:
    """Several lines with mistakes are told together, in the file's order."""
    found = read_journal(HEADER + BANK.replace("bank", "bnak") + ANN.replace("usd", "xau"), RULES)
    assert [line for line, _ in found.mistakes] == [2, 3]


def test_an_entry_has_as_many_lines_as_the_ledger_takes() -> None:
    """What no request can hold is refused before it is sent."""
    many = HEADER + BANK.replace("60.00", f"{LINES_MAX}.00")
    many += ANN.replace("60.00", "1.00") * LINES_MAX
    assert any("8189 lines at most" in why for _, why in read_journal(many, RULES).mistakes)


def test_the_same_entry_gives_the_same_bytes() -> None:
    """The event is made of what the entry says, and of nothing else; its id tells entries apart."""
    text = HEADER + BANK + ANN
    (first,), (again,) = (read_journal(each, RULES).entries for each in (text, text + "\n"))
    assert value_of(event_of_entry(first)) == value_of(event_of_entry(again))
    (other,) = read_journal(text.replace("60.00", "60.01"), RULES).entries
    assert event_of_entry(first)["id"] != event_of_entry(other)["id"]
    assert event_of_entry(first)["id"].startswith("journal/je_1/")
    assert len(f"journal/{'e' * 200}/{'0' * 24}") <= 255


def test_what_a_terminal_would_obey_is_visible() -> None:
    """A name with an escape sequence is printed as text."""
    assert visible("a\x1b[31mb\u202ec") == r"a\x1b[31mb\u202ec"
