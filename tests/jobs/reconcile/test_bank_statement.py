"""Bank statements are understood whole, or refused with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs.reconcile.bank_files import Entry, balance, camt
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.errors import UsageError
from worker.jobs.reconcile.bank_side import read_statements
from worker.jobs.reconcile.bank_statement import read_bank
from worker.rulebooks.load import load

RULEBOOK = load(PACKAGED_RULEBOOK)
PAID = Entry("40.70", "2026-01-05", "STRIPE PAYOUT po_1", "REF1")
TAKEN = Entry("-12.00", "2026-01-07", "STRIPE", "REF2", reversal=True)


@pytest.mark.parametrize("version", ["02", "08", "13"])
def test_a_statement_of_any_version(version: str, tmp_path: Path) -> None:
    """Signs come from credit or debit, for a reversal too; what is pending is left out."""
    pending = Entry("9.99", "2026-01-08", status="PDNG")
    balances = balance("OPBD", "100.00", "2026-01-01") + balance("CLBD", "128.70", "2026-01-31")
    path = camt(tmp_path / "s.xml", [PAID, TAKEN, pending], version=version, balances=balances)
    found = read_bank(path, RULEBOOK)
    assert [(one.amount, one.day, one.reference, one.is_reversal) for one in found.entries] == [
        (4070, "2026-01-05", "REF1", False),
        (-1200, "2026-01-07", "REF2", True),
    ]
    assert found.entries[0].text == "REF1 STRIPE PAYOUT po_1"
    (head,) = found.heads
    assert (head.first, head.last) == ("2026-01-01", "2026-01-31")
    assert (head.opening, head.closing, found.pending) == (10_000, 12_870, 1)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file(delimiter: str, tmp_path: Path) -> None:
    """A decimal comma is understood where the fields are apart by something else."""
    path = tmp_path / "s.csv"
    amount = '"40,70"' if delimiter == "," else "40,70"
    rows = [["Booking Date", "Amount", "Currency", "Reference", "Description"]]
    rows += [["2026-01-05", amount, "USD", "REF1", "po_1"], ["2026-01-06", "-5", "jpy", "", "x"]]
    path.write_text("".join(delimiter.join(row) + "\n" for row in rows), encoding="utf-8-sig")
    found = read_bank(path, RULEBOOK)
    assert [(one.amount, one.currency, one.text) for one in found.entries] == [
        (4070, "usd", "REF1 po_1"),
        (-5, "jpy", "x"),
    ]
    assert [(head.currency, head.first, head.closing) for head in found.heads] == [
        ("jpy", "2026-01-06", None),
        ("usd", "2026-01-05", None),
    ]


def edited(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]>\n<Document'


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda text: text[: len(text) // 2], "is it cut short?"),
        (edited("<Document", BOMB), "it declares entities or a document type"),
        (edited("BkToCstmrStmt", "BkToCstmrAcctRpt"), "it is an intraday report (camt.052)"),
        (edited("BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn"), "it is a notification (camt.054)"),
        (lambda _: "<html></html>\n", "it has no statement: it is no CAMT.053"),
        (edited("40.70", "40.705"), "entry 1 is no amount of usd with CRDT or DBIT"),
        (edited("CRDT", "IN"), "is no amount of usd with CRDT or DBIT"),
        (edited("USD", "XXX"), "the rulebook has no currency 'XXX'"),
        (edited('<Ntry><Amt Ccy="USD"', '<Ntry><Amt Ccy="EUR"'), "several currencies: eur, usd"),
        (edited("2026-01-05", "5 Jan"), "entry 1 has no booking date"),
        (edited("128.70", "128.71"), "opens with 100.00, its entries come to 28.70, and it closes"),
        (lambda _: "date,amount\n", "is no bank statement that is known"),
        (lambda _: "date,amount,currency\n", "a heading and no entries"),
        (lambda _: "date,amount,currency\n2026-01-05,1,usd", "does not end with a whole line"),
        (lambda _: "date,amount,currency\n2026-01-05,1\n", "2 fields where the heading has 3"),
        (lambda _: "date,amount,currency\n2026-01-05,1e3,usd\n", "'1e3' is no amount of usd"),
        (lambda _: "date,amount,currency\n05.01.2026,1,usd\n", "'05.01.2026' is no date"),
        (lambda _: "date,amount,currency\n2026-01-05,1,zzz\n", "the rulebook has no currency"),
    ],
)  # fmt: skip
def test_what_is_no_statement(edit: Callable[[str], str], says: str, tmp_path: Path) -> None:
    """It is refused with what is wrong with it."""
    balances = balance("OPBD", "100.00", "2026-01-01") + balance("CLBD", "128.70", "2026-01-31")
    path = camt(tmp_path / "s.xml", [PAID, TAKEN], balances=balances)
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        read_bank(path, RULEBOOK)
    assert says in str(refused.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A PDF is neither XML nor CSV."""
    path = tmp_path / "statement.pdf"
    path.write_bytes(b"%PDF-1.7\n\xff\xfe")
    with pytest.raises(UsageError, match="neither XML nor UTF-8"):
        read_bank(path, RULEBOOK)


def test_statements_that_overlap(tmp_path: Path) -> None:
    """What both have counts once; equal entries without a reference as often as one file has."""
    same = Entry("5.00", "2026-01-06", "POS")
    first = camt(tmp_path / "1.xml", [PAID, same, same])
    second = camt(tmp_path / "2.xml", [PAID, same, TAKEN])
    side = read_statements([first, second, first], RULEBOOK)
    assert [one.amount for one in side.entries] == [4070, 500, 500, -1200]
    assert side.twice == []


def test_a_reference_twice_in_one_statement(tmp_path: Path) -> None:
    """It counts once, and is told; another amount under the same reference is another entry."""
    other = PAID._replace(amount="1.00")
    side = read_statements([camt(tmp_path / "1.xml", [PAID, PAID, other])], RULEBOOK)
    assert [one.amount for one in side.entries] == [4070, 100]
    assert [one.number for one in side.twice] == [2]
