"""From accounts to rows: reads what they hold now and writes that, also of what was set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from worker.core.errors import UsageError
from worker.core.ports import Ledger, TopicPartition
from worker.jobs.sync.balances import Net, read_nets
from worker.jobs.sync.cache import BalanceCache, BalanceRow, WriteResult
from worker.jobs.sync.cells import Cell, Cells
from worker.jobs.sync.targets import SyncTarget

NOT_THIS_LEDGER: Final = (
    "the ledger does not hold what the outbox announced: are ledger.addresses and topics.outbox of"
    " one system, and was no older ledger restored?"
)


class Written(NamedTuple):
    """What one write did. nets: the balances that were read, by account."""

    nets: Mapping[int, Net]
    result: WriteResult


class BalanceWriter:
    """Writes balances as the ledger has them at that moment."""

    def __init__(self, *, ledger: Ledger, cache: BalanceCache) -> None:
        self._ledger = ledger
        self._cache = cache

    def write(self, cells: Mapping[int, Cell], offsets: Mapping[TopicPartition, int]) -> Written:
        """Read these accounts and write their rows, with the group's offsets beside them.

        Raises:
            UsageError: the ledger does not have an account, or the database refuses a statement.
            DependencyUnavailable: the ledger or the database stayed away.
        """
        nets = read_nets(self._ledger, list(cells))
        rows: dict[SyncTarget, list[BalanceRow]] = defaultdict(list)
        for number, cell in cells.items():
            if number not in nets:
                raise UsageError(NOT_THIS_LEDGER)
            rows[cell.target].append(cell.row(number, nets[number]))
        ordered = {target: sorted(those) for target, those in rows.items()}
        return Written(nets, self._cache.write(ordered, offsets))

    def retry(
        self, cells: Cells, *, tried_before_seconds: float, locked_before_seconds: float
    ) -> Written:
        """Write some rows that were set aside and last tried so long ago, with today's balance.

        What is copied nowhere any more leaves the list.
        """
        due = self._cache.set_aside(
            tried_before_seconds=tried_before_seconds, locked_before_seconds=locked_before_seconds
        )
        found = {row: cells.set_aside_cell(row) for row in due}
        gone = [row for row, cell in found.items() if cell is None]
        if gone:
            self._cache.forget(gone)
        wanted = {row.account_id: cell for row, cell in found.items() if cell is not None}
        return self.write(wanted, {}) if wanted else Written({}, WriteResult())
