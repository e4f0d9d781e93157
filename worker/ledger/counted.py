"""A ledger that counts the requests made of it, by operation, and changes nothing about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from worker.core.ports import AccountsNow, Ledger
from worker.core.wire import (
    Account,
    AccountBalance,
    AccountFilter,
    CreateResult,
    QueryFilter,
    Transfer,
)


class CountedLedger:
    """Counts calls on their way to a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counts: Counter[str] = Counter()

    def take_counts(self) -> dict[str, int]:
        """Requests since the last call, by operation."""
        taken, self._counts = self._counts, Counter()
        return dict(taken)

    @property
    def batch_max(self) -> int:
        """See `Ledger`."""
        return self._ledger.batch_max

    @property
    def time_ns(self) -> int:
        """See `Ledger`; not counted, as it is no part of the work."""
        return self._ledger.time_ns

    @property
    def waiting_seconds(self) -> float:
        """See `Ledger`."""
        return self._ledger.waiting_seconds

    def create_accounts(self, rows: bytes) -> list[CreateResult]:
        """See `Ledger`."""
        self._counts["create_accounts"] += 1
        return self._ledger.create_accounts(rows)

    def create_transfers(self, rows: bytes) -> list[CreateResult]:
        """See `Ledger`."""
        self._counts["create_transfers"] += 1
        return self._ledger.create_transfers(rows)

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """See `Ledger`."""
        self._counts["lookup_accounts"] += 1
        return self._ledger.lookup_accounts(ids)

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """See `Ledger`."""
        self._counts["lookup_transfers"] += 1
        return self._ledger.lookup_transfers(ids)

    def accounts_now(self, ids: Sequence[int]) -> AccountsNow:
        """See `Ledger`."""
        self._counts["lookup_accounts"] += 1
        return self._ledger.accounts_now(ids)

    def query_accounts(self, query: QueryFilter) -> list[Account]:
        """See `Ledger`."""
        self._counts["query_accounts"] += 1
        return self._ledger.query_accounts(query)

    def query_transfers(self, query: QueryFilter) -> list[Transfer]:
        """See `Ledger`."""
        self._counts["query_transfers"] += 1
        return self._ledger.query_transfers(query)

    def account_transfers(self, query: AccountFilter) -> list[Transfer]:
        """See `Ledger`."""
        self._counts["account_transfers"] += 1
        return self._ledger.account_transfers(query)

    def account_balances(self, query: AccountFilter) -> list[AccountBalance]:
        """See `Ledger`."""
        self._counts["account_balances"] += 1
        return self._ledger.account_balances(query)

    def close(self) -> None:
        """See `Ledger`."""
        self._ledger.close()
