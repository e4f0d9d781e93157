"""The port to the database. A row never moves back in ledger time, whoever writes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from worker.core.ports import TopicPartition
from worker.jobs.sync.targets import SyncTarget


class BalanceRow(NamedTuple):
    """One balance.

    currency: empty where a key has one row.
    balance: minor units, positive on the side that the account grows by.
    timestamp: when it was true, in the ledger's nanoseconds.
    account_id: of the ledger's account.
    scale: decimal places of the currency.
    """

    key: str
    currency: str
    balance: int
    timestamp: int
    account_id: int
    scale: int


class SetAsideRow(NamedTuple):
    """A balance that the database refused, or whose row was locked.

    text: its table and column, as the rulebook writes them.
    """

    text: str
    key: str
    currency: str
    account_id: int


class StoredBalance(NamedTuple):
    """What a row says.

    balance: minor units; None where there is none, or no number.
    timestamp: when it was true, in the ledger's nanoseconds; 0 where it does not say.
    """

    balance: int | None
    timestamp: int


class WriteResult(NamedTuple):
    """What became of some rows. The others were as new already.

    moved: written.
    without_row: keys that have no row and get none (`sync.add_rows = false`).
    set_aside: rows that the database refused, or that were locked; they are tried again.
    """

    moved: int = 0
    without_row: int = 0
    set_aside: int = 0


class BalanceCache(Protocol):
    """Rows by key, or by key and currency: in PostgreSQL, or in memory for tests.

    Any call may raise `DependencyUnavailable` when the database stays away, and `UsageError` when
    it refuses the statement for what it is, not for one row of it.
    """

    def write(
        self,
        rows: Mapping[SyncTarget, Sequence[BalanceRow]],
        offsets: Mapping[TopicPartition, int] = ...,
    ) -> WriteResult:
        """Write what is newer than its row; each key and currency comes once.

        offsets: where the group goes on once this is written; kept with the rows, so that a
            database that was moved back says so.
        """
        ...

    def stored(
        self, target: SyncTarget, rows: Sequence[BalanceRow]
    ) -> Mapping[tuple[str, str], StoredBalance]:
        """What the rows of these keys and currencies say; those that are not there are left out."""
        ...

    def count_older(self, target: SyncTarget, timestamp: int) -> int:
        """Rows with a balance that was true before then, without those that are set aside."""
        ...

    def offsets(self) -> Mapping[TopicPartition, int]:
        """What was last written of the group's offsets."""
        ...

    def set_aside(
        self, *, tried_before_seconds: float, locked_before_seconds: float
    ) -> Sequence[SetAsideRow]:
        """Some rows that were last tried so long ago, those that wait longest first."""
        ...

    def set_aside_count(self) -> int:
        """How many are set aside now."""
        ...

    def forget(self, rows: Collection[SetAsideRow]) -> None:
        """Take rows off the list that nothing is copied to any more."""
        ...

    def long_keys(self, target: SyncTarget, hashed: Collection[str]) -> dict[str, str]:
        """Those keys of the table that the ledger shows as one of these (`#…`), by that."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
