"""Is a chain in the ledger, and how: each status, at each attempt, to suspense, under other ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_poster import RULES, Posting, close
from worker.core.chain import Chain
from worker.core.event import ATTEMPT_MAX, Event
from worker.core.outcome import OutcomeKind
from worker.core.packing import pack_chain
from worker.core.ports import Ledger
from worker.core.translate import Translator
from worker.core.wire import ROW_BYTES
from worker.ledger.scan import all_transfers
from worker.stages.post.ledger_status import ChainStatus, LedgerStatus, RequestedChain
from worker.stages.post.repost_guard import RepostGuard
from worker.stages.post.variants import variants

MORE = """
  held:
    on: held
    currency: usd
    transfers:
      held: {debit: bank, credit: fees, amount: data.object.amount, pending: true, code: 8}
  settled:
    on: settled
    currency: usd
    transfers:
      settled:
        post: {transaction: held, leg: held, key: data.object.of, time: data.object.created}
  diverts:
    on: diverts
    currency: usd
    transfers:
      gross: {debit: bank, credit: "wallet[data.object.customer]", amount: 5, code: 9,
        suspense: lost}
"""
MOVED: dict[str, Any] = {"from": "x", "to": "y", "amount": 5}
PAID: dict[str, Any] = {"id": "p", "customer": "a", "amount": 100}


@pytest.fixture
def posting(tmp_path: Path) -> Posting:
    return Posting(tmp_path, RULES + MORE)


def event(kind: str, number: str = "evt_1", *, created: int = 1000, **of: Any) -> Event:
    return Event(number, kind, created, {"data": {"object": {"created": 1000, **of}}})


def chain_of(posting: Posting, told: Event, *, attempt: int = 0) -> Chain:
    made = posting.translator.translate(told, role="", attempt=attempt)
    assert isinstance(made, Chain)
    return made


def status(posting: Posting, told: Event) -> ChainStatus:
    """Of one chain alone, and the same beside others."""
    asked = RequestedChain(chain_of(posting, told), "")
    unrelated = event("moved", "o", **MOVED)
    other = RequestedChain(chain_of(posting, unrelated), "")
    ledger_status = LedgerStatus(posting.ledger, posting.translator)
    found = ledger_status.of([asked])
    assert ledger_status.of([other, asked, other])[1:2] == found
    assert ledger_status.under_other_ids([other, asked]) == [
        False, found == [ChainStatus.OTHER_IDS],
    ]  # fmt: skip
    return found[0]


def test_new_and_existing(posting: Posting) -> None:
    """As the rulebook has it; with another amount it is a conflict."""
    assert status(posting, event("paid_in", **PAID)) is ChainStatus.NEW
    posting.post("paid_in", event="evt_1", **PAID)
    assert status(posting, event("paid_in", **PAID)) is ChainStatus.EXISTS
    assert status(posting, event("paid_in", **{**PAID, "amount": 101})) is ChainStatus.CONFLICT


def test_half_a_chain_is_a_conflict(posting: Posting) -> None:
    """Whichever leg is there alone."""
    posting.pay_in("a", id="other")
    told = event("paid_in", **PAID)
    rows = pack_chain(chain_of(posting, told), position=1, pending={})
    posting.ledger.create_transfers(rows[ROW_BYTES:])
    assert status(posting, told) is ChainStatus.CONFLICT


@pytest.mark.parametrize("attempt", [1, ATTEMPT_MAX])
def test_posted_at_a_later_attempt(posting: Posting, attempt: int) -> None:
    """The first and the last attempt that there can be."""
    posting.pay_in("x")
    posting.pay_in("y", id="another")
    told = event("moved", **MOVED)
    posted = chain_of(posting, told, attempt=attempt)
    posting.ledger.create_transfers(pack_chain(posted, position=1, pending={}))
    assert posting.ledger.lookup_transfers([posted.legs[0].id])
    assert status(posting, told) is ChainStatus.EXISTS


def test_posted_to_suspense(posting: Posting) -> None:
    """The diverted chain is the event's too."""
    posting.pay_in("a")
    close(posting, "a")
    told = posting.post("diverts", event="evt_1", customer="a")
    assert told.kind is OutcomeKind.POSTED
    assert status(posting, event("diverts", customer="a")) is ChainStatus.EXISTS


def test_a_fact_under_other_ids(posting: Posting) -> None:
    """The same key with another time has ids that nobody posted."""
    posting.post("paid_in", event="evt_1", **PAID)
    told = Event("evt_1", "paid_in", 1000, {"data": {"object": {**PAID, "created": 1001}}})
    assert status(posting, told) is ChainStatus.OTHER_IDS


def test_what_waits(posting: Posting) -> None:
    """For its origin, or for the reservation that it settles; then it is new, then it exists."""
    back, settled = event("taken_back", "b", of="p"), event("settled", "s", of="h")
    for told in (back, settled):
        assert status(posting, told) is ChainStatus.WAITING
    posting.post("paid_in", event="evt_1", **PAID)
    posting.post("held", event="h", amount=7)
    for told in (back, settled):
        assert status(posting, told) is ChainStatus.NEW
    posting.post("taken_back", event="b", of="p")
    posting.post("settled", event="s", of="h")
    for told in (back, settled):
        assert status(posting, told) is ChainStatus.EXISTS


class Unasked:
    """A ledger that must not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_nothing_is_asked_for_nothing(posting: Posting) -> None:
    """No chains, no request."""
    from typing import cast  # noqa: PLC0415 - here only

    ledger_status = LedgerStatus(cast("Ledger", Unasked()), posting.translator)
    assert ledger_status.of([]) == []
    assert ledger_status.under_other_ids([]) == []


def test_a_replay_posts_no_fact_twice(posting: Posting) -> None:
    """What is there under other ids is a conflict; all else is posted, in order."""
    posting.post("paid_in", event="evt_1", **PAID)
    guard = RepostGuard(posting.poster, LedgerStatus(posting.ledger, posting.translator))
    items = [
        posting.item("paid_in", id="q", customer="a", amount=1),
        posting.item("paid_in", **{**PAID, "created": 1001}),
        posting.item("unknown"),
        posting.item("paid_in", id="r", customer="a", amount=1),
        posting.item("paid_in", **PAID),
    ]
    before = len(list(all_transfers(posting.ledger)))
    kinds = [outcome.kind.value for outcome in guard.post(items)]
    assert kinds == ["posted", "conflict", "dead", "posted", "redelivered"]
    assert len(list(all_transfers(posting.ledger))) == before + 4
    assert guard.newest_timestamp() == posting.poster.newest_timestamp() > 0


def test_variants_come_in_the_order_of_trying(posting: Posting) -> None:
    """Each attempt, and after it the same one to suspense; the known one is not made again."""
    plain, suspending = event("held", amount=1), event("diverts", customer="a")
    rules: Translator = posting.translator
    assert [one.attempt for one in variants(rules, plain, role="")] == list(range(ATTEMPT_MAX + 1))
    found = [(one.attempt, one.diverted) for one in variants(rules, suspending, role="", last=1)]
    assert found == [(0, False), (0, True), (1, False), (1, True)]
    known = chain_of(posting, plain)
    first, second = variants(rules, plain, role="", last=1, known=known)
    assert first is known
    assert second == chain_of(posting, plain, attempt=1)
    (again,) = variants(rules, plain, role="", last=0)
    assert again == known
    assert again is not known
    assert list(variants(rules, event("unknown"), role="")) == []
