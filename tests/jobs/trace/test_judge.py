"""What became of a record: each verdict on an embedded ledger, and what a refused one lacked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_poster import RULES, Posting
from worker.codecs.decode import Decoder
from worker.config.settings import Settings
from worker.core.ids import account_id
from worker.core.ports import RecordPosition
from worker.core.wire import Transfer, TransferFlags, pack_transfer
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.trace.found import TracedRecord, TracedTransfer
from worker.jobs.trace.judge import RecordJudge
from worker.jobs.trace.search import Letter
from worker.ledger.books import NamedLedger
from worker.ledger.embedded import EmbeddedLedger
from worker.stages.decode import EventReader

AT, BEFORE = RecordPosition("t", 0, 9), RecordPosition("t", 0, 1)
MORE = """ignore: [noise]
transactions:"""


class Traced:
    """A ledger, its books, and the judge of its records."""

    def __init__(self, folder: Path) -> None:
        self.now_ns = 1_000_000_000
        ledger = EmbeddedLedger(now_ns=lambda: self.now_ns)
        rules = RULES.replace("transactions:", MORE, 1)
        self.posting = Posting(folder, rules, ledger)
        translator = self.posting.translator
        books = NamedLedger(ledger, translator.rulebook, Settings())
        self.judge = RecordJudge(books, translator, EventReader(Decoder(), translator))

    def traced(self, record: RecordPosition | None = BEFORE) -> list[TracedTransfer]:
        """All that the ledger holds, as a record's."""
        return [
            TracedTransfer(each, "", "", "", "", "usd", "posted", record, None)
            for each in self.posting.stored()
        ]

    def verdict(self, kind: str, **found: Any) -> TracedRecord:
        """On an event; `of` is its object, the rest is what was found about it."""
        body = {
            "id": "evt_9", "type": kind, "created": 1000,
            "data": {"object": {"created": 1000, **found.pop("of", {})}},
        }  # fmt: skip
        record = ArchivedRecord("t", 0, 9, None, json.dumps(body).encode(), [], 77)
        given: dict[str, Any] = {"own": (), "others": (), "letters": (), "committed": True} | found
        return self.judge.judge(self.judge.read(record, ""), **given)


@pytest.fixture
def books(tmp_path: Path) -> Traced:
    return Traced(tmp_path)


PAID = {"id": "p", "customer": "a", "amount": 100}


def test_what_it_posted_itself_is_posted(books: Traced) -> None:
    """Whatever else was found, and also where the group has not committed it yet."""
    books.posting.pay_in()
    own = books.traced(AT)
    for more in ({}, {"committed": False}, {"others": own}, {"letters": (letter("dead"),)}):
        found = books.verdict("paid_in", of=PAID, own=own, **more)
        assert (found.verdict, found.why, found.transfers) == ("posted", "", tuple(own))
    assert found.chain is not None
    assert (found.at, found.time_ms) == (AT, 77)


def test_who_posted_its_money_before_is_named(books: Traced) -> None:
    """The same money is a redelivery, other money a conflict that shows both amounts."""
    books.posting.pay_in()
    others = books.traced()
    same = books.verdict("paid_in", of=PAID, others=others)
    assert (same.verdict, same.why) == (
        "redelivered", "its money was posted before, by t/0@1",
    )  # fmt: skip
    other = books.verdict("paid_in", of=PAID | {"amount": 250}, others=others)
    assert other.verdict == "conflict"
    assert other.why == (
        "it asks for 2.50 usd + 0.01 usd, and the ledger holds 1.00 usd + 0.01 usd under the same"
        " key, posted by t/0@1"
    )
    half = books.verdict("paid_in", of=PAID, others=others[:1])
    assert half.verdict == "conflict"
    stranger = books.verdict("paid_in", of=PAID, others=books.traced(None))
    assert stranger.why.endswith("by a record of another group or topic")
    unread = books.verdict("paid_in", of=PAID, others=others, committed=False)
    assert unread.verdict == "not_read_yet"


def test_what_was_posted_at_a_later_attempt_or_to_suspense_is_the_same_money(
    books: Traced,
) -> None:
    """In any form in which the worker may have sent it."""
    refused = {"from": "x", "to": "y", "amount": 5}
    books.posting.post("moved", event="evt_9", **refused)
    books.posting.pay_in("x", id="q")
    before = len(books.posting.stored())
    books.posting.post("moved", event="evt_9", attempts=2, **refused)
    others = books.traced()[before:]
    assert len(others) == 1
    assert books.verdict("moved", of=refused, others=others).verdict == "redelivered"


def letter(kind: Any, **fields: Any) -> Letter:
    made = Letter(kind, AT, AT, "evt_9", 0, "no_rule", "what the letter says")
    return made._replace(**fields)


def test_the_newest_letter_says_what_became_of_it(books: Traced) -> None:
    """A dead letter and a parked one give their own words."""
    found = books.verdict("moved", of={}, letters=(letter("parked"), letter("dead")))
    assert (found.verdict, found.why) == ("dead", "no_rule: what the letter says")
    assert books.verdict("moved", letters=(letter("dead"), letter("parked"))).verdict == "parked"


def test_without_a_letter_the_rulebook_says_it(books: Traced) -> None:
    """Dead, ignored, nothing to post; and what should be somewhere is unknown."""
    assert books.verdict("strange").verdict == "dead"
    ignored = books.verdict("noise")
    assert (ignored.verdict, ignored.why) == ("ignored", "by the rulebook's entry noise")
    nothing = books.verdict("moved", of={"from": "x", "to": "y", "amount": 0})
    assert (nothing.verdict, nothing.why) == ("nothing_to_post", "every leg falls away")
    lost = books.verdict("moved", of={"from": "x", "to": "y", "amount": 5})
    assert lost.verdict == "unknown"
    assert lost.chain is not None


def refusal(books: Traced, *, at_ms: int, reason: str = "exceeds_credits", leg: str = "amount",
            source: str = "x") -> str:  # fmt: skip
    said = letter("rejected", reason=reason, leg=leg, time_ms=at_ms)
    found = books.verdict("moved", of={"from": source, "to": "y", "amount": 500}, letters=(said,))
    assert found.verdict == "rejected"
    return found.why


def test_how_much_a_refused_event_lacked_at_its_time(books: Traced) -> None:
    """By the account's history: what came later does not count, what was reserved does."""
    books.posting.pay_in("x", amount=301)  # a fee of one is taken of it
    books.now_ns = 2_000_000_000
    books.posting.pay_in("x", id="q", amount=401)
    words = "exceeds_credits at the leg amount: 5.00 usd was asked of wallet[x], which had"
    assert refusal(books, at_ms=1_999) == f"{words} 3.00 usd available then, 2.00 too little"
    assert refusal(books, at_ms=2_000) == f"{words} 7.00 usd available then"
    assert refusal(books, at_ms=999) == f"{words} 0.00 usd available then, 5.00 too little"
    assert refusal(books, at_ms=0) == f"{words} 7.00 usd available now"
    x, bank = (
        account_id(ledger=840, name=name, key=key) for name, key in (("wallet", "x"), ("bank", ""))
    )
    books.now_ns = 3_000_000_000
    held = Transfer(7, x, bank, 250, ledger=840, code=1, flags=int(TransferFlags.PENDING))
    books.posting.ledger.create_transfers(pack_transfer(held))
    assert refusal(books, at_ms=3_000) == f"{words} 4.50 usd available then, 0.50 too little"


def test_what_cannot_be_told_of_a_refusal_is_left_out(books: Traced) -> None:
    """Another reason, another leg, an account that is not there."""
    assert refusal(books, at_ms=1, reason="exists") == "exists at the leg amount"
    assert refusal(books, at_ms=1, leg="another") == "exceeds_credits at the leg another"
    assert refusal(books, at_ms=1, leg="") == "exceeds_credits"
    assert refusal(books, at_ms=1).endswith(
        "5.00 usd was asked of wallet[x], which the ledger does not have yet"
    )
