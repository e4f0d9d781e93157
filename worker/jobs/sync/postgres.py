"""The cache in PostgreSQL, through psycopg 3, one transaction a batch.

The statements themselves move a row forward in ledger time only. No message shows the connection
string or a value of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    wait_random_exponential,
)

from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.ids import FAMILY_KEY_BYTES
from worker.core.ports import TopicPartition
from worker.jobs.sync.cache import BalanceRow, SetAsideRow, StoredBalance, WriteResult
from worker.jobs.sync.cells import stored_cells
from worker.jobs.sync.own_tables import (
    count_set_aside,
    due_rows,
    forget_rows,
    forget_set_aside,
    note_refusals,
    own_tables_lacking,
    save_offsets,
    saved_offsets,
)
from worker.jobs.sync.portions import (
    KeyedTarget,
    composed,
    count_older,
    stored_rows,
    why,
    write_rows,
)
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

_LONG_KEYS: Final = (
    "SELECT DISTINCT {key}::text FROM {table} WHERE octet_length({key}::text) > %(bytes)s"
)

_COLUMNS: Final = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""
_KIND: Final = """
    SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
        WHEN 'f' THEN 'foreign table' ELSE '' END
    FROM pg_class WHERE oid = to_regclass(%s)
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

    group: whose offsets are kept with the rows.
    add_rows: whether a key without a row gets one.
    stopped: ends the waiting for a database that is away.
    """

    def __init__(
        self,
        dsn: str,
        *,
        deadline_seconds: float,
        group: str = "",
        add_rows: bool = True,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._dsn = _understood(dsn)
        self._deadline_seconds = deadline_seconds
        self._group = group
        self._add_rows = add_rows
        self._some_set_aside = True
        self._key_types: dict[str, str] = {}
        self._stopped = stopped
        self._open: Connection | None = None

    # The port

    def write(
        self,
        rows: Mapping[SyncTarget, Sequence[BalanceRow]],
        offsets: Mapping[TopicPartition, int] = MappingProxyType({}),
    ) -> WriteResult:
        """See `BalanceCache`; rows, what is set aside and offsets in one transaction."""

        def work(connection: Connection) -> WriteResult:
            counts = [self._write(connection, *batch) for batch in sorted(rows.items())]
            save_offsets(connection, self._group, offsets)
            return WriteResult(*map(sum, zip(*counts, strict=True))) if counts else WriteResult()

        return self._do(work)

    def stored(
        self, target: SyncTarget, rows: Sequence[BalanceRow]
    ) -> Mapping[tuple[str, str], StoredBalance]:
        """See `BalanceCache`."""
        return self._do(lambda open_: stored_rows(open_, self._column(open_, target), rows))

    def count_older(self, target: SyncTarget, timestamp: int) -> int:
        """See `BalanceCache`."""
        return self._do(lambda open_: count_older(open_, self._column(open_, target), timestamp))

    def offsets(self) -> Mapping[TopicPartition, int]:
        """See `BalanceCache`."""
        return self._do(partial(saved_offsets, group=self._group))

    def set_aside(
        self, *, tried_before_seconds: float, locked_before_seconds: float
    ) -> Sequence[SetAsideRow]:
        """See `BalanceCache`."""
        due = partial(
            due_rows,
            tried_before_seconds=tried_before_seconds,
            locked_before_seconds=locked_before_seconds,
        )
        return self._do(due)

    def set_aside_count(self) -> int:
        """See `BalanceCache`."""
        self._some_set_aside = (count := self._do(count_set_aside)) > 0
        return count

    def forget(self, rows: Collection[SetAsideRow]) -> None:
        """See `BalanceCache`."""
        self._do(partial(forget_set_aside, rows=rows))

    def long_keys(self, target: SyncTarget, hashed: Collection[str]) -> dict[str, str]:
        """See `BalanceCache`; reads every long key of the table, page by page."""

        def work(connection: Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            with connection.cursor("long_keys") as cursor:
                cursor.itersize = KEYS_PAGE
                column = self._column(connection, target)
                cursor.execute(composed(_LONG_KEYS, column), {"bytes": FAMILY_KEY_BYTES})
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
        found: list[SchemaProblem] = []
        tables = groupby(sorted(targets), key=lambda target: target.table)
        for name, grouped in tables:
            facts = self._do(partial(_facts, table=name))
            found += schema_problems(list(grouped), facts, add_rows=self._add_rows)
        return found + self._do(own_tables_lacking)

    def make(self, lacks: Sequence[SchemaProblem]) -> None:
        """Make what is missing, all or none."""

        def work(connection: Connection) -> None:
            for lack in lacks:
                connection.execute(lack.statement.encode())

        self._do(work)

    # Rows

    def _write(
        self, connection: Connection, target: SyncTarget, rows: Sequence[BalanceRow]
    ) -> WriteResult:
        column = self._column(connection, target)
        written = write_rows(connection, column, rows, add_rows=self._add_rows)
        refused = {refusal.row for refusal in written.refusals}
        if self._some_set_aside:
            done = ((row.key, row.currency) for row in rows if row not in refused)
            forget_rows(connection, target.text, done)
        note_refusals(connection, target, written.refusals)
        self._some_set_aside |= bool(refused)
        return WriteResult(written.moved, written.without_row, len(refused))

    def _column(self, connection: Connection, target: SyncTarget) -> KeyedTarget:
        """With the type of its key's column, asked for once."""
        kind = self._key_types.get(target.table)
        if kind is None:
            kind = _facts(connection, table=target.table).type_of(target.key) or "text"
            self._key_types[target.table] = kind
        return KeyedTarget(target, kind)

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
            did = "could not be reached" if error.sqlstate is None else "took nothing"
            return DependencyUnavailable(
                f"PostgreSQL (sync.dsn) {did} for {self._deadline_seconds:g} s: {why(error)}"
            )
        if _by_a_pooler(error):
            return UsageError(
                "sync.dsn has `options`, which a pooler between us does not take: set the search"
                " path of the role instead (ALTER ROLE … SET search_path = …)"
            )
        return UsageError(f"PostgreSQL refused: {why(error)}")


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


def _facts(connection: Connection, *, table: str) -> Table:
    """What the catalogue says of a table, found as the statements find it: by the search path."""
    name = [sql.Identifier(table).as_string(connection)]
    columns = {str(column): str(kind) for column, kind in connection.execute(_COLUMNS, name)}
    unique = [frozenset(names) for (names,) in connection.execute(_UNIQUE, name)]
    (kind,) = connection.execute(_KIND, name).fetchone() or ("",)
    return Table(columns, unique, kind)


def _passing(error: BaseException) -> bool:
    """May the same succeed later? Away, restarting, full, locked, or a standby for a moment."""
    kinds = psycopg.OperationalError | psycopg.InterfaceError | errors.ReadOnlySqlTransaction
    return isinstance(error, kinds) and not _by_a_pooler(error)


def _by_a_pooler(error: BaseException) -> bool:
    """Refused at the start of a session for its `options`, as pgbouncer does."""
    return "unsupported startup parameter" in str(error)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, psycopg.Error):
        _log.warning("postgres_waiting", why=why(error))
