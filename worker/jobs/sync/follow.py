"""Follows the outbox: announcements in, balances out, offsets last.

An offset is committed only after every balance that its record may have changed is in the database.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol

import structlog

from worker.core.errors import UsageError
from worker.core.ports import Commit, Ledger, Polled, Record, TopicPartition, position_of
from worker.jobs.sync.cache import BalanceCache
from worker.jobs.sync.cells import AccountSide, Cell, Cells, Unreadable
from worker.jobs.sync.targets import SyncTarget, SyncTargets
from worker.jobs.sync.writer import NOT_THIS_LEDGER, BalanceWriter, Written

RECORDS_MAX: Final = 4000
"""Announcements in a batch: twice as many balances fit one request to the ledger."""

POLL_SECONDS: Final = 0.25
KNOWN_MAX: Final = 200_000
"""Accounts of which it is remembered how new their row is; then they start over."""

LOCKED_AGAIN_SECONDS: Final = 1.0
REFUSED_AGAIN_SECONDS: Final = 60.0
"""How long after its last try a row that was set aside is tried again."""

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """The outbox, as a member of a group."""

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        """Records, and what the group said meanwhile."""
        ...

    def try_commit(self, commits: Sequence[Commit]) -> bool:
        """Commit offsets now; False: the group is changing, say it again after the next poll."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        """Read an assigned partition from here on; False: it cannot be done now."""
        ...


@dataclass(slots=True)
class SyncCounts:
    """What was done.

    unnamed: long keys known by their hash only, and in no row yet.
    rows_kept: as new already.
    set_aside: how often a row was refused or locked.
    read_again: partitions that were read from an earlier offset, as the database was moved back.
    """

    records: int = 0
    unreadable: int = 0
    unnamed: int = 0
    balances_read: int = 0
    rows_written: int = 0
    rows_kept: int = 0
    without_row: int = 0
    set_aside: int = 0
    read_again: int = 0

    def counts(self) -> dict[str, int]:
        """By name, for JSON."""
        return asdict(self)


@dataclass(slots=True)
class _Batch:
    """Accounts by number: their cells, and those known by a hash.

    newest: the newest announced transfer.
    """

    cells: dict[int, Cell] = field(default_factory=dict)
    hashed: dict[int, AccountSide] = field(default_factory=dict)
    newest: AccountSide | None = None


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
        self._writer = BalanceWriter(ledger=ledger, cache=cache)
        self._cells = Cells(targets)
        self._known: dict[int, int] = {}
        self._done: dict[TopicPartition, int] = {}
        self.positions: dict[TopicPartition, int] = {}
        """The offset that comes next, of each partition that is ours."""
        self._opening: set[TopicPartition] = set()
        self._retried_at = time.monotonic()

    def step(self) -> None:
        """One batch: poll, read balances, write them, commit.

        Raises:
            DependencyUnavailable: the broker, the ledger or the database stayed away.
            UsageError: the database refuses the statements, or the outbox is another ledger's.
        """
        polled = self._outbox.poll(records_max=RECORDS_MAX, timeout_seconds=POLL_SECONDS)
        self.idle = not polled.records
        self._opening -= set(polled.lost)
        self._opening |= set(polled.gained)
        polled = self._from_where_the_database_is(polled) if self._opening else polled
        self._note_done(polled)
        self._copy(polled.records)
        self._commit()
        if time.monotonic() - self._retried_at >= LOCKED_AGAIN_SECONDS:
            self._retry()

    def _retry(self) -> None:
        self._retried_at = time.monotonic()
        again = self._writer.retry(
            self._cells,
            tried_before_seconds=REFUSED_AGAIN_SECONDS,
            locked_before_seconds=LOCKED_AGAIN_SECONDS,
        )
        self._note(again)

    def _from_where_the_database_is(self, polled: Polled) -> Polled:
        """What was polled, without partitions that are to be read from an earlier offset.

        The group's offset is committed after the rows, so the database's own is never behind it,
        unless the database was moved back: by a restore, or by a standby that took over.
        """
        first = dict(polled.ends)
        for record in reversed(polled.records):
            first[record.topic(), record.partition()] = record.offset()
        behind: set[TopicPartition] = set()
        heard_of = self._opening & first.keys()
        stored = self._cache.offsets() if heard_of else {}
        for partition in heard_of:
            offset = stored.get(partition)
            if offset is None or offset >= first[partition]:
                self._opening.discard(partition)
                continue
            behind.add(partition)
            if self._outbox.seek(partition, offset):
                self._opening.discard(partition)
                self.tally.read_again += 1
                _log.warning("database_moved_back", partition=partition[1], offset=offset)
        return polled._replace(
            records=[each for each in polled.records if _partition(each) not in behind],
            ends={each: end for each, end in polled.ends.items() if each not in behind},
        )

    def _note_done(self, polled: Polled) -> None:
        """What is done once this batch is, but for partitions that are another's now."""
        for record in polled.records:
            partition = _partition(record)
            self._done[partition] = max(self._done.get(partition, 0), record.offset() + 1)
        for partition, end in polled.ends.items():
            self._done[partition] = max(self._done.get(partition, 0), end)
        for partition in set(polled.lost) - set(polled.gained):
            self._done.pop(partition, None)
            self.positions.pop(partition, None)
        self.positions |= self._done

    def _commit(self) -> None:
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
        self._refuse_another_ledger(batch)
        if batch.cells or self._done:
            self._note(self._writer.write(batch.cells, self._done))

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
            if batch.newest is None or side.timestamp > batch.newest.timestamp:
                batch.newest = side

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

    def _refuse_another_ledger(self, batch: _Batch) -> None:
        """The newest announced transfer has to be in the ledger: then all before it are.

        Raises:
            UsageError: it is not, or at another time.
        """
        newest = batch.newest
        if newest is None:
            return
        stored = self._ledger.lookup_transfers([newest.transfer])
        if not stored or stored[0].timestamp != newest.timestamp:
            raise UsageError(NOT_THIS_LEDGER)

    def _note(self, written: Written) -> None:
        nets, result = written
        self.tally.balances_read += len(nets)
        self.tally.rows_written += result.moved
        self.tally.without_row += result.without_row
        self.tally.set_aside += result.set_aside
        self.tally.rows_kept += len(nets) - sum(result)
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        self._known |= {number: net.timestamp for number, net in nets.items()}


def _partition(record: Record) -> TopicPartition:
    return record.topic(), record.partition()
