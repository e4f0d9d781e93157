"""A DuckDB database with a memory limit that spills to disk, and rows staged into it in bulk."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, TypeAlias

from worker.core.optional import optional_packages

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    Database: TypeAlias = DuckDBPyConnection
else:
    Database = object

MEMORY_LIMIT: Final = "512MB"
TEXT_MAX: Final = 16_384
"""Characters of one text: a line that DuckDB reads has two megabytes at most."""

STAGED_ROWS: Final = 20_000
"""Rows of one staging file."""

NO_NULL: Final = "\x01NULL"
"""What no field holds, so that an empty text stays one."""


@contextmanager
def open_database(folder: Path | None = None) -> Iterator[Database]:
    """An empty database in a folder of its own, which is removed afterwards.

    folder: where to make that one; None takes the system's temporary folder.

    Raises:
        UsageError: DuckDB is not installed.
    """
    with optional_packages("this command", extra="reconcile"):
        import duckdb  # noqa: PLC0415 - heavy, and optional
    with TemporaryDirectory(prefix="ledger-worker-", dir=folder) as temporary:
        settings = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": f"{temporary}/spill",
            "preserve_insertion_order": "true",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        database = duckdb.connect(f"{temporary}/work.duckdb", config=dict(settings))
        try:
            yield database
        finally:
            database.close()


def columns_sql(columns: Mapping[str, str]) -> str:
    """The columns of a CREATE TABLE; a name may be one of SQL's words (`offset`)."""
    return ", ".join(f'"{name}" {kind}' for name, kind in columns.items())


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def stage_rows(
    database: Database, table: str, columns: Mapping[str, str], rows: Iterable[Iterable[object]]
) -> int:
    """Append rows to a table by way of CSV files, the quickest way in; how many there were.

    A row holds texts and numbers; None is not among them. NUL becomes a space, a lone surrogate a
    question mark, and a text is cut after `TEXT_MAX` characters: nobody knows how long it may be.
    """
    stage = RowBuffer(database, table, columns)
    for row in rows:
        stage.add(row)
    stage.flush()
    return stage.count


def _short(row: Iterable[object]) -> list[object]:
    """The row without what makes its line longer than DuckDB reads."""
    return [
        f"{cell[:TEXT_MAX]}…" if isinstance(cell, str) and len(cell) > TEXT_MAX else cell
        for cell in row
    ]


class RowBuffer:
    """Rows on their way into one table; `flush` when the last one has come."""

    def __init__(self, database: Database, table: str, columns: Mapping[str, str]) -> None:
        self._database = database
        self._table = table
        self._columns = dict(columns)
        self._rows: list[tuple[object, ...]] = []
        self.count = 0

    @property
    def taken(self) -> int:
        """How many rows have come."""
        return self.count + len(self._rows)

    def add(self, row: Iterable[object]) -> None:
        """Take one more row."""
        self._rows.append(tuple(row))
        if len(self._rows) >= STAGED_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what has come so far into the table."""
        if not self._rows:
            return
        with TemporaryDirectory(prefix="ledger-worker-stage-") as folder:
            path = Path(folder) / "rows.csv"
            text = io.StringIO(newline="")
            csv.writer(text).writerows(map(_short, self._rows))
            with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
                file.write(text.getvalue().replace("\0", " "))
            kinds = ", ".join(f"{quoted(n)}: {quoted(k)}" for n, k in self._columns.items())
            self._database.execute(
                f"INSERT INTO {self._table} SELECT * FROM read_csv({quoted(str(path))},"  # noqa: S608 - names and paths of ours
                f" header = false, auto_detect = false, delim = ',', quote = '\"', escape = '\"',"
                f" new_line = '\\r\\n', nullstr = {quoted(NO_NULL)},"
                f" columns = {{{kinds}}})"
            )
        self.count += len(self._rows)
        self._rows = []
