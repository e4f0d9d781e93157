"""`missing: else`, `else` after `else`, an `after` without a key, and text(): what they post."""

from __future__ import annotations

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
  unsettled: {code: 1130, type: asset}
  owed: {code: 1300, type: asset, per: customer}
  wallet: {code: 2001, type: liability, per: customer, flags: [debits_must_not_exceed_credits]}
  guests: {code: 2200, type: liability}
  opening: {code: 3000, type: equity}
  shortfall_control: {code: 9900, type: memo}
transactions:
  charge:
    on: charge
    when: data.object.customer != null
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      gross:
        debit: unsettled
        credit: wallet[data.object.customer]
        amount: data.object.amount
        code: 1
  guest_charge:
    on: charge
    when: data.object.customer == null
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      gross: {debit: unsettled, credit: guests, amount: data.object.amount, code: 2}
  refund:
    on: refund
    origin: {transaction: [charge, guest_charge], key: data.object.charge, missing: else}
    after:
      transaction: [charge, guest_charge]
      key: "data.object.charge if data.object.strict else null"
    idempotency_key: data.object.charge + "/" + text(data.object.amount)
    idempotency_time: data.object.created
    currency: usd
    transfers:
      principal:
        debit: origin.gross.credit else opening
        credit: unsettled
        amount: data.object.amount
        shortfall: "owed[origin.gross.credit.key] else origin.gross.credit else opening"
        code: 30
"""


def books(tmp_path: Path, *, parked_max: int) -> Books:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return Books(load(path), parked_max=parked_max)


def charged(customer: str | None) -> dict[str, object]:
    return {"id": "ch_1", "created": 5, "amount": 70, "customer": customer}


REFUND = {"charge": "ch_1", "created": 9, "amount": 100, "strict": False}

ENDS = [
    # customer of the charge, if any came    balances
    ("ann", {"unsettled usd": -30, "owed[ann] usd": 30}),
    (None, {"unsettled usd": -30, "guests usd": 30}),
]


@pytest.mark.parametrize(("customer", "left"), ENDS)
def test_a_found_origin(tmp_path: Path, customer: str | None, left: dict[str, int]) -> None:
    """The charge's wallet bears, then its customer owes; a guest's account bears all."""
    told = books(tmp_path, parked_max=1)
    assert told.kinds(told.event("charge", charged(customer))) == ["posted"]
    (found,) = told.tell(told.event("refund", REFUND))
    assert (str(found.kind), found.alert) == ("posted", "")
    assert told.balances() == left


def test_an_origin_that_may_come_is_waited_for(tmp_path: Path) -> None:
    """While it may be parked, nothing is posted."""
    told = books(tmp_path, parked_max=1)
    assert told.kinds(told.event("refund", REFUND)) == ["predecessor_missing"]
    assert told.balances() == {}


def test_an_origin_that_never_came(tmp_path: Path) -> None:
    """After that the last `else` bears, with an alert; and stands when the charge comes late."""
    told = books(tmp_path, parked_max=0)
    (found,) = told.tell(told.event("refund", REFUND))
    assert str(found.kind) == "posted"
    assert "never came" in found.alert
    assert told.balances() == {"opening usd": 100, "unsettled usd": -100}
    assert told.kinds(told.event("charge", charged("ann"))) == ["posted"]
    assert told.kinds(told.event("refund", REFUND)) == ["redelivered"]


def test_an_after_with_a_key_waits(tmp_path: Path) -> None:
    """The same rule waits for some events and not for others."""
    told = books(tmp_path, parked_max=0)
    kinds = told.kinds(told.event("refund", REFUND | {"strict": True}))
    assert kinds == ["predecessor_missing"]


def test_text_joins_whole_numbers(tmp_path: Path) -> None:
    """A key of a string and a number; what is no whole number is a dead letter."""
    told = books(tmp_path, parked_max=0)
    assert told.kinds(told.event("refund", REFUND | {"amount": True})) == ["missing_field"]
    told.kinds(told.event("refund", REFUND), told.event("refund", REFUND | {"amount": 7}))
    assert told.balances() == {"opening usd": 107, "unsettled usd": -107}


def test_the_last_else_names_an_account(tmp_path: Path) -> None:
    """Where the origin may be missing, every account says what is taken then."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace("origin.gross.credit else opening\n", "origin.gross.credit\n"))
    with pytest.raises(UsageError, match="the origin may be missing"):
        load(path)
