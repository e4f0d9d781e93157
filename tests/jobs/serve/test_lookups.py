"""Readers share requests, none is given what was true before it came, and none waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.jobs.serve.served import PATIENCE_SECONDS, StuckLedger
from worker.core.errors import BrokenInvariant, DependencyUnavailable, LedgerClosed
from worker.core.wire import Account
from worker.jobs.serve.shared_lookups import LedgerSilent, ReadLedger, SharedLookups, TooManyReaders


@asynccontextmanager
async def reading(
    ledger: ReadLedger, *, deadline_seconds: float = PATIENCE_SECONDS, readers_max: int = 8
) -> AsyncIterator[SharedLookups]:
    sizes: list[int] = []
    lookups = SharedLookups(
        ledger,
        deadline_seconds=deadline_seconds,
        observe=sizes.append,
        readers_max=readers_max,
    )
    yield lookups
    lookups.close()


async def ask(lookups: SharedLookups, *numbers: int) -> list[asyncio.Task[Account | None]]:
    """Readers that have all come."""
    before = lookups.readers
    tasks = [asyncio.create_task(lookups.account(number)) for number in numbers]
    await true(lambda: lookups.readers == before + len(numbers))
    return tasks


async def true(done: Callable[[], bool]) -> None:
    """Wait for what must come."""
    while not done():  # noqa: ASYNC110 - whatever it is, it has no event of its own
        await asyncio.sleep(0.001)


async def reached(ledger: StuckLedger) -> None:
    """Wait until a request is under way."""
    assert await asyncio.to_thread(ledger.reached.wait, PATIENCE_SECONDS)


def test_who_comes_meanwhile_shares_the_next_request() -> None:
    """While one request is under way, all others gather in the next, each account once."""
    ledger = StuckLedger(lambda number: Account(id=number) if number % 2 else None)

    async def scene() -> list[Account | None]:
        async with reading(ledger) as lookups:
            first = await ask(lookups, 7)
            await reached(ledger)
            others = await ask(lookups, 1, 2, 3, 1, 2, 7)
            ledger.free.set()
            return list(await asyncio.gather(*first, *others))

    found = asyncio.run(scene())
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

    async def read(lookups: SharedLookups, pause: float) -> bool:
        await asyncio.sleep(pause)
        before = ledger.requests
        account = await lookups.account(1)
        return account is not None and account.credits_posted > before

    async def scene() -> list[bool]:
        async with reading(ledger, readers_max=400) as lookups:
            return await asyncio.gather(*(read(lookups, one / 10_000) for one in range(400)))

    assert all(asyncio.run(scene()))
    assert 1 < ledger.requests < 400


def test_a_silent_ledger_is_told_within_the_deadline() -> None:
    """A reader waits for its deadline; who comes after it has passed is refused at once."""
    ledger = StuckLedger()

    async def scene() -> None:
        async with reading(ledger, deadline_seconds=0.3) as lookups:
            began = time.monotonic()
            with pytest.raises(LedgerSilent, match=r"did not answer in 0\.3 s"):
                await lookups.account(1)
            assert 0.25 < time.monotonic() - began < PATIENCE_SECONDS
            await true(lambda: lookups.waiting_seconds >= 0.3)
            with pytest.raises(LedgerSilent, match="has not answered for"):
                await lookups.account(2)
            assert ledger.asked == [[1]]
            ledger.free.set()
            await true(lambda: not lookups.waiting_seconds)
            assert await lookups.account(3) is None

    asyncio.run(scene())


def test_readers_are_counted() -> None:
    """One more than may wait is refused at once, and let in when others have been answered."""
    ledger = StuckLedger()

    async def scene() -> None:
        async with reading(ledger, readers_max=8) as lookups:
            asked = await ask(lookups, *range(1, 9))
            with pytest.raises(TooManyReaders):
                await lookups.account(100)
            ledger.free.set()
            await asyncio.gather(*asked)
            assert await lookups.account(100) is None

    asyncio.run(scene())


def test_closing_refuses_who_waits() -> None:
    """The request under way and all behind it end when the server stops."""
    ledger = StuckLedger()

    async def scene() -> None:
        async with reading(ledger) as lookups:
            asked = await ask(lookups, 1)
            await reached(ledger)
            asked += await ask(lookups, 2, 3)
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in ended] == [LedgerClosed] * 3
        assert lookups.failure is None
        with pytest.raises(LedgerClosed):
            await lookups.account(4)

    asyncio.run(scene())


def test_a_request_that_nobody_waits_for_any_more(caplog: pytest.LogCaptureFixture) -> None:
    """It ends without a word, whatever comes of it."""
    ledger = StuckLedger()

    async def scene() -> None:
        async with reading(ledger, deadline_seconds=0.05) as lookups:
            with pytest.raises(LedgerSilent):
                await lookups.account(1)
        await true(lambda: not lookups.waiting_seconds)

    asyncio.run(scene())
    assert [line for line in caplog.records if line.levelname != "DEBUG"] == []


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

    async def scene() -> None:
        async with reading(BrokenClient(error)) as lookups:
            with pytest.raises(LedgerClosed):
                await lookups.account(1)
            assert lookups.failure is error
            with pytest.raises(LedgerClosed):
                await lookups.account(2)
            with pytest.raises(type(error)):
                await lookups.reach(PATIENCE_SECONDS)

    asyncio.run(scene())


def test_a_ledger_that_cannot_be_reached() -> None:
    """At the start, silence is a dependency that could not be reached in time."""

    async def scene() -> None:
        async with reading(StuckLedger()) as lookups:
            await lookups.reach(0.05)

    with pytest.raises(DependencyUnavailable, match="wrong addr"):
        asyncio.run(scene())
