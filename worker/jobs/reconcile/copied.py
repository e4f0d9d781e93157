"""The copy of the transfers in PostgreSQL or Redshift: its trial balance against the ledger's.

Both are taken up to the copy's newest transfer, so that what is not loaded yet is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from worker.config.sections import ReconcileSettings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.iso_times import iso_time
from worker.jobs.duckdb_rows import Database, stage_rows
from worker.jobs.reports.trial_balance import Totals, TrialBalance, trial_balance
from worker.ledger.books import NamedLedger

CONNECT_SECONDS: Final = 10

NEWEST: Final = "SELECT MAX(ledger_timestamp) FROM {table} WHERE ledger_timestamp < %(cut)s"
SUMS: Final = """
SELECT ledger, account, CAST(SUM(debit) AS VARCHAR(40)), CAST(SUM(credit) AS VARCHAR(40)) FROM (
  SELECT ledger, debit_account AS account, amount AS debit, 0 AS credit FROM {table}
  WHERE kind IN ('posted', 'post') AND ledger_timestamp <= %(newest)s
  UNION ALL
  SELECT ledger, credit_account AS account, 0 AS debit, amount AS credit FROM {table}
  WHERE kind IN ('posted', 'post') AND ledger_timestamp <= %(newest)s) AS entries
GROUP BY ledger, account
"""
COLUMNS: Final = {
    "ledger": "BIGINT",
    "account": "VARCHAR",
    "debits": "HUGEINT",
    "credits": "HUGEINT",
    "copied_debits": "HUGEINT",
    "copied_credits": "HUGEINT",
}
DIFFERING: Final = """
INSERT INTO items BY NAME
SELECT 'copy_mismatch' AS class, true AS differs, ledger, debits - credits AS expected_amount,
  copied_debits - copied_credits AS actual_amount, account AS event_id, $table AS event_type,
  $newest // 1000000 AS time_ms,
  'in minor units, the ledger: debits ' || debits || ', credits ' || credits
    || '; the copy: debits ' || copied_debits || ', credits ' || copied_credits AS detail
FROM copied WHERE debits <> copied_debits OR credits <> copied_credits
"""


def compare_copy(
    database: Database, settings: ReconcileSettings, books: NamedLedger, trial: TrialBalance
) -> dict[str, Any]:
    """Add an item for each account whose sums differ; what the summary says of the copy.

    trial: the ledger's trial balance when it was read.

    Raises:
        UsageError: reconcile.copy_dsn is not set, the table is not there or has no transfer.
        DependencyUnavailable: the database did not answer in time.
    """
    newest, sums = _read(settings, cut_ns=trial.as_of_ns)
    if newest + 1 < trial.as_of_ns:
        trial = trial_balance(books, at_ns=newest + 1)
    accounts = stage_accounts(database, trial.totals, sums)
    database.execute(DIFFERING, {"table": settings.copy_table, "newest": newest})
    found = database.execute("SELECT count(*) FROM items WHERE class = 'copy_mismatch'").fetchone()
    return {
        "table": settings.copy_table,
        "up_to": iso_time(newest),
        "accounts": accounts,
        "accounts_that_differ": found[0] if found else 0,
    }


Sums = dict[tuple[str, int], tuple[int, int]]
"""Debits and credits by account name and ledger, in minor units."""


def stage_accounts(database: Database, totals: Totals, sums: Sums) -> int:
    """Fill the table `copied`: every account of either side; how many there are."""
    database.execute(
        "CREATE TABLE copied ("
        + ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        + ")"
    )

    def rows() -> Iterator[tuple[object, ...]]:
        for name, ledger in sorted(totals.keys() | sums.keys()):
            total = totals.get((name, ledger))
            stored = (total.debits, total.credits) if total else (0, 0)
            yield (ledger, name, *stored, *sums.get((name, ledger), (0, 0)))

    return stage_rows(database, "copied", COLUMNS, rows())


def _read(settings: ReconcileSettings, *, cut_ns: int) -> tuple[int, Sums]:
    """The copy's newest transfer before the cut, and the sums up to it."""
    if not settings.copy_dsn:
        raise UsageError(
            "--copy needs reconcile.copy_dsn: name the database in a file that"
            " LEDGER_WORKER_RECONCILE__COPY_DSN_FILE names"
        )
    try:
        with _connected(settings) as connection:
            found = connection.execute(_over(NEWEST, settings), {"cut": cut_ns}).fetchone()
            newest = int(found[0]) if found and found[0] is not None else 0
            if not newest:
                raise UsageError(f"{settings.copy_table} has no transfer of this ledger's time")
            rows = connection.execute(_over(SUMS, settings), {"newest": newest}).fetchall()
    except psycopg.OperationalError:
        raise DependencyUnavailable(
            "the copy's database (reconcile.copy_dsn) could not be reached, or did not answer"
            f" within {settings.copy_deadline_seconds:g} s"
        ) from None
    except psycopg.ProgrammingError as error:
        reason = error.diag.message_primary or "is reconcile.copy_dsn a connection string?"
        raise UsageError(f"the copy cannot be read: {reason}") from None
    return newest, {(name, int(ledger)): (int(dr), int(cr)) for ledger, name, dr, cr in rows}


def _connected(settings: ReconcileSettings) -> psycopg.Connection[tuple[Any, ...]]:
    """Redshift calls its encoding otherwise than PostgreSQL, so it is asked for by name."""
    milliseconds = round(settings.copy_deadline_seconds * 1000)
    connection = psycopg.connect(
        settings.copy_dsn,
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=CONNECT_SECONDS,
        client_encoding="utf8",
        fallback_application_name="ledger-worker reconcile",
    )
    connection.execute(sql.SQL("SET statement_timeout TO {}").format(sql.Literal(milliseconds)))
    return connection


def _over(template: LiteralString, settings: ReconcileSettings) -> sql.Composed:
    table = sql.Identifier(*settings.copy_table.split("."))
    return sql.SQL(template).format(table=table)
