"""From announcements to the cells that they concern.

An account is taken only under a key that gives its id, so that no balance is written to another's
row. Balances are read from the ledger; the announcement's amount is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from worker.codecs.outbox_reader import announced_fields
from worker.core.errors import UsageError
from worker.core.ids import FAMILY_KEY_BYTES, account_id, account_key, account_user_data
from worker.core.ports import Record
from worker.core.predecessors import HASHED_KEY
from worker.core.rulebook import DeclaredAccount
from worker.jobs.sync.balances import Net
from worker.jobs.sync.cache import BalanceRow, SetAsideRow
from worker.jobs.sync.targets import SyncTarget, SyncTargets

SIDES: Final = ("debit", "credit")
LONG_KEYS_MAX: Final = 100_000
"""Long keys that are remembered by what the ledger shows of them; then they start over."""


class AccountSide(NamedTuple):
    """One account of an announced transfer that is copied somewhere."""

    number: int
    account: DeclaredAccount
    target: SyncTarget
    key: str
    ledger: int
    timestamp: int
    transfer: int

    def is_named(self, key: str) -> bool:
        """Is this the account of that key?"""
        made = account_id(ledger=self.ledger, name=self.account.name, key=key)
        return made == self.number


class Cell(NamedTuple):
    """Where an account's balance goes.

    debit_normal: it is positive when debits are more.
    scale: decimal places of its currency.
    """

    target: SyncTarget
    key: str
    currency: str
    debit_normal: bool
    scale: int

    def row(self, account_id: int, net: Net) -> BalanceRow:
        """The row that says this balance."""
        amount = -net.amount if self.debit_normal else net.amount
        return BalanceRow(self.key, self.currency, amount, net.timestamp, account_id, self.scale)


class Unreadable(Exception):
    """A record that the worker did not write."""


class Cells:
    """Knows the cell of each account that an announcement names."""

    def __init__(self, targets: SyncTargets) -> None:
        self._targets = targets
        self._long_keys: dict[str, str] = {}

    def sides(self, record: Record) -> list[AccountSide]:
        """The accounts of an announcement that are copied.

        Raises:
            Unreadable: it is no posted transfer.
        """
        try:
            fields = announced_fields(record)
            ledger, timestamp = int(fields["ledger"]), int(fields["ledger_timestamp"])
            if ledger not in self._targets.currencies:
                return []
            transfer = int(fields["transfer_id"], 16)
            sides = (self._side(fields, name, ledger, timestamp, transfer) for name in SIDES)
            return [side for side in sides if side is not None]
        except (UsageError, KeyError, TypeError, ValueError):
            raise Unreadable from None

    def _side(
        self, fields: Mapping[str, Any], name: str, ledger: int, timestamp: int, transfer: int
    ) -> AccountSide | None:
        found = self._targets.accounts.get(fields[f"{name}_account"])
        if found is None:
            return None
        number, key = int(fields[f"{name}_account_id"], 16), str(fields[f"{name}_key"])
        return AccountSide(number, *found, key, ledger, timestamp, transfer)

    def cell(self, side: AccountSide) -> Cell | None:
        """The cell of an account; None where the announcement has only its key's hash.

        The ledger keeps a hash of a key over 28 bytes, and an announcement that took the account
        from an earlier chain has that (`#…`) for its key.

        Raises:
            Unreadable: its key does not give its id.
        """
        if side.is_named(side.key):
            if len(side.key.encode()) > FAMILY_KEY_BYTES:
                self._remember(side.key)
            return self._at(side, side.key)
        if not side.key.startswith(HASHED_KEY):
            raise Unreadable
        key = self._long_keys.get(side.key)
        return self._at(side, key) if key is not None and side.is_named(key) else None

    def set_aside_cell(self, row: SetAsideRow) -> Cell | None:
        """The cell of a row that was set aside; None where nothing is copied there any more."""
        for account, target in self._targets.accounts.values():
            if target.text != row.text:
                continue
            for ledger in self._targets.currencies:
                key = row.key if account.per else ""
                number = account_id(ledger=ledger, name=account.name, key=key)
                if number == row.account_id:
                    return self.cell_of(account, target, key, ledger)
        return None

    def learn(self, keys: Mapping[str, str]) -> None:
        """Long keys, by what the ledger shows of them."""
        for key in keys.values():
            self._remember(key)

    def _remember(self, key: str) -> None:
        if len(self._long_keys) >= LONG_KEYS_MAX:
            self._long_keys.clear()
        self._long_keys[stored_cells(key)] = key

    def cell_of(self, account: DeclaredAccount, target: SyncTarget, key: str, ledger: int) -> Cell:
        """Where the account of a key goes; one without `per` is found by its name."""
        return Cell(
            target=target,
            key=key if account.per else account.name,
            currency=self._targets.currencies[ledger] if target.currency else "",
            debit_normal=account.debit_normal,
            scale=self._targets.scales[ledger],
        )

    def _at(self, side: AccountSide, key: str) -> Cell:
        return self.cell_of(side.account, side.target, key, side.ledger)


def stored_cells(key: str) -> str:
    """A key as the ledger shows it: itself, or `#` and a hash where it is too long."""
    return account_key(*account_user_data(key))
