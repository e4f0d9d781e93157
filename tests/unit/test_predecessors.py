"""Origins, `after` and suspense: what is found in the ledger and what is filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.books import Books
from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.ids import account_id
from worker.core.outcome import OutcomeKind
from worker.core.wire import (
    Account,
    QueryFilter,
    Transfer,
    TransferFlags,
    pack_account,
    pack_transfer,
)

RULES = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
  eur: {id: 978, scale: 2}
accounts:
  clearing: {code: 1, type: asset}
  wallet: {code: 2, type: liability, per: customer, flags: [debits_must_not_exceed_credits]}
  owed: {code: 3, type: asset, per: customer}
  guests: {code: 4, type: liability}
  suspense: {code: 5, type: liability}
  bank: {code: 6, type: asset}
  transit: {code: 7, type: asset, per: payout}
  shortfall_control: {code: 9, type: liability}
transactions:
  charge:
    on: charge
    when: data.object.customer != null
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      gross:
        debit: clearing
        credit: wallet[data.object.customer]
        amount: data.object.amount
        suspense: suspense
        code: 1
  guest_charge:
    on: charge
    when: data.object.customer == null
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      gross: {debit: clearing, credit: guests, amount: data.object.amount, code: 2}
  refund:
    on: refund
    origin: {transaction: [charge, guest_charge], key: data.object.charge}
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: data.object.currency
    transfers:
      back:
        debit: origin.gross.credit
        credit: clearing
        amount: data.object.amount
        shortfall: owed[origin.gross.credit.key] else guests
        suspense: suspense
        code: 3
  refund_failed:
    on: refund_failed
    origin: {transaction: refund, key: data.object.id, time: data.object.created}
    currency: data.object.currency
    transfers:
      again:
        debit: clearing
        credit: origin.back.debit
        amount: data.object.amount
        repay_first: owed[origin.back.debit.key] else guests
        code: 4
  payout:
    on: payout
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      sent:
        debit: transit[data.object.id]
        credit: clearing
        amount: data.object.amount
        code: 5
  paid:
    on: paid
    after: {transaction: payout, key: data.object.id}
    idempotency_key: data.object.id
    idempotency_time: data.object.created
    currency: usd
    transfers:
      arrived:
        debit: bank
        credit: transit[data.object.id]
        amount: data.object.amount
        flags: [balancing_credit]
        code: 6
  returned:
    on: returned
    origin: {transaction: paid, key: data.object.id, time: data.object.created, optional: true}
    after: {transaction: payout, key: data.object.id, time: data.object.created}
    currency: usd
    transfers:
      returned:
        debit: clearing
        credit: origin.arrived.debit else transit[data.object.id]
        amount: data.object.amount
        code: 7
"""

CHARGE: dict[str, Any] = {
    "id": "ch_1", "created": 50, "customer": "a", "amount": 100, "currency": "usd",
}  # fmt: skip
REFUND = {"id": "re_1", "created": 60, "charge": "ch_1", "amount": 70, "currency": "usd"}
PAYOUT = {"id": "po_1", "created": 70, "amount": 40}
FLAGS = 2
"""debits_must_not_exceed_credits."""


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """The rules above on an empty ledger."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return Books(path)


def refunded(books: Books, **changes: object) -> Event:
    return books.event("refund", REFUND | changes)


def test_the_wallet_is_found_through_the_charge(books: Books) -> None:
    """A refund names no customer: its charge's wallet is debited, and what it lacks is owed."""
    assert books.kinds(books.event("charge", CHARGE)) == ["posted"]
    assert books.kinds(refunded(books), refunded(books, id="re_2")) == ["posted", "posted"]
    assert books.balances() == {"clearing usd": -40, "owed[a] usd": 40}


def test_a_failed_refund_repays_what_is_owed_first(books: Books) -> None:
    """The wallet that the refund debited gets what is left after its receivable."""
    books.tell(books.event("charge", CHARGE), refunded(books), refunded(books, id="re_2"))
    assert books.kinds(books.event("refund_failed", REFUND)) == ["posted"]
    assert books.balances() == {"clearing usd": 30, "wallet[a] usd": -30}


def test_a_guest_has_no_key(books: Books) -> None:
    """Where the origin's account has no key, `else` is taken."""
    books.tell(books.event("charge", CHARGE | {"customer": None}))
    assert books.kinds(refunded(books, amount=130)) == ["posted"]
    assert books.kinds(books.event("refund_failed", REFUND | {"amount": 130})) == ["posted"]
    assert books.balances() == {"clearing usd": 100, "guests usd": -100}


def test_what_is_missing_is_said(books: Books) -> None:
    """Without its predecessor an event is not posted, and no id is burned: it can come again."""
    early = refunded(books)
    (outcome,) = books.tell(early)
    assert outcome.dead is not None
    assert str(outcome.dead.reason) == "predecessor_missing"
    assert "refund origin charge or guest_charge" in outcome.dead.detail
    assert books.transfers() == []
    assert books.kinds(books.event("charge", CHARGE), early) == ["posted", "posted"]


@pytest.mark.parametrize(
    ("predecessor", "missing", "at_first", "at_last"),
    [
        ("origin", "dead", OutcomeKind.PARKED, OutcomeKind.DEAD),
        ("origin", "nothing", OutcomeKind.PARKED, OutcomeKind.NOTHING),
        ("after", "dead", OutcomeKind.PARKED, OutcomeKind.DEAD),
        ("after", "nothing", OutcomeKind.PARKED, OutcomeKind.NOTHING),
    ],
)
def test_what_never_comes(
    tmp_path: Path,
    predecessor: str,
    missing: str,
    at_first: OutcomeKind,
    at_last: OutcomeKind,
) -> None:
    """It is waited for either way; then the event is a dead letter, or has nothing to post."""
    path = tmp_path / "rules.yaml"
    rules = {
        "origin": RULES.replace("key: data.object.charge}", f"key: id, missing: {missing}}}"),
        "after": RULES.replace("key: data.object.id}\n", f"key: id, missing: {missing}}}\n"),
    }
    path.write_text(rules[predecessor])
    told = {"origin": ("refund", REFUND), "after": ("paid", PAYOUT)}[predecessor]
    for tries, expected in ((1, at_first), (0, at_last)):
        books = Books(path, parked_max=tries)
        (outcome,) = books.tell(books.event(*told))
        assert outcome.kind is expected
        assert (outcome.dead is None) == (expected is OutcomeKind.NOTHING)
        assert books.transfers() == []


def test_a_reservation_that_never_comes_is_a_dead_letter(tmp_path: Path) -> None:
    """`missing: nothing` is about the origin: what a post settles must be there all the same."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        RULES
        + """\
  settled:
    on: settled
    origin: {transaction: charge, key: data.object.charge, missing: nothing}
    currency: usd
    transfers:
      settled: {void: {transaction: held, leg: held, key: data.object.id, time: created}}
  held:
    on: held
    currency: usd
    transfers:
      held: {debit: clearing, credit: guests, amount: 1, code: 8, pending: true}
"""
    )
    books = Books(path)
    asked = books.event("settled", {"charge": "ch_1", "id": "evt_0"})
    assert books.kinds(asked) == ["nothing_to_post"]
    assert books.kinds(books.event("charge", CHARGE), asked) == ["posted", "predecessor_missing"]


def test_predecessors_of_the_same_batch_go_first(books: Books) -> None:
    """Origin and `after` in one batch are posted in a request before, also when redelivered."""
    charge = books.event("charge", CHARGE)
    assert books.kinds(charge, refunded(books), charge) == ["posted", "posted", "redelivered"]
    paid = books.event("paid", PAYOUT)
    assert books.kinds(books.event("payout", PAYOUT), paid) == ["posted", "posted"]


def test_another_chain_under_the_tag_does_not_count(books: Books) -> None:
    """A transfer with the origin's user_data_128 but an id that does not recompute is no origin."""
    (asked,) = [books.translator.translate(books.event("charge", CHARGE), role="other")]
    assert isinstance(asked, Chain)
    accounts = [ref for leg in asked.legs for ref in (leg.debit, leg.credit) if ref]
    books.ledger.create_accounts(b"".join(ref.row() for ref in accounts))
    forged = Transfer(id=12345, debit_account_id=accounts[0].id, credit_account_id=accounts[1].id,
                      amount=5, user_data_128=asked.tag, ledger=840, code=1)  # fmt: skip
    books.ledger.create_transfers(pack_transfer(forged))
    assert books.kinds(refunded(books)) == ["predecessor_missing"]


def test_a_redelivery_is_the_same_money(books: Books) -> None:
    """What was filled in once is filled in the same way again."""
    refund = refunded(books)
    books.tell(books.event("charge", CHARGE), refund)
    before = books.transfers()
    assert books.kinds(refund, refunded(books)) == ["redelivered", "redelivered"]
    assert books.kinds(refunded(books, amount=71)) == ["conflict"]
    assert books.transfers() == before


def test_an_optional_origin_decides_the_account(books: Books) -> None:
    """A payout that fails comes back from transit, or from the bank when it was paid before."""
    books.tell(books.event("payout", PAYOUT))
    other = PAYOUT | {"id": "po_2"}
    books.tell(books.event("payout", other), books.event("paid", other))
    assert books.kinds(books.event("returned", PAYOUT)) == ["posted"]
    assert books.kinds(books.event("returned", other)) == ["posted"]
    assert books.balances() == {}


def test_an_optional_origin_that_came_later_changes_nothing(books: Books) -> None:
    """A chain in the ledger stands as it was found then, however often it is told again."""
    returned = books.event("returned", PAYOUT)
    assert books.kinds(returned) == ["predecessor_missing"]
    assert books.kinds(books.event("payout", PAYOUT), returned) == ["posted", "posted"]
    assert books.kinds(books.event("paid", PAYOUT)) == ["posted"]
    assert books.kinds(returned) == ["redelivered"]
    assert books.balances() == {}


def test_the_origin_s_account_in_another_currency(books: Books) -> None:
    """In another currency the same customer's account of that ledger is taken."""
    books.tell(books.event("charge", CHARGE))
    assert books.kinds(refunded(books, currency="eur", amount=10)) == ["posted"]
    assert books.balances() == {
        "clearing usd": 100, "wallet[a] usd": -100, "clearing eur": -10, "owed[a] eur": 10,
    }  # fmt: skip


def test_a_long_key_is_read_back_by_its_account_only(books: Books) -> None:
    """A key that the ledger holds hashed names its own account, but no other family's."""
    books.tell(books.event("charge", CHARGE | {"customer": "x" * 40}))
    assert books.kinds(refunded(books)) == ["bad_key"]


def close(books: Books, customer: str) -> None:
    """Close a wallet as an operator would, by a pending transfer of nothing."""
    wallet = account_id(ledger=840, name="wallet", key=customer)
    guests = account_id(ledger=840, name="guests", key="")
    row = Account(id=guests, ledger=840, code=4)
    books.ledger.create_accounts(pack_account(row))
    flags = int(TransferFlags.PENDING | TransferFlags.CLOSING_CREDIT)
    closing = Transfer(id=99, debit_account_id=guests, credit_account_id=wallet, amount=0,
                       ledger=840, code=1, flags=flags)  # fmt: skip
    (result,) = books.ledger.create_transfers(pack_transfer(closing))
    assert result.status == (1 << 32) - 1


def test_a_closed_account_goes_to_suspense(books: Books) -> None:
    """An external fact that meets a closed account is booked to suspense, with an alert."""
    books.tell(books.event("charge", CHARGE))
    close(books, "a")
    again = books.event("charge", CHARGE | {"id": "ch_2"})
    charged, refund = books.tell(again, refunded(books))
    assert (charged.kind, refund.kind) == (OutcomeKind.POSTED, OutcomeKind.POSTED)
    assert "suspense" in charged.alert
    assert [leg.spec.name for leg in (*charged.legs, *refund.legs)] == [
        "gross.suspense", "back.suspense",
    ]  # fmt: skip
    assert books.balances() == {"clearing usd": 130, "wallet[a] usd": -100, "suspense usd": -30}
    assert books.kinds(again) == ["redelivered"]


def test_suspense_is_an_origin_too(books: Books) -> None:
    """The refund of a charge that went to suspense comes from there."""
    books.tell(books.event("charge", CHARGE))
    close(books, "a")
    books.tell(books.event("charge", CHARGE | {"id": "ch_2"}))
    assert books.kinds(refunded(books, charge="ch_2")) == ["posted"]
    assert books.balances()["suspense usd"] == -30


def test_what_happened_before_the_account_was_closed_stays(books: Books) -> None:
    """A chain that is in the ledger is not sent to suspense when it comes again."""
    charge = books.event("charge", CHARGE)
    books.tell(charge)
    close(books, "a")
    assert books.kinds(charge) == ["redelivered"]
    assert len(books.ledger.query_transfers(QueryFilter())) == 2
