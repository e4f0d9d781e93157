"""One request of creates: atomic chains, rollback, burned ids, and one result for every event.

Source: TigerBeetle 0.17.9's state machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from worker.core.wire import (
    Account,
    AccountFlags,
    CreateAccountStatus,
    CreateResult,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)
from worker.ledger.engine.accounts import create_account
from worker.ledger.engine.state import SETTLING, LedgerState
from worker.ledger.engine.transfers import TIMESTAMP_MAX, TRANSIENT, create_transfer

LINKED: Final = int(TransferFlags.LINKED)
CREATED: Final = int(CreateTransferStatus.CREATED)
CHAIN_FAILED: Final = int(CreateTransferStatus.LINKED_EVENT_FAILED)
CHAIN_OPEN: Final = int(CreateTransferStatus.LINKED_EVENT_CHAIN_OPEN)
TIMESTAMP_MUST_BE_ZERO: Final = int(CreateTransferStatus.TIMESTAMP_MUST_BE_ZERO)
IMPORTED_TRANSFER: Final = int(TransferFlags.IMPORTED)

Row = TypeVar("Row", bound=Account | Transfer)
Statuses = type[CreateAccountStatus] | type[CreateTransferStatus]


@dataclass(frozen=True, slots=True)
class Creation(Generic[Row]):
    """What differs between creating accounts and creating transfers.

    create: stores one at the given timestamp and returns a status.
    stored: the rows by id.
    kept, take_back: how many this request stored so far, and how to go back to that many.
    """

    statuses: Statuses
    imported: int
    transient: frozenset[CreateTransferStatus]
    create: Callable[[LedgerState, Row, int], int]
    stored: Callable[[LedgerState], dict[int, Row]]
    kept: Callable[[LedgerState], int]
    take_back: Callable[[LedgerState, int], None]


ACCOUNTS: Final[Creation[Account]] = Creation(
    statuses=CreateAccountStatus,
    imported=int(AccountFlags.IMPORTED),
    transient=frozenset(),
    create=create_account,
    stored=lambda books: books.accounts,
    kept=lambda books: len(books.opened),
    take_back=LedgerState.take_back_accounts,
)
TRANSFERS: Final[Creation[Transfer]] = Creation(
    statuses=CreateTransferStatus,
    imported=IMPORTED_TRANSFER,
    transient=TRANSIENT,
    create=create_transfer,
    stored=lambda books: books.transfers,
    kept=lambda books: len(books.posted),
    take_back=LedgerState.take_back_transfers,
)


def create(
    creation: Creation[Row], books: LedgerState, events: Sequence[Row], batch_timestamp: int
) -> list[CreateResult]:
    """One result for each event; event i of n has the timestamp `batch_timestamp` − n + i + 1."""
    request = _Request(creation, books, events, batch_timestamp)
    for index, event in enumerate(events):
        request.take(index, event)
    books.opened.clear()
    books.posted.clear()
    return request.results


def stops_the_server(books: LedgerState, events: Sequence[Transfer]) -> bool:
    """Whether a 0.17.9 server may stop on this request.

    An imported post or void of a pending transfer with a timeout trips an assertion there.
    Imported pendings have no timeout, so only those stored before this request matter.
    """
    return any(
        event.flags & IMPORTED_TRANSFER
        and event.flags & SETTLING
        and event.pending_id in books.transfers
        and books.transfers[event.pending_id].timeout > 0
        for event in events
    )


class _Request(Generic[Row]):
    """The state of one request while its events are taken in order."""

    __slots__ = ("batch_timestamp", "books", "broken", "creation", "events", "imported", "last",
                 "mark", "results", "start", "stored")  # fmt: skip

    def __init__(
        self,
        creation: Creation[Row],
        books: LedgerState,
        events: Sequence[Row],
        batch_timestamp: int,
    ) -> None:
        self.creation = creation
        self.books = books
        self.events = events
        self.stored: dict[int, Any] = creation.stored(books)
        self.batch_timestamp = batch_timestamp
        self.imported = events[0].flags & creation.imported if events else 0
        self.last = len(events) - 1
        self.results: list[CreateResult] = []
        self.start: int | None = None
        self.mark = 0
        self.broken = False

    def take(self, index: int, event: Row) -> None:
        """Create one event, close its chain if it is the last of it, keep its result."""
        if event.flags & LINKED and self.start is None:
            self.start = index
            self.mark = self.creation.kept(self.books)
        timestamp = self.batch_timestamp - self.last + index
        status = self._status(index, event, timestamp)
        if status in (CREATED, self.creation.statuses.EXISTS):
            timestamp = self.stored[event.id].timestamp
        if status != CREATED:
            self._fail(event.id, status)
        self.results.append(CreateResult(timestamp, int(status)))
        if self.start is not None and (not event.flags & LINKED or status == CHAIN_OPEN):
            self.start, self.broken = None, False

    def _status(self, index: int, event: Row, timestamp: int) -> int:
        if event.flags & LINKED and index == self.last:
            return CHAIN_OPEN
        if self.broken:
            return CHAIN_FAILED
        imported = event.flags & self.creation.imported
        if imported or self.imported or event.timestamp:
            status = self._time(event.timestamp, imported)
            if status:
                return status
        return self.creation.create(self.books, event, timestamp)

    def _time(self, timestamp: int, imported: int) -> int:
        """The first event decides for the whole request whether times are given or made."""
        statuses = self.creation.statuses
        if imported and not self.imported:
            return statuses.IMPORTED_EVENT_NOT_EXPECTED
        if self.imported and not imported:
            return statuses.IMPORTED_EVENT_EXPECTED
        if not imported:
            return TIMESTAMP_MUST_BE_ZERO
        if not 1 <= timestamp <= TIMESTAMP_MAX:
            return statuses.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE
        if timestamp >= self.batch_timestamp:
            return statuses.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
        return 0

    def _fail(self, event_id: int, status: int) -> None:
        if self.start is not None and not self.broken:
            self.broken = True
            self.creation.take_back(self.books, self.mark)
            for index in range(self.start, len(self.results)):
                self.results[index] = CreateResult(self.results[index].timestamp, CHAIN_FAILED)
        if status in self.creation.transient:
            self.books.burned.add(event_id)
