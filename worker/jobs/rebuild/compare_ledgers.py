"""Compares two ledgers, every field of every transfer and account but timestamps and positions.

An account without any movement may be on one side only: a refused event leaves it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from worker.config.sections import EMBEDDED
from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.ids import hex_id
from worker.core.iso_times import NANOSECONDS
from worker.core.ports import Ledger
from worker.core.wire import Account, AccountFlags, Transfer, transfer_kind
from worker.jobs.duckdb_rows import Database, open_database, stage_rows
from worker.jobs.progress import Progress
from worker.ledger.open import opened_ledger
from worker.ledger.scan import all_accounts, all_transfers

LISTED_MAX: Final = 10_000
"""Differences that are listed; all are counted."""

TRANSFER: Final = (
    "debit_account_id",
    "credit_account_id",
    "amount",
    "pending_id",
    "user_data_128",
    "user_data_32",
    "timeout",
    "ledger",
    "code",
    "flags",
    "state",
)
ACCOUNT: Final = (
    "debits_pending",
    "debits_posted",
    "credits_pending",
    "credits_posted",
    "user_data_128",
    "user_data_64",
    "user_data_32",
    "ledger",
    "code",
    "flags",
)
IDS: Final = frozenset({"debit_account_id", "credit_account_id", "pending_id", "user_data_128"})
BALANCES: Final = ACCOUNT[:4]

STATES: Final = """
UPDATE transfer_{side} SET state = CASE
  WHEN id IN (SELECT pending_id FROM transfer_{side} WHERE state = 'post') THEN 'posted'
  WHEN id IN (SELECT pending_id FROM transfer_{side} WHERE state = 'void') THEN 'voided'
  WHEN expires_ns > 0 AND expires_ns <= $now THEN 'expired' ELSE 'pending' END
WHERE state = 'pending'
"""
ONE_SIDED: Final = """
INSERT INTO difference
SELECT '{what}', id, '{there}', '', '' FROM {what}_{here} h ANTI JOIN {what}_{other} USING (id)
{but}
"""
FIELD: Final = """
INSERT INTO difference
SELECT '{what}', id, '{field}', a.{field}, b.{field} FROM {what}_a a JOIN {what}_b b USING (id)
WHERE a.{field} <> b.{field}
"""
IDLE: Final = """
SELECT count(*) FROM (
  SELECT id FROM account_a a ANTI JOIN account_b USING (id) WHERE a.idle
  UNION ALL SELECT id FROM account_b b ANTI JOIN account_a USING (id) WHERE b.idle)
"""


class FieldDifference(NamedTuple):
    """One field of a transfer or account.

    field: `missing` where this ledger lacks it, `added` where the other does.
    ours: in the ledger of the settings.
    theirs: in the one it is compared with.
    """

    what: str
    id: str
    field: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class LedgersCompared:
    """What was compared.

    idle: accounts on one side only that nothing ever moved on.
    """

    other: str
    transfers: int
    accounts: int
    idle: int
    differences: int
    items: list[FieldDifference]


def compare_ledgers(
    settings: Settings, against: str, *, progress: Progress, cluster_id: int | None = None
) -> LedgersCompared:
    """Compare the ledger of the settings with another one.

    against: as in `ledger.addresses`. cluster_id: its own; None for that of the settings.

    Raises:
        UsageError: there is no such ledger, or both are the same.
        DependencyUnavailable: one did not answer in time.
    """
    for name, addresses in (("ledger.addresses", settings.ledger.addresses), (OPTION, against)):
        _refuse_absent(name, addresses)
    if settings.ledger.addresses.strip() == against.strip():
        raise UsageError(f"{OPTION} {against} is the ledger of the settings itself")
    with open_database() as database:
        own = settings.ledger.cluster_id
        other = own if cluster_id is None else cluster_id
        for side, addresses, number in (
            ("a", settings.ledger.addresses, own),
            ("b", against, other),
        ):
            named = {"addresses": addresses, "cluster_id": number}
            with opened_ledger(settings.ledger.model_copy(update=named)) as ledger:
                _stage(database, side, ledger, progress)
        return _compared(database, against)


OPTION: Final = "--verify-against"


def _refuse_absent(name: str, addresses: str) -> None:
    kind, _, file = addresses.strip().partition(":")
    if kind == EMBEDDED and not file:
        raise UsageError(f"{name}: an in-memory ledger is new and holds nothing to compare")
    if kind == EMBEDDED and not Path(file).is_file():
        raise UsageError(f"{name}: there is no ledger file {file}")


def _stage(database: Database, side: str, ledger: Ledger, progress: Progress) -> None:
    transfers = progress.over(all_transfers(ledger), "transfers")
    columns = {"id": "VARCHAR"} | dict.fromkeys(TRANSFER, "VARCHAR") | {"expires_ns": "BIGINT"}
    _table(database, f"transfer_{side}", columns, map(_transfer_row, transfers))
    columns = {"id": "VARCHAR"} | dict.fromkeys(ACCOUNT, "VARCHAR") | {"idle": "BOOLEAN"}
    _table(database, f"account_{side}", columns, map(_account_row, all_accounts(ledger)))
    database.execute(STATES.format(side=side), {"now": time.time_ns()})


def _table(
    database: Database, name: str, columns: dict[str, str], rows: Iterator[tuple[object, ...]]
) -> None:
    declared = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    database.execute(f"CREATE TABLE {name} ({declared})")
    stage_rows(database, name, columns, rows)


def _transfer_row(transfer: Transfer) -> tuple[object, ...]:
    """state: for now its kind; of a reservation it is found once all are there."""
    kind = transfer_kind(transfer.flags)
    expires = transfer.timestamp + transfer.timeout * NANOSECONDS if transfer.timeout else 0
    fields = [_text(name, getattr(transfer, name)) for name in TRANSFER[:-1]]
    return (hex_id(transfer.id), *fields, kind, expires)


def _account_row(account: Account) -> tuple[object, ...]:
    idle = not any(getattr(account, name) for name in BALANCES) and not (
        account.flags & AccountFlags.CLOSED
    )
    return (hex_id(account.id), *(_text(name, getattr(account, name)) for name in ACCOUNT), idle)


def _text(name: str, value: int) -> str:
    return hex_id(value) if name in IDS and value else str(value)


def _compared(database: Database, against: str) -> LedgersCompared:
    database.execute(
        "CREATE TABLE difference (what VARCHAR, id VARCHAR, field VARCHAR, ours VARCHAR,"
        " theirs VARCHAR)"
    )
    for what, fields in (("transfer", TRANSFER), ("account", ACCOUNT)):
        but = "WHERE NOT h.idle" if what == "account" else ""
        for there, here, other in (("added", "a", "b"), ("missing", "b", "a")):
            database.execute(
                ONE_SIDED.format(what=what, there=there, here=here, other=other, but=but)
            )
        for field in fields:
            database.execute(FIELD.format(what=what, field=field))
    return LedgersCompared(
        other=against,
        transfers=_count(database, "SELECT count(*) FROM transfer_a"),
        accounts=_count(database, "SELECT count(*) FROM account_a"),
        idle=_count(database, IDLE),
        differences=_count(database, "SELECT count(*) FROM difference"),
        items=[
            FieldDifference(*row)
            for row in database.execute(
                f"SELECT * FROM difference ORDER BY what DESC, id, field LIMIT {LISTED_MAX}"  # noqa: S608 - ours
            ).fetchall()
        ],
    )


def _count(database: Database, query: str) -> int:
    (found,) = database.execute(query).fetchall()[0]
    return int(found)
