"""The result as files: CSV, Parquet, JSON or HTML. A file appears only when it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from worker.core.errors import UsageError
from worker.jobs.duckdb_rows import Database, quoted
from worker.jobs.reconcile.comparison import ReconcileResult
from worker.jobs.reconcile.page import write_page
from worker.jobs.text_tables import json_text

PORTION: Final = 2000

MAJOR: Final = """
CREATE OR REPLACE MACRO major(a, s) AS CASE WHEN a IS NULL THEN ''
  WHEN coalesce(s, 0) = 0 THEN CAST(a AS VARCHAR)
  ELSE CASE WHEN a < 0 THEN '-' ELSE '' END
    || CAST(abs(a) // CAST(pow(10, s) AS HUGEINT) AS VARCHAR) || '.'
    || lpad(CAST(abs(a) % CAST(pow(10, s) AS HUGEINT) AS VARCHAR), CAST(s AS INTEGER), '0') END;
"""
SHOWN: Final = """
SELECT i.class, i.differs, coalesce(i.currency, '') AS currency,
  major(i.expected_amount, c.scale) AS expected_amount,
  major(i.actual_amount, c.scale) AS actual_amount,
  coalesce(expected_debit, '') AS expected_debit, coalesce(expected_credit, '') AS expected_credit,
  coalesce(actual_debit, '') AS actual_debit, coalesce(actual_credit, '') AS actual_credit,
  coalesce(event_id, '') AS event_id, coalesce(event_type, '') AS event_type,
  coalesce(leg, '') AS leg, coalesce(transfer_id, '') AS transfer_id,
  coalesce(other_transfer_id, '') AS other_transfer_id, coalesce(position, '') AS position,
  coalesce(strftime(make_timestamp(time_ms * 1000), '%Y-%m-%d'), '') AS day, detail
FROM items i LEFT JOIN currencies c ON c.currency = i.currency
ORDER BY i.differs DESC, i.class, time_ms, event_id, leg, transfer_id, position
"""


TEXTS: Final = (
    *("currency", "expected_debit", "expected_credit", "actual_debit", "actual_credit"),
    *("event_id", "event_type", "leg", "transfer_id", "other_transfer_id", "position", "detail"),
)
"""The columns that hold texts from outside."""

DEFUSED: Final = (
    "CASE WHEN regexp_matches({0}, '^[=+@\\t\\r\\n-]') THEN chr(39) || {0} ELSE {0} END AS {0}"
)
"""A cell that a spreadsheet would take for a formula begins with an apostrophe, which says text
(OWASP, "CSV Injection")."""


def shown_items(database: Database, *, differing: bool = False) -> Iterator[dict[str, Any]]:
    """The items as people read them, those that differ first; `differing`: no others."""
    database.execute(MAJOR)
    cursor = database.cursor()
    query = f"SELECT * FROM ({SHOWN}) WHERE differs" if differing else SHOWN  # noqa: S608 - ours
    found = cursor.execute(query)
    names = [column[0] for column in found.description or ()]
    while rows := found.fetchmany(PORTION):
        for row in rows:
            yield dict(zip(names, row, strict=True))


def write_report(result: ReconcileResult, path: Path) -> None:
    """Write the result in the form that the file's name asks for.

    Raises:
        UsageError: the name asks for none, or the file cannot be written.
    """
    write = WRITERS[suffix_of(path)]
    draft = path.with_name(f".{path.name}.part")
    try:
        write(result, draft)
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def suffix_of(path: Path) -> str:
    """What form a file's name asks for.

    Raises:
        UsageError: none.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in WRITERS:
        raise UsageError(f"--report {path}: the name must end in {', '.join(sorted(WRITERS))}")
    if not path.parent.is_dir():
        raise UsageError(f"--report {path}: there is no folder {path.parent}")
    return suffix


def _write_csv(result: ReconcileResult, path: Path) -> None:
    result.database.execute(MAJOR)
    cells = ", ".join(map(DEFUSED.format, TEXTS))
    rows = f"SELECT * REPLACE ({cells}) FROM ({SHOWN})"  # noqa: S608 - ours
    result.database.execute(f"COPY ({rows}) TO {quoted(str(path))} (FORMAT csv, HEADER)")


def _write_parquet(result: ReconcileResult, path: Path) -> None:
    result.database.execute(MAJOR)
    result.database.execute(
        f"COPY ({SHOWN}) TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd)"
    )


def _write_json(result: ReconcileResult, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        json_document(result, file)


def json_document(result: ReconcileResult, out: TextIO) -> None:
    """The summary and every item as one JSON object."""
    out.write(f'{{"summary": {json_text(result.summary, indent=1)},\n"items": [')
    out.writelines(
        (",\n" if number else "\n") + json_text(item)
        for number, item in enumerate(shown_items(result.database))
    )
    out.write("\n]}\n")


def _write_html(result: ReconcileResult, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        write_page(file, result.summary, shown_items(result.database))


WRITERS: Final[dict[str, Callable[[ReconcileResult, Path], None]]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "json": _write_json,
    "html": _write_html,
}
