"""The cache in PostgreSQL, through psycopg 3, one transaction a batch.

The statements themselves move a row forward in ledger time only. No message shows the connection
string or a value of a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final, LiteralString, TypeVar

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    wait_random_exponential,
)

from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.ids import FAMILY_KEY_BYTES
from worker.jobs.sync.cache import BalanceRow, WriteResult
from worker.jobs.sync.cells import stored_cells
from worker.jobs.sync.schema import SchemaProblem, Table, schema_problems
from worker.jobs.sync.targets import SyncTarget

CONNECT_SECONDS_MAX: Final = 5
RETRY_WAIT_SECONDS_MAX: Final = 2.0
KEYS_PAGE: Final = 5000

CONNECTION: Final[Mapping[str, Any]] = {
    "fallback_application_name": "ledger-worker sync",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""A connection that went silent is noticed within half a minute."""

_SAID: Final = re.compile(r'(?:port \d+|socket "[^"]*") failed: (?:FATAL: +)?([^\n]+)')
"""libpq's own words about a server that it could reach or not; the rest could hold the string."""

_GIVEN: Final = sql.SQL(
    "unnest(%(keys)s::text[], %(currencies)s::text[], %(balances)s::numeric[], %(times)s::bigint[])"
    " AS given(key, currency, balance, at)"
)
_UPDATE: Final = (
    "UPDATE {table} AS held SET {balance} = given.balance, {time} = given.at FROM {given}"
    " WHERE {same} AND (held.{time} IS NULL OR held.{time} < given.at)"
)
_INSERT: Final = (
    "INSERT INTO {table} AS held ({row}, {balance}, {time})"
    " SELECT {given_row}, given.balance, given.at FROM {given}"
    " WHERE NOT EXISTS (SELECT FROM {table} AS held WHERE {same})"
    " ON CONFLICT ({row}) DO UPDATE SET {balance} = excluded.{balance}, {time} = excluded.{time}"
    " WHERE held.{time} IS NULL OR held.{time} < excluded.{time}"
)
_COUNT_MISSING: Final = (
    "SELECT count(*) FROM {given} WHERE NOT EXISTS (SELECT FROM {table} AS held WHERE {same})"
)
_LONG_KEYS: Final = "SELECT DISTINCT {key} FROM {table} WHERE octet_length({key}) > %(bytes)s"

_COLUMNS: Final = """
    SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""
_UNIQUE: Final = """
    SELECT array_agg(attname::text) FROM pg_index
    JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey[0 : indnkeyatts - 1])
    WHERE indrelid = to_regclass(%s) AND indisunique AND indisvalid AND indimmediate
      AND indpred IS NULL AND indexprs IS NULL
    GROUP BY indexrelid
"""

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")
_log = structlog.get_logger(__name__)


class PostgresCache:
    """A `BalanceCache` that connects at the first call, and again when needed.

    add_rows: whether a key without a row gets one.
    stopped: ends the waiting for a database that is away.
    """

    def __init__(
        self,
        dsn: str,
        *,
        deadline_seconds: float,
        add_rows: bool = True,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._dsn = _understood(dsn)
        self._deadline_seconds = deadline_seconds
        self._add_rows = add_rows
        self._stopped = stopped
        self._open: Connection | None = None

    # The port

    def write(self, rows: Mapping[SyncTarget, Sequence[BalanceRow]]) -> WriteResult:
        """See `BalanceCache`."""

        def work(connection: Connection) -> WriteResult:
            counts = [self._write(connection, *batch) for batch in sorted(rows.items())]
            return WriteResult(*map(sum, zip(*counts, strict=True))) if counts else WriteResult()

        return self._do(work)

    def long_keys(self, target: SyncTarget, hashed: Collection[str]) -> dict[str, str]:
        """See `BalanceCache`; reads every long key of the table, page by page."""

        def work(connection: Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            with connection.cursor("long_keys") as cursor:
                cursor.itersize = KEYS_PAGE
                cursor.execute(_composed(_LONG_KEYS, target), {"bytes": FAMILY_KEY_BYTES})
                for (key,) in cursor:
                    cell = stored_cells(key)
                    if cell in hashed:
                        found[cell] = key
            return found

        return self._do(work)

    def close(self) -> None:
        """Release the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # Tables

    def lacking(self, targets: Sequence[SyncTarget]) -> list[SchemaProblem]:
        """What the tables of these targets lack.

        Raises:
            UsageError: a table is there, and cannot be what the cache needs.
        """
        tables = groupby(sorted(targets), key=lambda target: target.table)
        found: list[SchemaProblem] = []
        for name, grouped in tables:
            facts = self._do(partial(_facts, table=name))
            found += schema_problems(list(grouped), facts, add_rows=self._add_rows)
        return found

    def make(self, lacks: Sequence[SchemaProblem]) -> None:
        """Make what is missing, all or none."""

        def work(connection: Connection) -> None:
            for lack in lacks:
                connection.execute(lack.statement.encode())

        self._do(work)

    # Rows

    def _write(
        self, connection: Connection, target: SyncTarget, rows: Sequence[BalanceRow]
    ) -> tuple[int, int]:
        """Rows that moved, and keys without a row.

        First what has a row: in people's own table another column may have to be filled in, and
        then an INSERT fails even where a row is there.
        """
        keys, currencies, balances, times = (list(column) for column in zip(*rows, strict=True))
        given = {"keys": keys, "currencies": currencies, "balances": balances, "times": times}
        moved = connection.execute(_composed(_UPDATE, target), given).rowcount
        if self._add_rows:
            return moved + connection.execute(_composed(_INSERT, target), given).rowcount, 0
        missing = connection.execute(_composed(_COUNT_MISSING, target), given).fetchone()
        return moved, missing[0] if missing else 0

    # The connection

    def _do(self, work: Callable[[Connection], T]) -> T:
        """One transaction; again, on a new connection, while the database is away.

        It may have been committed before the connection broke: the same rows once more move
        nothing, and what was made is found there.
        """
        retrying = Retrying(
            retry=retry_if_exception(_passing),
            stop=self._gives_up,
            wait=wait_random_exponential(multiplier=0.1, max=RETRY_WAIT_SECONDS_MAX),
            before_sleep=_tell,
            reraise=True,
        )
        try:
            found: T = retrying(self._once, work)
        except psycopg.Error as error:
            raise self._named(error) from None
        return found

    def _gives_up(self, state: RetryCallState) -> bool:
        return self._stopped() or (state.seconds_since_start or 0) >= self._deadline_seconds

    def _once(self, work: Callable[[Connection], T]) -> T:
        connection = self._connection()
        try:
            with connection.transaction():
                limit = f"{self._deadline_seconds * 1000:.0f}"
                connection.execute("SELECT set_config('statement_timeout', %s, true)", [limit])
                return work(connection)
        except psycopg.Error as error:
            if _passing(error):
                self.close()
            raise

    def _connection(self) -> Connection:
        if self._open is None or self._open.closed:
            wait = min(CONNECT_SECONDS_MAX, max(2, round(self._deadline_seconds)))
            silent_ms = round(self._deadline_seconds * 1000)
            self._open = psycopg.connect(
                self._dsn,
                autocommit=True,
                prepare_threshold=None,  # a pooler between us may not know prepared statements
                connect_timeout=wait,
                tcp_user_timeout=silent_ms,
                **CONNECTION,
            )
        return self._open

    def _named(self, error: psycopg.Error) -> DependencyUnavailable | UsageError:
        if _passing(error):
            return DependencyUnavailable(
                f"PostgreSQL (sync.dsn) could not be reached for {self._deadline_seconds:g} s:"
                f" {_why(error)}"
            )
        advice = ""
        if isinstance(error, psycopg.errors.NotNullViolation):
            advice = "; sync.add_rows = false leaves keys without a row out"
        return UsageError(f"PostgreSQL refused: {_why(error)}{advice}")


def _understood(dsn: str) -> str:
    """The string, if libpq would take it; what is wrong with it could be the password."""
    if not dsn:
        raise UsageError(
            "sync.dsn is not set: name PostgreSQL in a file that LEDGER_WORKER_SYNC__DSN_FILE names"
        )
    try:
        conninfo_to_dict(dsn)
    except psycopg.Error:
        raise UsageError(
            "sync.dsn is no connection string: postgresql://user:password@host/database, with what"
            " is special in an address written as %XX, or libpq's key=value"
        ) from None
    return dsn


def _composed(template: LiteralString, target: SyncTarget) -> sql.Composed:
    """A statement over the columns of a target."""
    row = [column for column in (target.key, target.currency) if column]
    given = [
        sql.Identifier("given", name) for name, _ in zip(("key", "currency"), row, strict=False)
    ]
    pairs = zip(row, given, strict=True)
    return sql.SQL(template).format(
        table=sql.Identifier(target.table),
        key=sql.Identifier(target.key),
        balance=sql.Identifier(target.balance),
        time=sql.Identifier(target.time),
        row=sql.SQL(", ").join(map(sql.Identifier, row)),
        given=_GIVEN,
        given_row=sql.SQL(", ").join(given),
        same=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("held", column), value)
            for column, value in pairs
        ),
    )


def _facts(connection: Connection, *, table: str) -> Table:
    """What the catalogue says of a table, found as the statements find it: by the search path."""
    name = [sql.Identifier(table).as_string(connection)]
    columns = {str(column): str(kind) for column, kind in connection.execute(_COLUMNS, name)}
    unique = [frozenset(names) for (names,) in connection.execute(_UNIQUE, name)]
    return Table(columns, unique)


def _passing(error: BaseException) -> bool:
    """May the same succeed later? Away, restarting, full, locked, or a standby for a moment."""
    return isinstance(
        error,
        psycopg.OperationalError | psycopg.InterfaceError | psycopg.errors.ReadOnlySqlTransaction,
    )


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, psycopg.Error):
        _log.warning("postgres_waiting", why=_why(error))


def _why(error: psycopg.Error) -> str:
    """What happened, without what a row or the connection string holds."""
    diagnosis = error.diag
    if isinstance(error, psycopg.ProgrammingError) and diagnosis.message_primary:
        return diagnosis.message_primary  # names of tables and columns, or a right that is missing
    if error.sqlstate is None:
        said = _SAID.findall(str(error))
        return str(said[-1]).strip() if said else "no connection"
    column = ".".join(name for name in (diagnosis.table_name, diagnosis.column_name) if name)
    parts = [_words(type(error).__name__), column, diagnosis.constraint_name or ""]
    return ", ".join(part for part in parts if part)


def _words(name: str) -> str:
    """`NotNullViolation` as words."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
