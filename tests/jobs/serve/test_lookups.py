"""Readers share requests, none is told what was true before it asked, and none waits for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.jobs.serve.served import PATIENCE_SECONDS, StuckLedger, until
from worker.core.errors import BrokenInvariant, DependencyUnavailable, LedgerClosed
from worker.core.wire import Account
from worker.jobs.serve.shared_lookups import LedgerSilent, ReadLedger, SharedLookups, TooManyReaders


@contextmanager
def reading(
    ledger: ReadLedger, *, deadline_seconds: float = PATIENCE_SECONDS, readers_max: int = 8
) -> Iterator[SharedLookups]:
    sizes: list[int] = []
    lookups = SharedLookups(
        ledger,
        deadline_seconds=deadline_seconds,
        observe=sizes.append,
        readers_max=readers_max,
    )
    yield lookups
    lookups.close()


def waiting(lookups: SharedLookups, readers: int) -> None:
    """Wait until so many readers are in the queue, behind the request under way."""
    until(lambda: len(lookups._queue) == readers)


def ask(
    pool: ThreadPoolExecutor, lookups: SharedLookups, *numbers: int
) -> list[Future[Account | None]]:
    return [pool.submit(lookups.account, number) for number in numbers]


def test_who_comes_meanwhile_shares_the_next_request() -> None:
    """While one request is under way, all others gather in the next, each account once."""
    ledger = StuckLedger(lambda number: Account(id=number) if number % 2 else None)
    with reading(ledger) as lookups, ThreadPoolExecutor(8) as pool:
        first = ask(pool, lookups, 7)
        assert ledger.reached.wait(PATIENCE_SECONDS)
        others = ask(pool, lookups, 1, 2, 3, 1, 2, 7)
        waiting(lookups, 6)
        ledger.free.set()
        found = [one.result(PATIENCE_SECONDS) for one in first + others]
    assert [one.id if one else None for one in found] == [7, 1, None, 3, 1, None, 7]
    assert [sorted(ids) for ids in ledger.asked] == [[7], [1, 2, 3, 7]]


class Teller:
    """A ledger whose only account grows with each request."""

    def __init__(self) -> None:
        self.requests = 0

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        self.requests += 1
        return [Account(id=number, credits_posted=self.requests) for number in ids]

    def close(self) -> None: ...


def test_a_reader_is_never_told_the_past() -> None:
    """Nobody is answered by a request that began before the question."""
    ledger = Teller()

    def read(lookups: SharedLookups) -> bool:
        before = ledger.requests
        account = lookups.account(1)
        return account is not None and account.credits_posted > before

    with reading(ledger) as lookups, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, [lookups] * 400))


def test_a_silent_ledger_is_told_within_the_deadline() -> None:
    """A reader waits for its deadline; who comes after it has passed is refused at once."""
    ledger = StuckLedger()
    with reading(ledger, deadline_seconds=0.3) as lookups:
        began = time.monotonic()
        with pytest.raises(LedgerSilent, match=r"did not answer in 0\.3 s"):
            lookups.account(1)
        assert 0.25 < time.monotonic() - began < PATIENCE_SECONDS
        until(lambda: lookups.waiting_seconds >= 0.3)
        with pytest.raises(LedgerSilent, match="has not answered for"):
            lookups.account(2)
        assert ledger.asked == [[1]]
        ledger.free.set()
        until(lambda: lookups.waiting_seconds == 0.0)
        assert lookups.account(3) is None


def test_readers_are_counted() -> None:
    """One more than may wait is refused at once, and let in when one has been answered."""
    ledger = StuckLedger()
    with reading(ledger, readers_max=8) as lookups, ThreadPoolExecutor(8) as pool:
        asked = ask(pool, lookups, 1)
        assert ledger.reached.wait(PATIENCE_SECONDS)
        asked += ask(pool, lookups, *range(2, 9))
        waiting(lookups, 7)
        with pytest.raises(TooManyReaders):
            lookups.account(100)
        ledger.free.set()
        for one in asked:
            one.result(PATIENCE_SECONDS)
        assert lookups.account(100) is None


def test_closing_refuses_who_waits() -> None:
    """The request under way and all behind it end when the server stops."""
    ledger = StuckLedger()
    with ThreadPoolExecutor(3) as pool:
        with reading(ledger) as lookups:
            asked = ask(pool, lookups, 1)
            assert ledger.reached.wait(PATIENCE_SECONDS)
            asked += ask(pool, lookups, 2, 3)
            waiting(lookups, 2)
        for one in asked:
            assert isinstance(one.exception(PATIENCE_SECONDS), LedgerClosed)
        assert lookups.failure is None
        with pytest.raises(LedgerClosed):
            lookups.account(4)


class BrokenClient:
    """A ledger whose client is of no use any more."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        del ids
        raise self._error

    def close(self) -> None: ...


@pytest.mark.parametrize("error", [DependencyUnavailable("evicted"), BrokenInvariant("refused")])
def test_a_failure_is_told(error: Exception) -> None:
    """What the client raises stands in `failure`: the process ends by it, readers are refused."""
    with reading(BrokenClient(error)) as lookups:
        with pytest.raises(LedgerClosed):
            lookups.account(1)
        assert lookups.failure is error
        with pytest.raises(LedgerClosed):
            lookups.account(2)
        with pytest.raises(type(error)):
            lookups.reach(PATIENCE_SECONDS)


def test_a_ledger_that_cannot_be_reached() -> None:
    """At the start, silence is a dependency that could not be reached in time."""
    with (
        reading(StuckLedger()) as lookups,
        pytest.raises(DependencyUnavailable, match="wrong addr"),
    ):
        lookups.reach(0.05)
