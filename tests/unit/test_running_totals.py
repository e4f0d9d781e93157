"""`total:` of a leg: what is more than was told before moves, whatever the order of the events."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from tests.unit.books import Books
from worker.core.errors import UsageError
from worker.rulebooks.load import load

RULES = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  meters: {code: 1150, type: asset}
  sales: {code: 4100, type: revenue}
  buyer: {code: 1300, type: asset, per: buyer}
  told: {code: 2250, type: liability, per: meter}
  shortfall_control: {code: 9900, type: memo}
transactions:
  metered:
    on: meter.read
    idempotency_key: data.object.id + "/" + text(data.object.used)
    idempotency_time: data.object.since
    currency: usd
    transfers:
      used:
        debit: buyer[data.object.buyer] else meters
        credit: sales
        amount: data.object.used
        total: told[data.object.id]
        code: 1
"""


def book(tmp_path: Path, text: str = RULES) -> Books:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return Books(load(path))


@pytest.mark.parametrize("order", sorted(set(permutations([100, 350, 900, 350]))))
def test_the_greatest_total_counts(tmp_path: Path, order: tuple[int, ...]) -> None:
    """In any order and however often, all that was told moves once, and the notes mirror."""
    books = book(tmp_path)
    for used in order:
        about = {"id": "m", "since": 5, "used": used, "buyer": None}
        assert set(books.kinds(books.event("meter.read", about))) <= {"posted", "redelivered"}
    assert books.balances() == {
        "meters usd": 900, "sales usd": -900, "told[m] usd": -900, "told[m/counter] usd": 900,
    }  # fmt: skip


def test_an_account_whose_key_is_null(tmp_path: Path) -> None:
    """The one after `else` takes its place."""
    books = book(tmp_path)
    for n, buyer in enumerate(["ann", None]):
        about = {"id": f"m{n}", "since": 5, "used": 7, "buyer": buyer}
        books.kinds(books.event("meter.read", about))
    found = books.balances()
    assert (found["buyer[ann] usd"], found["meters usd"]) == (7, 7)


MISTAKES = [
    ("total: told[data.object.id]", "total: sales", "needs a member of a family"),
    ("total: told[data.object.id]", "total: tolld[data.object.id]", "did you mean 'told'?"),
    ("code: 1\n", "code: 1\n        signed: true\n", "cannot be combined"),
    ("code: 1\n", "code: 1\n        pending: true\n", "cannot be pending"),
    ("code: 1\n", "code: 1\n        flags: [balancing_debit]\n", "sets the balancing flags itself"),
    ("  shortfall_control: {code: 9900, type: memo}\n", "", "needs an account shortfall_control"),
    ("buyer[data.object.buyer] else", "meters else", "is for a family's member"),
    ("else meters", "else metres", "did you mean 'meters'?"),
]


@pytest.mark.parametrize(("there", "instead", "says"), MISTAKES)
def test_mistakes(tmp_path: Path, there: str, instead: str, says: str) -> None:
    """Each is told in words."""
    assert there in RULES
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        book(tmp_path, RULES.replace(there, instead, 1))
