"""What the poster asks the ledger: no more than it must; and what it says is not taken on trust."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_poster import LEGS_MAX, RULES, Posting, overdraft
from worker.core.errors import BrokenInvariant
from worker.core.event import ATTEMPT_MAX
from worker.core.outcome import OutcomeKind
from worker.core.wire import CreateAccountStatus, CreateTransferStatus
from worker.ledger.embedded import EmbeddedLedger

MAKE, POST = "create_accounts", "create_transfers"
FIND, ACCOUNTS, QUERY = "lookup_transfers", "lookup_accounts", "query_transfers"


class WatchedLedger(EmbeddedLedger):
    """Remembers what it was asked, and lies about created rows as a test tells it to."""

    def __init__(self) -> None:
        super().__init__(batch_max=LEGS_MAX)
        self.asked: list[str] = []
        self.lie: dict[str, Any] = {}

    def take(self) -> list[str]:
        """What was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked

    def _heard(self, name: str, results: Any) -> Any:
        self.asked.append(name)
        lie = self.lie.get(name)
        return results if lie is None else lie(results)

    def create_accounts(self, batch: bytes) -> Any:
        return self._heard(MAKE, super().create_accounts(batch))

    def create_transfers(self, batch: bytes) -> Any:
        return self._heard(POST, super().create_transfers(batch))

    def lookup_transfers(self, ids: Sequence[int]) -> Any:
        assert ids, "nothing is looked up"
        return self._heard(FIND, super().lookup_transfers(ids))

    def lookup_accounts(self, ids: Sequence[int]) -> Any:
        assert ids, "nothing is looked up"
        return self._heard(ACCOUNTS, super().lookup_accounts(ids))

    def query_transfers(self, query: Any) -> Any:
        return self._heard(QUERY, super().query_transfers(query))


@pytest.fixture
def ledger() -> WatchedLedger:
    return WatchedLedger()


@pytest.fixture
def posting(ledger: WatchedLedger, tmp_path: Path) -> Posting:
    return Posting(tmp_path, RULES, ledger)


def test_the_plain_way_is_one_request(posting: Posting, ledger: WatchedLedger) -> None:
    """Accounts are made once, transfers are sent once, and nothing is read back."""
    assert posting.pay_in("a").kind is OutcomeKind.POSTED
    assert ledger.take() == [MAKE, POST]
    assert posting.pay_in("a", id="q").kind is OutcomeKind.POSTED
    assert ledger.take() == [POST]
    assert posting.pay_in("b", id="r").kind is OutcomeKind.POSTED
    assert ledger.take() == [MAKE, POST]
    posting.poster.post([])
    assert posting.post("unknown").dead
    assert ledger.take() == []


def test_a_redelivery_is_looked_up_once(posting: Posting, ledger: WatchedLedger) -> None:
    """Its legs in one request, and no accounts: they are the rulebook's."""
    posting.pay_in("a", at=1)
    ledger.take()
    posting.partition.since = 0
    assert posting.pay_in("a", at=1).kind is OutcomeKind.POSTED
    assert ledger.take() == [POST, FIND]


def test_an_earlier_refusal_is_looked_into_where_it_is_announced(
    posting: Posting, ledger: WatchedLedger
) -> None:
    """Only there it matters whether a later attempt was posted."""
    overdraft(posting, at=1)
    ledger.take()
    assert overdraft(posting, at=1).kind is OutcomeKind.REDELIVERED
    assert ledger.take() == [POST]
    posting.partition.redo = 1
    assert overdraft(posting, at=1).kind is OutcomeKind.REJECTED
    assert ledger.take() == [POST, FIND]


def test_accounts_of_origins_are_named_once(posting: Posting, ledger: WatchedLedger) -> None:
    """The second time their names are known."""
    posting.pay_in("a", amount=9)
    ledger.take()
    posting.post("taken_back", of="p")
    assert ledger.take() == [FIND, ACCOUNTS, POST]
    posting.post("taken_back", of="p")
    assert ledger.take() == [FIND, POST]


@pytest.mark.parametrize("attempt", range(1, ATTEMPT_MAX + 1))
def test_whichever_later_attempt_was_posted_the_earlier_refusal_is_counted(
    posting: Posting, attempt: int
) -> None:
    """Attempts that were refused come one by one before it."""
    for each in range(attempt):
        overdraft(posting, at=1, attempts=each)
    posting.pay_in("x")
    posted = overdraft(posting, at=2, attempts=attempt)
    assert (posted.kind, posted.attempt) == (OutcomeKind.POSTED, attempt)
    posting.partition.redo = 9
    for each in range(attempt):
        again = overdraft(posting, at=1, attempts=each)
        assert (again.kind, again.rejection) == (OutcomeKind.REDELIVERED, None)


def fewer(results: Any) -> Any:
    return list(results)[:-1]


def with_status(number: int) -> Any:
    return lambda results: [one._replace(status=number) for one in results]


@pytest.mark.parametrize(
    ("call", "lie"),
    [
        (POST, fewer),
        (POST, with_status(int(CreateTransferStatus.DEBIT_ACCOUNT_NOT_FOUND))),
        (POST, with_status(int(CreateTransferStatus.LINKED_EVENT_FAILED))),
        (POST, with_status(99_999)),
        (MAKE, with_status(int(CreateAccountStatus.LEDGER_MUST_NOT_BE_ZERO))),
        (MAKE, with_status(int(CreateAccountStatus.TIMESTAMP_MUST_BE_ZERO))),
    ],
)
def test_an_answer_that_only_a_bug_explains_stops_the_worker(
    posting: Posting, ledger: WatchedLedger, call: str, lie: Any
) -> None:
    """Nothing is announced of it."""
    ledger.lie = {call: lie}
    with pytest.raises(BrokenInvariant):
        posting.pay_in("a")


def test_fewer_answers_than_accounts_stop_the_worker(
    posting: Posting, ledger: WatchedLedger
) -> None:
    """An account without an answer may not be there."""
    ledger.lie = {MAKE: fewer}
    with pytest.raises(ValueError, match="zip"):
        posting.pay_in("a")


def test_what_the_ledger_says_is_there_must_be_found(
    posting: Posting, ledger: WatchedLedger
) -> None:
    """A chain that exists and is not found is no redelivery."""
    ledger.lie = {POST: with_status(int(CreateTransferStatus.EXISTS)), FIND: lambda _: []}
    with pytest.raises(BrokenInvariant, match="was not found"):
        posting.pay_in("a")
