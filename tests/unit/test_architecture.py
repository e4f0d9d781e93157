"""docs/architecture.md: its tables of examples are what the worker does, its rooms are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.books import Books
from worker.core.outcome import existing_verdict

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
THIS, ANOTHER = 7, 8

RULES = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  bank: {code: 1, type: asset}
  receivable: {code: 2, type: asset, per: customer}
  wallet: {code: 3, type: liability, per: customer, flags: [debits_must_not_exceed_credits]}
  shortfall_control: {code: 9, type: liability}
transactions:
  given:
    on: given
    currency: data.object.currency
    transfers:
      all: {debit: bank, credit: "wallet[data.object.customer]", amount: data.object.amount,
        code: 1}
  owed:
    on: owed
    currency: data.object.currency
    transfers:
      all: {debit: "receivable[data.object.customer]", credit: bank, amount: data.object.amount,
        code: 2}
  taken:
    on: taken
    currency: data.object.currency
    transfers:
      all: {debit: "wallet[data.object.customer]", credit: bank, amount: data.object.amount,
        shortfall: receivable, code: 3}
  repaid:
    on: repaid
    currency: data.object.currency
    transfers:
      all: {debit: bank, credit: "wallet[data.object.customer]", amount: data.object.amount,
        repay_first: "receivable[data.object.customer]", code: 4}
"""


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    found = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert found, first
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


@pytest.mark.parametrize("row", table("stored by position"), ids=" ".join)
def test_the_announce_rule_is_as_its_table_says(row: list[str]) -> None:
    """Who posted a stored chain, and when, says whether it is announced now."""
    stored_by, at, since, same, then = row
    verdict = existing_verdict(
        same=same == "yes",
        stored_position=THIS if stored_by == "this record" else ANOTHER,
        stored_at=int(at),
        position=THIS,
        since=int(since),
    )
    assert verdict.name.lower().replace("_as_stored", " as stored") == then


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """A wallet that may not be overdrawn, what its customer owes, and a bank."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return Books(path)


def amounts(books: Books, kind: str, before: tuple[str, int], amount: int) -> list[int]:
    """What the legs of an event moved, after an event before it."""
    content = {"customer": "cus_1", "currency": "usd"}
    if before[1]:
        books.tell(books.event(before[0], {**content, "amount": before[1]}))
    (outcome,) = books.tell(books.event(kind, {**content, "amount": amount}))
    moved = {leg.spec.part: leg.amount for leg in outcome.legs}
    return [moved[part] for part in ("", "account", "shortfall")]


@pytest.mark.parametrize("row", table("wallet before"), ids=" ".join)
def test_a_shortfall_splits_as_its_table_says(books: Books, row: list[str]) -> None:
    """The wallet gives what it has, the receivable the rest, the other side gets all."""
    before, amount, *expected = map(int, row)
    assert amounts(books, "taken", ("given", before), amount) == expected


@pytest.mark.parametrize("row", table("owed before"), ids=" ".join)
def test_a_repayment_splits_as_its_table_says(books: Books, row: list[str]) -> None:
    """What is owed is repaid first, and the wallet gets the rest."""
    before, amount, out, repaid, rest = map(int, row)
    assert amounts(books, "repaid", ("owed", before), amount) == [out, rest, repaid]
    balances = books.balances()
    assert balances.get("receivable[cus_1] usd", 0) == before - repaid
    assert -balances.get("wallet[cus_1] usd", 0) == rest


def test_every_room_is_named() -> None:
    """The table of rooms has each folder of worker/, and nothing that is not there."""
    named = set(re.findall(r"^\| `worker/([a-z_]+)(?:/|\.py)` \|", TEXT, re.MULTILINE))
    there = {
        path.stem
        for path in (ROOT / "worker").iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or path.name == "pipeline.py"
    }
    assert named == there
