"""Many readers, one request to the ledger: who comes while it is asked shares the next request.

The invariant: a reader is told what the ledger held at a moment after the reader asked, or is
refused within the deadline. So nobody joins a request that is under way already. Imports the core
and the ports only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Condition, Event, Thread
from typing import Final, Protocol

from worker.core.errors import DependencyUnavailable, LedgerClosed
from worker.core.wire import Account

READERS_MAX: Final = 256
"""Readers that wait at once, and so the accounts of one request; one more is refused."""

NOBODY: Final = 1
"""An account that there is not: asking for it only asks whether the ledger answers."""

CLOSE_SECONDS: Final = 5.0


class ReadLedger(Protocol):
    """All that this server may do with a `Ledger`."""

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts that exist, in the order asked."""
        ...

    def close(self) -> None:
        """Release the connection; a request under way fails with `LedgerClosed`."""
        ...


class LedgerSilent(Exception):
    """The ledger has not answered within the deadline."""


class TooManyReaders(Exception):
    """As many readers wait already as may."""


class _Asked:
    """One reader's question, and the answer when it comes."""

    __slots__ = ("answered", "failed", "found", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.answered = Event()
        self.found: Account | None = None
        self.failed = False


class SharedLookups:
    """Reads accounts for many threads by one thread of its own; closes the ledger at the end.

    ledger: without a deadline, so that an outage is waited out on one request. deadline_seconds:
    how long a reader waits. observe: is told how many accounts each request asked for.
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
        self._turn = Condition()
        self._queue: list[_Asked] = []
        self._readers = 0
        self._since: float | None = None
        self._closed = False
        self.failure: Exception | None = None
        """Why no more is read: the client is of no use any more, and the process must end."""
        self._thread = Thread(target=self._run, name="lookups", daemon=True)
        self._thread.start()

    @property
    def waiting_seconds(self) -> float:
        """How long the request under way has been waiting; 0.0 when there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def account(self, number: int, *, deadline_seconds: float | None = None) -> Account | None:
        """What the ledger holds under an id; None where there is no account.

        Raises:
            Silent: the ledger did not answer in time, or has not answered others for so long.
            Busy: too many wait already.
            LedgerClosed: the server stops.
        """
        limit = deadline_seconds or self._deadline_seconds
        asked = self._ask(number, limit)
        try:
            answered = asked.answered.wait(limit)
        finally:
            self._leave(asked)
        if not answered:
            raise LedgerSilent(f"the ledger did not answer in {limit:g} s")
        if asked.failed:
            raise LedgerClosed("the server stops")
        return asked.found

    def reach(self, deadline_seconds: float) -> None:
        """Wait until the ledger answers for the first time.

        Raises:
            DependencyUnavailable: it did not, within the deadline, or will not.
        """
        try:
            self.account(NOBODY, deadline_seconds=deadline_seconds)
        except LedgerSilent as silent:
            raise DependencyUnavailable(
                f"{silent}; a wrong address or cluster id looks the same"
            ) from None
        except LedgerClosed:
            raise self.failure or LedgerClosed("the ledger is closed") from None

    def close(self) -> None:
        """Refuse who still waits, and close the ledger."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        self._ledger.close()  # ends a request that would wait for ever
        self._thread.join(CLOSE_SECONDS)
        self._refuse_all()

    def _ask(self, number: int, limit: float) -> _Asked:
        with self._turn:
            if self._closed or self.failure:
                raise LedgerClosed("the server stops")
            if (waited := self.waiting_seconds) >= limit:
                raise LedgerSilent(f"the ledger has not answered for {waited:.0f} s")
            if self._readers >= self._readers_max:
                raise TooManyReaders(f"{self._readers} readers wait already")
            asked = _Asked(number)
            self._readers += 1
            self._queue.append(asked)
            self._turn.notify_all()
            return asked

    def _leave(self, asked: _Asked) -> None:
        with self._turn:
            self._readers -= 1
            if asked in self._queue:  # gave up before it was its turn
                self._queue.remove(asked)

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._look_up(batch)
            except Exception as error:  # noqa: BLE001 - told by `failure`, raised by the command
                self._fail(batch, error)
                return

    def _next(self) -> list[_Asked]:
        """All who wait, once anybody does; empty when it is time to end."""
        with self._turn:
            while not self._queue and not self._closed:
                self._turn.wait()
            batch, self._queue = self._queue, []
            if self._closed:
                for asked in batch:
                    _refuse(asked)
                return []
            self._since = time.monotonic()
            return batch

    def _look_up(self, batch: list[_Asked]) -> None:
        wanted = list(dict.fromkeys(asked.number for asked in batch))
        found = {account.id: account for account in self._ledger.lookup_accounts(wanted)}
        self._since = None
        self._observe(len(wanted))
        for asked in batch:
            asked.found = found.get(asked.number)
            asked.answered.set()

    def _fail(self, batch: list[_Asked], error: Exception) -> None:
        with self._turn:
            if not self._closed:
                self.failure = error
            self._since = None
        for asked in batch:
            _refuse(asked)
        self._refuse_all()

    def _refuse_all(self) -> None:
        with self._turn:
            for asked in self._queue:
                _refuse(asked)


def _refuse(asked: _Asked) -> None:
    asked.failed = True
    asked.answered.set()
