"""What a page may cost: it reads for so long, and it cannot post."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from worker.core.errors import BrokenInvariant, DependencyUnavailable
from worker.core.ports import AccountsNow, Ledger
from worker.core.wire import (
    Account,
    AccountBalance,
    AccountFilter,
    CreateResult,
    QueryFilter,
    Transfer,
)
from worker.jobs.progress import Progress

LOOK_EVERY: Final = 64
"""Records between two looks at the clock."""

Item = TypeVar("Item")


class TookTooLong(DependencyUnavailable):
    """A page read for as long as one may."""


class Deadline:
    """The moment by which a page must have read all that it shows."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds = seconds
        self._until = now() + seconds

    def check(self) -> None:
        """Go on, or give up.

        Raises:
            TookTooLong: the moment has come.
        """
        if self._now() > self._until:
            raise TookTooLong(f"this reads more than a page can in {self._seconds:g} s")


class SilentProgress(Progress):
    """Shows nothing, and ends what takes too long."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def over(
        self,
        items: Iterable[Item],
        label: str,
        *,
        total: int = 0,
        size: Callable[[Any], int] = lambda _: 1,
    ) -> Iterator[Item]:
        """The items, until the deadline."""
        del label, total, size
        for number, item in enumerate(items):
            if number % LOOK_EVERY == 0:
                self._deadline.check()
            yield item


class ReadOnlyLedger:
    """A ledger that only reads, and until a deadline. See `Ledger` for what each call does."""

    def __init__(self, ledger: Ledger, deadline: Deadline) -> None:
        self._ledger = ledger
        self._deadline = deadline

    @property
    def batch_max(self) -> int:
        """See `Ledger`."""
        return self._ledger.batch_max

    @property
    def time_ns(self) -> int:
        """No page needs it."""
        raise BrokenInvariant("a page asked for the ledger's time")

    @property
    def waiting_seconds(self) -> float:
        """See `Ledger`."""
        return self._ledger.waiting_seconds

    def create_accounts(self, rows: bytes) -> list[CreateResult]:
        """No page does."""
        raise BrokenInvariant(f"a page tried to make accounts from {len(rows)} bytes")

    def create_transfers(self, rows: bytes) -> list[CreateResult]:
        """No page does."""
        raise BrokenInvariant(f"a page tried to post {len(rows)} bytes")

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """See `Ledger`."""
        self._deadline.check()
        return self._ledger.lookup_accounts(ids)

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """See `Ledger`."""
        self._deadline.check()
        return self._ledger.lookup_transfers(ids)

    def accounts_now(self, ids: Sequence[int]) -> AccountsNow:
        """See `Ledger`."""
        self._deadline.check()
        return self._ledger.accounts_now(ids)

    def query_accounts(self, query: QueryFilter) -> list[Account]:
        """See `Ledger`."""
        self._deadline.check()
        return self._ledger.query_accounts(query)

    def query_transfers(self, query: QueryFilter) -> list[Transfer]:
        """See `Ledger`."""
        self._deadline.check()
        return self._ledger.query_transfers(query)

    def account_transfers(self, query: AccountFilter) -> list[Transfer]:
        """See `Ledger`."""
        self._deadline.check()
        return self._ledger.account_transfers(query)

    def account_balances(self, query: AccountFilter) -> list[AccountBalance]:
        """See `Ledger`."""
        self._deadline.check()
        return self._ledger.account_balances(query)

    def close(self) -> None:
        """Whoever opened the ledger closes it."""
