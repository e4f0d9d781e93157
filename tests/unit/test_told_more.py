"""`more:` of a rule: where the ledger has less of a fact than is told, the rest is booked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.books import Books
from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.wire import QueryFilter
from worker.rulebooks.load import PACKAGED, load
from worker.stages.post.ledger_status import ChainStatus, LedgerStatus, RequestedChain

RULEBOOK = load(PACKAGED)


METERED = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  meters: {code: 1150, type: asset}
  sales: {code: 4100, type: revenue}
transactions:
  metered:
    on: meter.read
    idempotency_key: data.object.id
    idempotency_time: data.object.since
    currency: usd
    transfers:
      used: {debit: meters, credit: sales, amount: data.object.used, code: 1}
    more:
      name: metered_more
      idempotency_key: data.object.id + "/" + text(data.object.used)
      transfers:
        used: {debit: meters, credit: sales, amount: data.object.note + 1, code: 1}
"""


def metered(tmp_path: Path) -> Books:
    path = tmp_path / "rules.yaml"
    path.write_text(METERED)
    return Books(load(path))


def captured(books: Books, total: int, **more: Any) -> Event:
    about = {"id": "ch_1", "created": 5, "amount": 900, "amount_captured": total, "paid": True,
             "captured": True, "currency": "usd", "customer": "ann"}  # fmt: skip
    return books.event("charge.captured", about | more)


def status(books: Books, event: Event) -> ChainStatus:
    chain = books.translator.translate(event, role="payments")
    assert isinstance(chain, Chain)
    (found,) = LedgerStatus(books.ledger, books.translator).of([RequestedChain(chain, "payments")])
    return found


@pytest.mark.parametrize("told", [(300, 600, 900), (900, 600, 300), (600, 900, 600), (300, 900)])
def test_a_total_is_booked_once(told: tuple[int, ...]) -> None:
    """Whatever order the totals come in; what tells less is a redelivery."""
    books = Books(RULEBOOK)
    greatest = 0
    for total in told:
        kind = "posted" if total > greatest else "redelivered"
        assert books.kinds(captured(books, total)) == [kind]
        assert books.kinds(captured(books, total)) == ["redelivered"]
        greatest = max(greatest, total)
        assert books.balances()["customer_wallet[ann] usd"] == -greatest


def test_what_a_replay_would_find() -> None:
    """New before it is told, there afterwards, and there where less is told."""
    books = Books(RULEBOOK)
    books.kinds(captured(books, 300))
    assert status(books, captured(books, 600)) is ChainStatus.NEW
    books.kinds(captured(books, 600))
    assert status(books, captured(books, 600)) is ChainStatus.EXISTS
    assert status(books, captured(books, 300)) is ChainStatus.EXISTS
    assert status(books, captured(books, 200)) is ChainStatus.EXISTS


def test_who_reads_it_again_announces_it_once() -> None:
    """The record that posted what was more finds it there, and no other record does."""
    books = Books(RULEBOOK)
    books.kinds(captured(books, 300))
    (first,) = books.tell(captured(books, 600))
    assert [leg.spec.name for leg in first.legs][:2] == ["gross.before", "gross"]
    (again,) = books.tell(captured(books, 600))
    assert str(again.kind) == "redelivered"


@pytest.mark.parametrize("total", [200, 300, 600])
def test_another_currency_is_no_more_and_no_less(total: int) -> None:
    """Whatever the numbers are: it is other money under the same key."""
    books = Books(RULEBOOK)
    books.kinds(captured(books, 300))
    assert books.kinds(captured(books, total, currency="eur")) == ["conflict"]
    assert books.balances()["customer_wallet[ann] usd"] == -300


def test_as_much_as_is_booked_is_not_more() -> None:
    """Also where it is told of another customer: nothing is booked of it, not even for nothing."""
    books = Books(RULEBOOK)
    books.kinds(captured(books, 300))
    before = books.ledger.query_transfers(QueryFilter())
    assert books.kinds(captured(books, 300, customer="bob")) == ["redelivered"]
    assert books.ledger.query_transfers(QueryFilter()) == before


def test_a_batch_of_totals() -> None:
    """All in one batch: each finds what those before it have booked."""
    books = Books(RULEBOOK)
    kinds = books.kinds(*(captured(books, total) for total in (300, 600, 500, 900)))
    assert books.balances()["customer_wallet[ann] usd"] == -900
    assert set(kinds) <= {"posted", "redelivered"}


def test_a_total_whose_rest_cannot_be_read_is_a_dead_letter(tmp_path: Path) -> None:
    """What only the second rule reads may be of the wrong kind: nothing stops."""
    books = metered(tmp_path)
    about = {"id": "m", "since": 5, "used": 7, "note": 1}
    assert books.kinds(books.event("meter.read", about)) == ["posted"]
    about |= {"used": 9, "note": "x"}
    assert books.kinds(books.event("meter.read", about)) == ["missing_field"]
    assert books.balances() == {"meters usd": 7, "sales usd": -7}


def test_as_much_of_another_s_money_is_a_redelivery() -> None:
    """A guest's charge that names a customer later is booked; a replay says the same."""
    books = Books(RULEBOOK)
    books.kinds(captured(books, 300))
    named = captured(books, 300, customer="bob")
    assert books.kinds(named) == ["redelivered"]
    assert status(books, named) is ChainStatus.EXISTS


def test_a_rest_that_was_refunded_before_goes_back_to_the_wallet() -> None:
    """And told once more, the chain stands as it was booked."""
    books = Books(RULEBOOK)
    books.kinds(captured(books, 300))
    about = {"id": "re_1", "created": 9, "amount": 200, "currency": "usd", "charge": "ch_1",
             "reason": None, "balance_transaction": "txn_1", "status": "succeeded"}  # fmt: skip
    assert books.kinds(books.event("refund.created", about)) == ["posted"]
    assert books.balances()["customer_wallet[ann] usd"] == -100
    assert books.kinds(captured(books, 700)) == ["posted"]
    assert books.balances()["customer_wallet[ann] usd"] == -700
    assert books.kinds(captured(books, 700)) == ["redelivered"]
    assert status(books, captured(books, 700)) is ChainStatus.EXISTS
