"""A rulebook that closes accounts and opens them again: docs/rulebook.md's own example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.books import Books

TEXT = (Path(__file__).parents[2] / "docs" / "rulebook.md").read_text()
CLOSING = next(
    text for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "close_wallet" in text
)
MORE = """\
  deposit:
    on: wallet.deposit
    currency: usd
    transfers:
      given:
        debit: pending_payouts
        credit: customer_wallet[data.object.customer]
        amount: data.object.amount
        code: 1
"""
CLOSE = {"id": "cl_1", "created": 5, "customer": "a", "currency": "usd"}


@pytest.fixture(name="books")
def _books(tmp_path: Path) -> Books:
    path = tmp_path / "rules.yaml"
    path.write_text(CLOSING + MORE)
    return Books(path)


def deposit(books: Books) -> list[str]:
    """Seven more for a."""
    return books.kinds(books.event("wallet.deposit", {"customer": "a", "amount": 7}))


@pytest.mark.parametrize("held", [0, 7])
def test_a_closed_account_takes_nothing_until_it_is_open(books: Books, held: int) -> None:
    """What was left is moved out, however much; a voided closing opens the account again."""
    if held:
        assert deposit(books) == ["posted"]
    close = books.event("wallet.close", CLOSE)
    assert books.kinds(close, close) == ["posted", "redelivered"]
    assert books.balances() == {}
    assert deposit(books) == ["rejected"]
    assert books.kinds(books.event("wallet.reopen", CLOSE)) == ["posted"]
    assert deposit(books) == ["posted"]
    assert books.balances() == {"pending_payouts usd": 7, "customer_wallet[a] usd": -7}
