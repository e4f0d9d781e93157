"""One ledger request for many readers: those who come while one is outstanding share the next.

Nobody joins a request that is outstanding already, so a reader gets what the ledger held after the
reader came, or is refused within the deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from worker.core.errors import DependencyUnavailable, LedgerClosed
from worker.core.wire import Account
from worker.jobs.serve.threads import in_thread

READERS_MAX: Final = 256
"""Readers that wait at once, and so the accounts of one request; one more is refused."""

NOBODY: Final = 1
"""An account that there is not: reading it only shows whether the ledger answers."""

Accounts = dict[int, Account]


class ReadLedger(Protocol):
    """All that this server may do with a `Ledger`: mypy refuses a call that writes."""

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts that exist, in the order of the ids."""
        ...

    def close(self) -> None:
        """Release the connection; a request under way fails with `LedgerClosed`."""
        ...


class LedgerSilent(Exception):
    """The ledger has not answered within the deadline."""


class TooManyReaders(Exception):
    """As many readers wait already as may."""


class SharedLookups:
    """Reads accounts for the readers of an event loop; closes the ledger at the end.

    ledger: without a deadline, so that one request waits out an outage.
    deadline_seconds: how long a reader waits.
    observe: takes the number of accounts of each request.
    readers_max: how many may wait at once.
    """

    def __init__(
        self,
        ledger: ReadLedger,
        *,
        deadline_seconds: float,
        observe: Callable[[int], None],
        readers_max: int = READERS_MAX,
    ) -> None:
        self._ledger = ledger
        self._deadline_seconds = deadline_seconds
        self._observe = observe
        self._readers_max = readers_max
        self._under_way = asyncio.Lock()
        self._next: asyncio.Task[Accounts] | None = None
        self._wanted: dict[int, None] = {}
        self._since: float | None = None
        self._closed = False
        self.readers = 0
        self.failure: Exception | None = None
        """Why no more is read: the client is of no use any more, and the process must end."""

    @property
    def waiting_seconds(self) -> float:
        """How long the request under way has been waiting; 0.0 when there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    async def account(
        self, number: int, *, deadline_seconds: float | None = None
    ) -> Account | None:
        """The account of this id; None where there is none.

        Raises:
            LedgerSilent: the ledger did not answer in time, or has not answered others for so long.
            TooManyReaders: too many wait already.
            LedgerClosed: the server stops.
        """
        limit = deadline_seconds or self._deadline_seconds
        self._refuse_if_stopped()
        if (waited := self.waiting_seconds) >= limit:
            raise LedgerSilent(f"the ledger has not answered for {waited:.0f} s")
        if self.readers >= self._readers_max:
            raise TooManyReaders(f"{self.readers} readers wait already")
        self.readers += 1
        try:
            found = await asyncio.wait_for(asyncio.shield(self._joined(number)), limit)
        except TimeoutError:
            raise LedgerSilent(f"the ledger did not answer in {limit:g} s") from None
        finally:
            self.readers -= 1
        return found.get(number)

    async def reach(self, deadline_seconds: float) -> None:
        """Wait until the ledger answers for the first time.

        Raises:
            DependencyUnavailable: it did not, within the deadline, or will not.
        """
        try:
            await self.account(NOBODY, deadline_seconds=deadline_seconds)
        except LedgerSilent as silent:
            raise DependencyUnavailable(
                f"{silent}; a wrong address or cluster id looks the same"
            ) from None
        except LedgerClosed:
            raise self.failure or LedgerClosed("the ledger is closed") from None

    def close(self) -> None:
        """Close the ledger, which refuses who still waits."""
        self._closed = True
        self._ledger.close()

    def _refuse_if_stopped(self) -> None:
        if self._closed or self.failure:
            raise LedgerClosed("the server stops")

    def _joined(self, number: int) -> asyncio.Task[Accounts]:
        """The next request, which will ask for this account too."""
        self._wanted[number] = None
        if self._next is None:
            self._next = asyncio.create_task(self._look_up())
            self._next.add_done_callback(_read)  # it may be that nobody waits any more
        return self._next

    async def _look_up(self) -> Accounts:
        async with self._under_way:
            self._refuse_if_stopped()
            wanted, self._wanted, self._next = list(self._wanted), {}, None
            self._since = time.monotonic()
            try:
                look_up = partial(self._ledger.lookup_accounts, wanted)
                stored = await asyncio.wrap_future(in_thread(look_up, name="lookups"))
                found = {account.id: account for account in stored}
            except Exception as error:
                self.failure = None if self._closed else error
                raise LedgerClosed("the server stops") from error
            finally:
                self._since = None
        self._observe(len(wanted))
        return found


def _read(request: asyncio.Task[Accounts]) -> None:
    """Python complains of an exception that nobody reads."""
    request.cancelled() or request.exception()
