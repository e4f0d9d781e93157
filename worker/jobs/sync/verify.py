"""Compares every row with the ledger and mends it: what was changed by hand, emptied or lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final

from worker.core.account_ids import AccountRefs
from worker.core.ids import account_id
from worker.core.ports import Ledger
from worker.core.rulebook import Rulebook
from worker.core.wire import Account
from worker.jobs.sync.balances import read_nets
from worker.jobs.sync.cache import BalanceCache, BalanceRow
from worker.jobs.sync.cells import Cell, Cells
from worker.jobs.sync.targets import SyncTarget, SyncTargets
from worker.ledger.scan import all_accounts

PAGE: Final = 2000
"""Accounts that are compared at a time, in one transaction."""


@dataclass(slots=True)
class Verification:
    """What was found.

    differing: rows with another balance than the ledger's.
    missing: accounts without a row.
    written: rows that were written, also only with a newer time.
    without_row: of the missing ones, those that get no row (`sync.add_rows = false`).
    set_aside: rows that the database refused, or that were locked.
    unnamed: accounts that the ledger knows by a hash of a long key which is in no row.
    without_account: rows with a balance, and no account in the ledger; only after a whole look.
    resume_at: an account's creation in the ledger's nanoseconds, to go on from; 0: all were seen.
    """

    accounts: int = 0
    differing: int = 0
    missing: int = 0
    written: int = 0
    without_row: int = 0
    set_aside: int = 0
    unnamed: int = 0
    without_account: int = 0
    resume_at: int = 0

    @property
    def problems(self) -> bool:
        """Was anything not as it should be, mended or not?"""
        lost = self.missing - self.without_row
        return bool(self.differing or lost or self.set_aside or self.without_account)

    def counts(self) -> dict[str, int]:
        """By name, for JSON."""
        return asdict(self)


class Verifier:
    """Goes through the accounts of each declared account that is copied, oldest first."""

    def __init__(
        self, *, ledger: Ledger, cache: BalanceCache, targets: SyncTargets, rulebook: Rulebook
    ) -> None:
        self.found = Verification()
        self._ledger = ledger
        self._cache = cache
        self._targets = targets
        self._cells = Cells(targets)
        self._refs = AccountRefs(rulebook.accounts.values())

    def verify(self, *, start_ns: int, stopped: Callable[[], bool]) -> Verification:
        """Compare and mend, page by page; what another process writes meanwhile stays.

        start_ns: leave out accounts that were made before.

        Raises:
            DependencyUnavailable: the ledger or the database stayed away.
            UsageError: the database refuses the statements.
        """
        began = self._ledger.time_ns
        for page in self._pages(start_ns):
            if stopped():
                self.found.resume_at = page[0].timestamp
                return self.found
            self._page(page)
        if not start_ns:
            self.found.without_account = sum(
                self._cache.count_older(target, began) for target in self._targets.columns
            )
        return self.found

    def _pages(self, start_ns: int) -> Iterator[list[Account]]:
        accounts = (
            account
            for account in all_accounts(self._ledger, start_ns=start_ns)
            if self._is_copied(account)
        )
        while page := list(islice(accounts, PAGE)):
            yield page

    def _is_copied(self, account: Account) -> bool:
        name = self._refs.name_account(account).name
        return account.ledger in self._targets.currencies and name in self._targets.accounts

    def _page(self, page: Sequence[Account]) -> None:
        nets = read_nets(self._ledger, [account.id for account in page])
        rows: dict[SyncTarget, list[BalanceRow]] = defaultdict(list)
        untouched = {account.id for account in page if not _moved(account)}
        for account, cell in self._named(page):
            rows[cell.target].append(cell.row(account.id, nets[account.id]))
        for target, those in rows.items():
            rows[target] = self._compare(target, those, untouched)
        written = self._cache.write({target: sorted(those) for target, those in rows.items()})
        self.found.accounts += len(page)
        self.found.written += written.moved
        self.found.without_row += written.without_row
        self.found.set_aside += written.set_aside

    def _named(self, page: Sequence[Account]) -> Iterator[tuple[Account, Cell]]:
        """Each account of the page with its cell, where its key is known."""
        long: list[Account] = []
        hashed: dict[SyncTarget, set[str]] = defaultdict(set)
        for account in page:
            ref = self._refs.name_account(account)
            if account.id == account_id(ledger=ref.ledger, name=ref.name, key=ref.key):
                yield account, self._cell(account, ref.key)
            else:
                long.append(account)
                hashed[self._targets.accounts[ref.name][1]].add(ref.key)
        keys = {target: self._cache.long_keys(target, those) for target, those in hashed.items()}
        for account in long:
            ref = self._refs.name_account(account)
            key = keys[self._targets.accounts[ref.name][1]].get(ref.key)
            if key is None:
                self.found.unnamed += 1
            else:
                yield account, self._cell(account, key)

    def _cell(self, account: Account, key: str) -> Cell:
        declared, target = self._targets.accounts[self._refs.name_account(account).name]
        return self._cells.cell_of(declared, target, key, account.ledger)

    def _compare(
        self, target: SyncTarget, rows: Sequence[BalanceRow], untouched: Collection[int]
    ) -> list[BalanceRow]:
        """Count what differs; what is to be written. An account that never moved needs no row."""
        stored = self._cache.stored(target, rows)
        wanted = []
        for row in rows:
            found = stored.get((row.key, row.currency))
            if found is None:
                if row.account_id in untouched:
                    continue
                self.found.missing += 1
            elif found.timestamp < row.timestamp and found.balance != row.balance:
                self.found.differing += 1
            wanted.append(row)
        return wanted


def _moved(account: Account) -> bool:
    return bool(account.debits_posted or account.credits_posted)
