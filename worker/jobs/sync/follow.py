"""Follows the outbox: announcements in, balances out, offsets last.

An offset is committed only after every balance that its record may have changed is in the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol

import structlog

from worker.core.errors import UsageError
from worker.core.ports import Commit, Ledger, Polled, Record, TopicPartition, position_of
from worker.jobs.sync.balances import read_nets
from worker.jobs.sync.cache import BalanceCache, BalanceRow
from worker.jobs.sync.cells import AccountSide, Cell, Cells, Unreadable
from worker.jobs.sync.targets import SyncTarget, SyncTargets

RECORDS_MAX: Final = 2000
"""Announcements in a batch: at most twice as many balances are read for it, one by one."""

POLL_SECONDS: Final = 0.25
KNOWN_MAX: Final = 200_000
"""Accounts of which it is remembered how new their row is; then they start over."""

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """The outbox, as a member of a group."""

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        """Records, and what the group said meanwhile."""
        ...

    def try_commit(self, commits: Sequence[Commit]) -> bool:
        """Commit offsets now; False: the group is changing, say it again after the next poll."""
        ...


@dataclass(slots=True)
class SyncCounts:
    """What was done.

    unnamed: long keys known by their hash only, and in no row yet.
    """

    records: int = 0
    unreadable: int = 0
    unnamed: int = 0
    balances_read: int = 0
    rows_written: int = 0
    rows_kept: int = 0
    without_row: int = 0

    def counts(self) -> dict[str, int]:
        """By name, for JSON."""
        return asdict(self)


@dataclass(slots=True)
class _Batch:
    """Accounts by number: their cells, those known by a hash, the newest announced timestamps."""

    cells: dict[int, Cell] = field(default_factory=dict)
    hashed: dict[int, AccountSide] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)


class OutboxFollower:
    """Turns announcements into rows, batch by batch."""

    def __init__(
        self, *, outbox: Outbox, ledger: Ledger, cache: BalanceCache, targets: SyncTargets
    ) -> None:
        self.tally = SyncCounts()
        self.idle = False
        self._outbox = outbox
        self._ledger = ledger
        self._cache = cache
        self._cells = Cells(targets)
        self._known: dict[int, int] = {}
        self._done: dict[TopicPartition, int] = {}

    def step(self) -> None:
        """One batch: poll, read balances, write them, commit.

        Raises:
            DependencyUnavailable: the broker, the ledger or the database stayed away.
            UsageError: the database refuses the rows, or the outbox is another ledger's.
        """
        polled = self._outbox.poll(records_max=RECORDS_MAX, timeout_seconds=POLL_SECONDS)
        self.idle = not polled.records
        self._copy(polled.records)
        self._finish(polled)

    def _finish(self, polled: Polled) -> None:
        """Commit what is done, but for partitions that are another's now: it may be further."""
        for record in polled.records:
            partition = (record.topic(), record.partition())
            self._done[partition] = max(self._done.get(partition, 0), record.offset() + 1)
        for partition, end in polled.ends.items():
            self._done[partition] = max(self._done.get(partition, 0), end)
        for partition in set(polled.lost) - set(polled.gained):
            self._done.pop(partition, None)
        commits = [Commit(*partition, offset, "") for partition, offset in self._done.items()]
        if commits and self._outbox.try_commit(commits):
            self._done.clear()

    def _copy(self, records: Iterable[Record]) -> None:
        """Everything between announcements and rows."""
        batch = _Batch()
        for record in records:
            self.tally.records += 1
            try:
                self._take(record, batch)
            except Unreadable:
                self.tally.unreadable += 1
                _log.warning("no_announcement", at=str(position_of(record)))
        self._resolve(batch)
        if batch.cells:
            self._write(batch)

    def _take(self, record: Record, batch: _Batch) -> None:
        """Note the accounts of a transfer; those whose row is as new already need no reading."""
        for side in self._cells.sides(record):
            number = side.number
            if side.timestamp <= self._known.get(number, 0):
                continue
            cell = self._cells.cell(side)
            if cell is not None:
                batch.cells[number] = cell
            else:
                batch.hashed[number] = side
            batch.newest[number] = max(batch.newest.get(number, 0), side.timestamp)

    def _resolve(self, batch: _Batch) -> None:
        """Find the keys that announcements give as a hash: in this batch, or in the table.

        One that is nowhere is left out: the account's first transfer names it by its key, and when
        that comes, its newest balance is read.
        """
        wanted: dict[SyncTarget, set[str]] = defaultdict(set)
        for number, side in batch.hashed.items():
            if number not in batch.cells and self._cells.cell(side) is None:
                wanted[side.target].add(side.key)
        for target, hashed in wanted.items():
            self._cells.learn(self._cache.long_keys(target, hashed))
        for number, side in batch.hashed.items():
            cell = batch.cells.get(number) or self._cells.cell(side)
            if cell is None:
                self.tally.unnamed += 1
            else:
                batch.cells[number] = cell

    def _write(self, batch: _Batch) -> None:
        nets = read_nets(self._ledger, list(batch.cells))
        rows: dict[SyncTarget, list[BalanceRow]] = defaultdict(list)
        for number, cell in batch.cells.items():
            net = nets.get(number)
            if net is None or net.timestamp < batch.newest[number]:
                raise UsageError(
                    "the ledger does not hold what the outbox announced: are ledger.addresses and"
                    " topics.outbox of one system, and was no older ledger restored?"
                )
            amount = -net.amount if cell.debit_normal else net.amount
            rows[cell.target].append(BalanceRow(cell.key, cell.currency, amount, net.timestamp))
        written = self._cache.write({target: sorted(those) for target, those in rows.items()})
        self.tally.balances_read += len(nets)
        self.tally.rows_written += written.moved
        self.tally.without_row += written.without_row
        self.tally.rows_kept += len(nets) - written.moved - written.without_row
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        self._known |= {number: net.timestamp for number, net in nets.items()}
