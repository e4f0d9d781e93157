"""The embedded ledger: TigerBeetle's semantics in this process, in memory or kept in a file.

A request is in the file, and synced, before it is applied and answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from worker.core.errors import BrokenInvariant, LedgerClosed
from worker.core.ports import AccountsNow
from worker.core.wire import (
    ROW_BYTES,
    Account,
    AccountBalance,
    AccountFilter,
    CreateResult,
    CreateTransferStatus,
    QueryFilter,
    Transfer,
    unpack_accounts,
    unpack_transfers,
)
from worker.ledger.embedded_file import RequestKind, RequestLog
from worker.ledger.engine import queries
from worker.ledger.engine.requests import ACCOUNTS, TRANSFERS, create, stops_the_server
from worker.ledger.engine.state import LedgerState
from worker.ledger.request_split import whole_chains

BATCH_MAX: Final = 8189
"""What a TigerBeetle server takes in one request, unless it runs with `--development`."""

EXPIRED: Final = int(CreateTransferStatus.PENDING_TRANSFER_EXPIRED)


class EmbeddedLedger:
    """A ledger in this process; safe to call from several threads, one request at a time.

    path: the file to keep it in, made if missing and locked while open; None keeps it in memory.
    batch_max: rows of one request at most; smaller to imitate a `--development` server.
    now_ns: the wall clock, nanoseconds since 1970; the ledger's time never goes back.
    """

    def __init__(
        self,
        *,
        path: Path | None = None,
        batch_max: int = BATCH_MAX,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.batch_max: Final = batch_max
        self._now_ns = now_ns
        self._books = LedgerState()
        self._newest_ns = 0
        self._one_at_a_time = Lock()
        self._since: float | None = None
        self._closed = False
        self._log = RequestLog(path) if path else None
        if self._log:
            self._replay(self._log)

    @property
    def time_ns(self) -> int:
        """The time of its newest request, which is this one."""
        with self._request():
            return self._newest_ns

    @property
    def waiting_seconds(self) -> float:
        """How long the request under way has been waiting; 0.0 when there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def create_accounts(self, rows: bytes) -> list[CreateResult]:
        """Create accounts from n × 128 bytes; one result for each, in order."""
        return self._create(RequestKind.CREATE_ACCOUNTS, rows)

    def create_transfers(self, rows: bytes) -> list[CreateResult]:
        """Create transfers from n × 128 bytes; one result for each, in order."""
        return self._create(RequestKind.CREATE_TRANSFERS, rows)

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts that exist, in the order of the ids; any number of ids."""
        with self._request() as books:
            return queries.lookup(books.accounts, ids)

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers that exist, in the order of the ids; any number of ids."""
        with self._request() as books:
            return queries.lookup(books.transfers, ids)

    def accounts_now(self, ids: Sequence[int]) -> AccountsNow:
        """The accounts that exist, and when they were so; at most `batch_max` ids."""
        with self._request() as books:
            return AccountsNow(self._newest_ns, queries.lookup(books.accounts, ids))

    def query_accounts(self, query: QueryFilter) -> list[Account]:
        """Accounts that match, by timestamp; at most `limit` and `batch_max`."""
        with self._request() as books:
            return queries.query_accounts(books, query, at_most=self.batch_max)

    def query_transfers(self, query: QueryFilter) -> list[Transfer]:
        """Transfers that match, by timestamp; at most `limit` and `batch_max`."""
        with self._request() as books:
            return queries.query_transfers(books, query, at_most=self.batch_max)

    def account_transfers(self, query: AccountFilter) -> list[Transfer]:
        """One account's transfers, by timestamp; at most `limit` and `batch_max`."""
        with self._request() as books:
            return queries.account_transfers(books, query, at_most=self.batch_max)

    def account_balances(self, query: AccountFilter) -> list[AccountBalance]:
        """One account's balances after each transfer; empty without the flag `history`."""
        with self._request() as books:
            return queries.account_balances(books, query, at_most=self.batch_max)

    def close(self) -> None:
        """Release the file; every later call fails with `LedgerClosed`."""
        with self._one_at_a_time:
            self._closed = True
            if self._log:
                self._log.close()

    @contextmanager
    def _request(self) -> Iterator[LedgerState]:
        """One request at a time, on books without what has expired by now."""
        with self._one_at_a_time:
            if self._closed:
                raise LedgerClosed("the embedded ledger is closed")
            self._since = time.monotonic()
            try:
                self._newest_ns = max(self._newest_ns, self._now_ns())
                self._books.expire(self._newest_ns, EXPIRED)
                yield self._books
            finally:
                self._since = None

    def _create(self, operation: RequestKind, rows: bytes) -> list[CreateResult]:
        results: list[CreateResult] = []
        for request in whole_chains(rows, self.batch_max):
            with self._request() as books:
                if operation is RequestKind.CREATE_TRANSFERS:
                    _refuse_what_stops_servers(books, request)
                timestamp = self._newest_ns + len(request) // ROW_BYTES
                if self._log:
                    self._log.append(operation, timestamp, request)
                results += self._apply(operation, timestamp, request)
        return results

    def _replay(self, log: RequestLog) -> None:
        try:
            for operation, timestamp, rows in log.read():
                self._books.expire(timestamp - len(rows) // ROW_BYTES, EXPIRED)
                self._apply(operation, timestamp, rows)
        except BaseException:
            log.close()
            raise

    def _apply(self, operation: RequestKind, timestamp: int, rows: bytes) -> list[CreateResult]:
        """timestamp: the batch's; strictly later than any before, so that time never goes back."""
        self._newest_ns = timestamp
        if operation is RequestKind.CREATE_ACCOUNTS:
            return create(ACCOUNTS, self._books, unpack_accounts(rows), timestamp)
        return create(TRANSFERS, self._books, unpack_transfers(rows), timestamp)


def _refuse_what_stops_servers(books: LedgerState, rows: bytes) -> None:
    """Only a request whose first row is imported can import, so mostly one row is read."""
    if unpack_transfers(rows[:ROW_BYTES])[0].flags & TRANSFERS.imported and stops_the_server(
        books, unpack_transfers(rows)
    ):
        raise BrokenInvariant(
            "an imported post or void of a pending transfer with a timeout would stop a "
            "TigerBeetle 0.17.9 server"
        )
