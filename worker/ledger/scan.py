"""Everything the ledger holds, in timestamp order, one page in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from worker.core.ports import Ledger
from worker.core.wire import Account, AccountFilter, QueryFilter, Transfer

TIMESTAMP_MAX: Final = (1 << 63) - 1


Row = TypeVar("Row", Account, Transfer)


def all_accounts(ledger: Ledger, *, code: int = 0, start_ns: int = 0) -> Iterator[Account]:
    """Every account, oldest first; code: of one declared account, 0 for all."""
    return _pages(
        lambda low: ledger.query_accounts(QueryFilter(code=code, timestamp_min=low)), start_ns
    )


def all_transfers(ledger: Ledger, *, start_ns: int = 0, end_ns: int = 0) -> Iterator[Transfer]:
    """Every transfer from `start_ns` on and before `end_ns` (0: to the end), oldest first."""
    if end_ns and end_ns <= start_ns:
        return iter(())
    high = end_ns - 1 if end_ns else TIMESTAMP_MAX
    return _pages(
        lambda low: (
            ledger.query_transfers(QueryFilter(timestamp_min=low, timestamp_max=high))
            if low <= high
            else ()
        ),
        start_ns,
    )


def account_transfers(
    ledger: Ledger, account_id: int, *, start_ns: int = 0, end_ns: int = 0
) -> Iterator[Transfer]:
    """One account's transfers from `start_ns` on and before `end_ns` (0: to the end)."""
    if end_ns and end_ns <= start_ns:
        return iter(())
    high = end_ns - 1 if end_ns else TIMESTAMP_MAX
    return _pages(
        lambda low: (
            ledger.account_transfers(
                AccountFilter(account_id, timestamp_min=low, timestamp_max=high)
            )
            if low <= high
            else ()
        ),
        start_ns,
    )


def _pages(ask: Callable[[int], Sequence[Row]], start_ns: int) -> Iterator[Row]:
    low = start_ns
    while page := ask(low):
        yield from page
        low = page[-1].timestamp + 1
