"""Writes the rows of one balance column; a row that cannot be written stops no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg import errors, sql

from worker.jobs.sync.cache import BalanceRow, StoredBalance
from worker.jobs.sync.targets import SyncTarget

LOCKED: Final = "the row is locked by another session"
LOCK_WAIT_MS: Final = 200
"""How long the rows of a portion may wait for a lock: then the locked ones are set aside."""

REFUSALS: Final = (errors.IntegrityError, errors.DataError, errors.RaiseException)
"""What is about a row's values: a constraint, a trigger, a type or its range."""

_GIVEN: Final = sql.SQL(
    "unnest(%(keys)s::text[], %(currencies)s::text[], %(balances)s::numeric[], %(times)s::bigint[])"
    " AS given(key, currency, balance, at)"
)
_UPDATE: Final = (
    "UPDATE {table} AS stored SET {balance} = given.balance, {time} = given.at FROM {given}"
    " WHERE {same} AND (stored.{time} IS NULL OR stored.{time} < given.at)"
)
_INSERT: Final = (
    "INSERT INTO {table} AS stored ({row}, {balance}, {time})"
    " SELECT {given_row}, given.balance, given.at FROM {given}"
    " WHERE NOT EXISTS (SELECT FROM {table} AS stored WHERE {same})"
    " ON CONFLICT ({row}) DO UPDATE SET {balance} = excluded.{balance}, {time} = excluded.{time}"
    " WHERE stored.{time} IS NULL OR stored.{time} < excluded.{time}"
)
_COUNT_MISSING: Final = (
    "SELECT count(*) FROM {given} WHERE NOT EXISTS (SELECT FROM {table} AS stored WHERE {same})"
)
_PRESENT: Final = "SELECT given.key, given.currency FROM {given} JOIN {table} AS stored ON {same}"
_STORED: Final = (
    "SELECT given.key, given.currency, stored.{balance}::text, stored.{time}"
    " FROM {given} JOIN {table} AS stored ON {same}"
)
_COUNT_OLDER: Final = (
    "SELECT count(*) FROM {table} AS stored WHERE {balance} IS NOT NULL"
    " AND ({time} IS NULL OR {time} < %(before)s) AND NOT EXISTS ("
    "SELECT FROM ledger_sync_set_aside AS aside WHERE aside.table_name = %(table)s"
    " AND aside.column_name = %(column)s AND aside.key = stored.{key}::text"
    " AND aside.currency = {stored_currency})"
)
_UNLOCKED: Final = _PRESENT + " FOR NO KEY UPDATE OF stored SKIP LOCKED"

Connection = psycopg.Connection[tuple[Any, ...]]


class RefusedRow(NamedTuple):
    """A row that was not written, and why; the reason shows no value."""

    row: BalanceRow
    reason: str


class WrittenRows(NamedTuple):
    """What became of the rows of one column; the others were as new already."""

    moved: int
    without_row: int
    refusals: Sequence[RefusedRow]


class KeyedTarget(NamedTuple):
    """A balance column of a table that is there. key_type: of its key's column."""

    target: SyncTarget
    key_type: str


def write_rows(
    connection: Connection, column: KeyedTarget, rows: Sequence[BalanceRow], *, add_rows: bool
) -> WrittenRows:
    """Write the rows in as few statements as can be, within the transaction that is open.

    Where the database refuses, the rows are halved until the refused ones are alone.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_WAIT_MS}"])
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else the commit would refuse all rows
    moved = without_row = 0
    fits = _FITS.get(column.key_type, _any)
    reason = f"the key is no {column.key_type}"
    refusals = [RefusedRow(row, reason) for row in rows if not fits(row.key)]
    portions = [[row for row in rows if fits(row.key)]]
    while portions:
        portion = portions.pop()
        if not portion:
            continue
        try:
            with connection.transaction():
                written, missing = _write(connection, column, portion, add_rows=add_rows)
        except REFUSALS as error:
            portions += _halves(portion, why(error), refusals)
        except errors.LockNotAvailable:
            locked = _locked(connection, column, portion)
            if locked:
                refusals += [RefusedRow(row, LOCKED) for row in portion if _cell(row) in locked]
                portions.append([row for row in portion if _cell(row) not in locked])
            else:  # by a row that is being added and nobody else can see yet
                portions += _halves(portion, LOCKED, refusals)
        else:
            moved += written
            without_row += missing
    return WrittenRows(moved, without_row, refusals)


def stored_rows(
    connection: Connection, column: KeyedTarget, rows: Sequence[BalanceRow]
) -> dict[tuple[str, str], StoredBalance]:
    """What the rows of these keys and currencies say; those that are not there are left out."""
    fits = _FITS.get(column.key_type, _any)
    parameters = _parameters(column.target, [row for row in rows if fits(row.key)])
    scales = {_cell(row): row.scale if column.target.places else 0 for row in rows}
    return {
        (key, currency): StoredBalance(_minor_units(text, scales[key, currency]), int(time or 0))
        for key, currency, text, time in connection.execute(composed(_STORED, column), parameters)
    }


def count_older(connection: Connection, column: KeyedTarget, timestamp: int) -> int:
    """Rows with a balance that was true before then, without those that are set aside."""
    table, _, name = column.target.text.rpartition(".")
    given = {"before": timestamp, "table": table, "column": name}
    (count,) = connection.execute(composed(_COUNT_OLDER, column), given).fetchone() or (0,)
    return int(count)


def _minor_units(text: str | None, places: int) -> int | None:
    """1230 for `12.30` with two places; None where that is no such amount."""
    try:
        amount = Decimal(text or "").scaleb(places)
    except InvalidOperation:
        return None
    return int(amount) if amount.is_finite() and amount == int(amount) else None


def _halves(
    portion: list[BalanceRow], reason: str, refusals: list[RefusedRow]
) -> list[list[BalanceRow]]:
    if len(portion) == 1:
        refusals.append(RefusedRow(portion[0], reason))
        return []
    middle = len(portion) // 2
    return [portion[middle:], portion[:middle]]


def _write(
    connection: Connection, column: KeyedTarget, rows: Sequence[BalanceRow], *, add_rows: bool
) -> tuple[int, int]:
    """Rows that moved, and keys without a row.

    First what has a row: in people's own table another column may have to be filled in, and
    then an INSERT fails even where a row is there.
    """
    given = _parameters(column.target, rows)
    moved = connection.execute(composed(_UPDATE, column), given).rowcount
    if add_rows:
        return moved + connection.execute(composed(_INSERT, column), given).rowcount, 0
    missing = connection.execute(composed(_COUNT_MISSING, column), given).fetchone()
    return moved, missing[0] if missing else 0


def _locked(
    connection: Connection, column: KeyedTarget, rows: Sequence[BalanceRow]
) -> set[tuple[str, str]]:
    """Keys and currencies whose row another session has locked.

    Raises:
        LockNotAvailable: the whole table is locked.
    """
    given = _parameters(column.target, rows)
    with connection.transaction():
        present = set(connection.execute(composed(_PRESENT, column), given).fetchall())
        unlocked = connection.execute(composed(_UNLOCKED, column), given).fetchall()
    return {(key, currency) for key, currency in present.difference(unlocked)}


def _cell(row: BalanceRow) -> tuple[str, str]:
    return row.key, row.currency


def _parameters(target: SyncTarget, rows: Sequence[BalanceRow]) -> dict[str, list[Any]]:
    return {
        "keys": [row.key for row in rows],
        "currencies": [row.currency for row in rows],
        "balances": [_in_units(row) if target.places else row.balance for row in rows],
        "times": [row.timestamp for row in rows],
    }


def _in_units(row: BalanceRow) -> Decimal:
    """12.30 for 1230 of a currency with two decimal places."""
    return Decimal(row.balance).scaleb(-row.scale)


def composed(template: LiteralString, column: KeyedTarget) -> sql.Composed:
    """A statement over the columns of a target."""
    target = column.target
    given = [sql.SQL("given.key::{}").format(sql.SQL(_CASTS[column.key_type]))]
    row = [target.key]
    if target.currency:
        given.append(sql.SQL("given.currency").format())
        row.append(target.currency)
    pairs = zip(row, given, strict=True)
    return sql.SQL(template).format(
        table=sql.Identifier(target.table),
        key=sql.Identifier(target.key),
        balance=sql.Identifier(target.balance),
        time=sql.Identifier(target.time),
        row=sql.SQL(", ").join(map(sql.Identifier, row)),
        given=_GIVEN,
        stored_currency=sql.Identifier("stored", target.currency)
        if target.currency
        else sql.Literal(""),
        given_row=sql.SQL(", ").join(given),
        same=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("stored", name), value)
            for name, value in pairs
        ),
    )


def _any(_: str) -> bool:
    return True


def _is_integer(key: str) -> bool:
    return key.removeprefix("-").isdecimal() and key.isascii() and str(int(key)) == key


def _is_uuid(key: str) -> bool:
    try:
        return str(UUID(key)) == key
    except ValueError:
        return False


_CASTS: Final[Mapping[str, LiteralString]] = {
    "text": "text",
    "character varying": "text",
    "uuid": "uuid",
    "bigint": "bigint",
    "integer": "bigint",
}
"""What a key is compared as, by the type of its column."""

_FITS: Final[Mapping[str, Callable[[str], bool]]] = {
    "uuid": _is_uuid,
    "bigint": _is_integer,
    "integer": _is_integer,
}
"""Is a key written as PostgreSQL writes it? Else `7` and `07` would be one row."""


def why(error: psycopg.Error) -> str:
    """What happened, without what a row or the connection string holds."""
    diagnosis = error.diag
    if (error.sqlstate or "").startswith("42") and diagnosis.message_primary:
        return diagnosis.message_primary  # names of tables and columns, or a right that is missing
    if error.sqlstate is None:
        said = _SAID.findall(str(error))
        return str(said[-1]).strip() if said else "no connection"
    if isinstance(error, errors.LockNotAvailable):
        return "the table is locked by another session"
    column = ".".join(name for name in (diagnosis.table_name, diagnosis.column_name) if name)
    parts = [_words(type(error).__name__), column, diagnosis.constraint_name or ""]
    return ", ".join(part for part in parts if part)


_SAID: Final = re.compile(r'(?:port \d+|socket "[^"]*") failed: (?:FATAL: +)?([^\n]+)')
"""libpq's own words about a server that it could reach or not; the rest could hold the string."""


def _words(name: str) -> str:
    """`NotNullViolation` as words."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
