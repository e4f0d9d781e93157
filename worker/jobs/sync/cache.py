"""The port to the database. A row never moves back in ledger time, whoever writes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from worker.jobs.sync.targets import SyncTarget


class BalanceRow(NamedTuple):
    """One balance.

    currency: empty where a key has one row.
    balance: minor units, positive on the side that the account grows by.
    timestamp: of the transfer after which it was true, in the ledger's nanoseconds.
    """

    key: str
    currency: str
    balance: int
    timestamp: int


class WriteResult(NamedTuple):
    """What became of some rows. The others were as new already.

    moved: written.
    without_row: keys that have no row and get none (`sync.add_rows = false`).
    """

    moved: int = 0
    without_row: int = 0


class BalanceCache(Protocol):
    """Rows by key, or by key and currency.

    Any call may raise `DependencyUnavailable` when the database stays away, and `UsageError` when
    it refuses the statement.
    """

    def write(self, rows: Mapping[SyncTarget, Sequence[BalanceRow]]) -> WriteResult:
        """Write what is newer than its row, all or none; each key and currency comes once."""
        ...

    def long_keys(self, target: SyncTarget, hashed: Collection[str]) -> dict[str, str]:
        """Those keys of the table that the ledger shows as one of these (`#…`), by that."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
