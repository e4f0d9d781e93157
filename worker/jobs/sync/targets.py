"""Which balance is copied where: the rulebook's `sync_to` and the settings, read together.

No two accounts share a cell. A row is one key, or one key and currency; its balance column holds
one declared account's balance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from worker.config.sections import SyncSettings
from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.rulebook import DeclaredAccount, Rulebook

MAJOR: Final = "major"


class SyncTarget(NamedTuple):
    """One balance column and the columns beside it.

    currency: empty where a key has one row.
    places: decimal places of a balance in units of the currency (12.30); 0: in minor units (1230).
    """

    table: str
    key: str
    currency: str
    balance: str
    time: str
    places: int = 0

    @property
    def text(self) -> str:
        """As the rulebook writes it."""
        return f"{self.table}.{self.balance}"


@dataclass(frozen=True, slots=True)
class SyncTargets:
    """All that is copied.

    accounts: declared account and its column, by the account's name.
    currencies: by ledger; an account on a ledger that is not here is not copied.
    scales: decimal places by ledger.
    """

    accounts: Mapping[str, tuple[DeclaredAccount, SyncTarget]]
    currencies: Mapping[int, str]
    scales: Mapping[int, int]

    @property
    def columns(self) -> list[SyncTarget]:
        """Every column that is written, once."""
        return sorted({target for _, target in self.accounts.values()})


def find_targets(rulebook: Rulebook, settings: SyncSettings) -> SyncTargets:
    """What this rulebook wants copied.

    Raises:
        UsageError: nothing, or two accounts into one cell, or a currency that it has no ledger for.
    """
    currencies = _currencies(rulebook, settings.currency)
    scales = {number: rulebook.ledgers[name].scale for number, name in currencies.items()}
    accounts = {
        account.name: (account, _target(account, settings, scales.values()))
        for account in rulebook.accounts.values()
        if account.sync_to
    }
    if not accounts:
        raise UsageError("no account of the rulebook has `sync_to`: there is nothing to copy")
    _refuse_shared_cells(accounts.values())
    _refuse_unused_units(settings, accounts.values())
    return SyncTargets(accounts, currencies, scales)


def group_of(settings: Settings) -> str:
    """The group that follows the outbox.

    Raises:
        UsageError: it is the workers' own.
    """
    group = settings.sync.group_id or f"{settings.kafka.group_id}-sync"
    if group == settings.kafka.group_id:
        raise UsageError("sync.group_id is the workers' own group (kafka.group_id): name another")
    return group


def _currencies(rulebook: Rulebook, only: str) -> dict[int, str]:
    found = {
        currency.ledger: name
        for name, currency in rulebook.ledgers.items()
        if only.lower() in {"", name}
    }
    if not found:
        raise UsageError(f"sync.currency: the rulebook has no ledger for the currency {only!r}")
    return found


def _target(
    account: DeclaredAccount, settings: SyncSettings, scales: Collection[int]
) -> SyncTarget:
    """scales: decimal places of each currency that is copied."""
    table, balance = account.sync_to.split(".")
    target = SyncTarget(
        table=table,
        key=settings.key_columns.get(table, "id"),
        currency=settings.currency_column if len(scales) > 1 else "",
        balance=balance,
        time=balance + settings.time_suffix,
        places=max(scales) if settings.units.get(account.sync_to) == MAJOR else 0,
    )
    if "" in {table, balance}:
        raise UsageError(f"{account.name}: `sync_to` {account.sync_to!r} is no table and column")
    columns = target[1:5]
    if len({*columns}) < len(columns):
        raise UsageError(
            f"{account.name}: key, currency, balance and time of {target.text} collide"
        )
    return target


def _refuse_shared_cells(accounts: Iterable[tuple[DeclaredAccount, SyncTarget]]) -> None:
    """Single accounts have rows by their own names, so some may share a column; a family not."""
    sharing: dict[SyncTarget, list[DeclaredAccount]] = defaultdict(list)
    for account, target in accounts:
        sharing[target].append(account)
    for target, those in sharing.items():
        if len(those) > 1 and any(account.per for account in those):
            names = " and ".join(account.name for account in those)
            raise UsageError(f"{names} both have `sync_to: {target.text}`, and keys may meet there")
    written = [
        column
        for target in sharing
        for column in ((target.table, target.balance), (target.table, target.time))
    ]
    twice = {column for column in written if written.count(column) > 1}
    if twice:
        raise UsageError(f"two accounts write the column {'.'.join(min(twice))}")


def _refuse_unused_units(
    settings: SyncSettings, accounts: Iterable[tuple[DeclaredAccount, SyncTarget]]
) -> None:
    known = {target.text for _, target in accounts}
    for text in settings.units:
        if text not in known:
            raise UsageError(
                f"sync.units: no account of the rulebook has `sync_to: {text}`;"
                f" there are {', '.join(sorted(known))}"
            )
