"""What is announced of a chain is the same when it was just made and when it is found later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_poster import RULES, Posting, close, overdraft
from worker.core.outcome import OutcomeKind

MORE = """
  held:
    on: held
    currency: usd
    transfers:
      held: {debit: bank, credit: fees, amount: data.object.amount, pending: true, timeout: 600,
        code: 8}
      second: {debit: bank, credit: fees, amount: 3, pending: true, code: 9}
  settled:
    on: settled
    currency: usd
    transfers:
      one: {post: {transaction: held, leg: held, key: data.object.of, time: data.object.created}}
      two: {void: {transaction: held, leg: second, key: data.object.of, time: data.object.created}}
  part:
    on: part
    currency: usd
    transfers:
      part:
        post: {transaction: held, leg: held, key: data.object.of, time: data.object.created}
        amount: 2
  taken:
    on: taken
    currency: usd
    transfers:
      first: {debit: "wallet[data.object.customer]", credit: fees, amount: 60, shortfall: debt,
        code: 10}
      last: {debit: bank, credit: fees, amount: 1, code: 11}
"""
ACCOUNTS = """  debt: {code: 6, type: asset, per: customer}
  shortfall_control: {code: 9900, type: memo}
  lost:"""
BEFORE: list[tuple[str, str, dict[str, Any]]] = [
    ("paid_in", "e1", {"id": "p", "customer": "a", "amount": 50}),
    ("held", "h", {"amount": 7}),
]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("paid_in", {"id": "q", "customer": "b", "amount": 9}),
    ("moved", {"from": "a", "to": "b", "amount": 5}),
    ("taken_back", {"of": "p"}),
    ("many", {"amounts": [1, 2, 3]}),
    ("held", {"amount": 7}),
    ("settled", {"of": "h"}),
    ("part", {"of": "h"}),
    ("taken", {"customer": "a"}),
]


@pytest.fixture
def posting(tmp_path: Path) -> Posting:
    made = Posting(tmp_path, RULES.replace("  lost:", ACCOUNTS) + MORE)
    for kind, event, of in BEFORE:
        assert made.post(kind, event=event, **of).kind is OutcomeKind.POSTED
    return made


@pytest.mark.parametrize(("kind", "of"), KINDS)
def test_found_later_it_is_announced_as_when_it_was_made(
    posting: Posting, kind: str, of: dict[str, Any]
) -> None:
    """Every field of every leg; and both are what the ledger holds."""
    made = posting.post(kind, event="evt_this", at=50, **of)
    found = posting.post(kind, event="evt_this", at=50, **of)
    assert made.kind is found.kind is OutcomeKind.POSTED
    assert found == made
    ids = [leg.id for leg in made.legs]
    stored = posting.ledger.lookup_transfers(ids)
    assert [one.id for one in stored] == ids
    for number, (leg, one) in enumerate(zip(made.legs, stored, strict=True)):
        assert (leg.leg_number, leg.leg_count) == (number, len(ids))
        assert leg == leg._replace(
            amount=one.amount,
            pending_id=one.pending_id,
            code=one.code,
            flags=one.flags,
            timestamp=one.timestamp,
            leg_number=one.user_data_32 >> 16,
            leg_count=one.user_data_32 & 0xFFFF,
            timeout=one.timeout,
        )
        assert (leg.debit.id, leg.credit.id) == (one.debit_account_id, one.credit_account_id)
        assert leg.currency.ledger == one.ledger
        assert one.user_data_64 == posting.partition.base | 50
    posting.partition.since = made.legs[0].timestamp
    assert posting.post(kind, event="evt_this", at=50, **of).kind is OutcomeKind.REDELIVERED


def test_what_was_diverted_is_announced_again_as_diverted(tmp_path: Path) -> None:
    """To suspense, with the same alert."""
    rules = RULES.replace('fee: {debit: "wallet[data.object.customer]"', "fee: {debit: bank")
    posting = Posting(tmp_path, rules)
    posting.pay_in("a")
    close(posting, "a")
    made = posting.pay_in("a", id="q", at=9)
    assert made.alert
    assert posting.pay_in("a", id="q", at=9) == made


def test_a_refusal_that_suspense_made_good_later_is_not_told_again(tmp_path: Path) -> None:
    """The third attempt was posted, and to suspense: the first record's refusal is history."""
    plain = "amount: data.object.amount, code: 4}"
    posting = Posting(tmp_path, RULES.replace(plain, plain[:-1] + ", suspense: {credit: lost}}"))
    posting.pay_in("y", id="first")
    overdraft(posting, at=1)
    close(posting, "y")
    assert overdraft(posting, at=2, attempts=1).kind is OutcomeKind.REJECTED
    posting.pay_in("x")
    posted = overdraft(posting, at=3, attempts=2)
    assert (posted.kind, posted.attempt) == (OutcomeKind.POSTED, 2)
    assert [leg.credit.name for leg in posted.legs] == ["lost"]
    posting.partition.redo = 9
    again = overdraft(posting, at=1)
    assert (again.kind, again.rejection) == (OutcomeKind.REDELIVERED, None)


@pytest.mark.parametrize(("since", "announced"), [(-1, True), (0, False)])
def test_a_parked_event_is_announced_where_it_was_posted_from_before(
    posting: Posting, since: int, *, announced: bool
) -> None:
    """By the `since` that its earlier position had, to the nanosecond; here it is another one."""
    posting.pay_in("a", at=1)
    first = posting.stored()[0]
    posting.partition.since = first.timestamp
    item = posting.item("paid_in", id="p", customer="a", amount=100, at=5)
    item.earlier = {first.user_data_64: first.timestamp + since}
    (outcome,) = posting.poster.post([item])
    assert outcome.kind is (OutcomeKind.POSTED if announced else OutcomeKind.REDELIVERED)
    assert len(outcome.legs) == 2 * announced
