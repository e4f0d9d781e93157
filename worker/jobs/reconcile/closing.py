"""Closing a period: everything that was signed becomes one file that tells of any change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from worker import __version__
from worker.core.errors import UsageError
from worker.core.money import major_units
from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.bank import BANK_CLASSES
from worker.jobs.reconcile.comparison import Comparison, ReconcileResult
from worker.jobs.reconcile.periods import VERSION, ClosedPeriod, Item, write_period
from worker.jobs.reconcile.roll_forward import Lines
from worker.jobs.reconcile.unsettled import OPEN_CLASSES
from worker.jobs.reports.trial_balance import TrialBalance
from worker.ledger.books import NamedLedger

UNFINISHED: Final = """
SELECT count(*) FROM items WHERE class = 'in_transit' AND time_ms < $end_ms
"""
LEFT_OPEN: Final = """
SELECT class, differs, ledger, coalesce(currency, '') AS currency,
  CAST(expected_amount AS VARCHAR) AS expected, CAST(actual_amount AS VARCHAR) AS actual,
  coalesce(event_id, '') AS event_id, coalesce(leg, '') AS leg,
  coalesce(transfer_id, '') AS transfer_id, coalesce(position, '') AS position, time_ms,
  coalesce(strftime(make_timestamp(time_ms * 1000), '%Y-%m-%d'), '') AS day, detail
FROM items WHERE differs OR class IN $open OR class IN $bank OR class = 'parked'
ORDER BY differs DESC, class, time_ms, event_id, leg, transfer_id, position
"""
TRANSFERS: Final = """
SELECT count(*), coalesce(max(posted_ns), 0) FROM actual WHERE in_range
"""


def close_period(  # noqa: PLR0913, PLR0917 - what was read, and what came of it
    result: ReconcileResult,
    request: Comparison,
    books: NamedLedger,
    lines: Lines,
    trial: TrialBalance,
    closed: Sequence[ClosedPeriod],
) -> Path:
    """Write the period's files.

    Raises:
        UsageError: records of the period are in transit, or the folder cannot be written.
    """
    database, folder = result.database, request.periods
    if folder is None:
        raise UsageError("--close needs --periods: the folder of closed periods")
    limits = {"end_ms": request.end_ns // 1_000_000}
    ((unfinished,),) = database.execute(UNFINISHED, limits).fetchall()
    if unfinished:
        raise UsageError(
            f"--close: {unfinished:,} items of the period are in transit: close it when the group"
            " has caught up"
        )
    items = _left_open(database, books)
    period = ClosedPeriod(
        version=VERSION,
        start_ns=request.start_ns,
        end_ns=request.end_ns,
        cut_ns=trial.as_of_ns,
        closed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        closed_by=request.close_by,
        worker=__version__,
        rulebook=books.rulebook.digest,
        read=result.summary["read"],
        transfers=list(database.execute(TRANSFERS).fetchall()[0]),
        stripe_reports={
            path.name: sha256(path.read_bytes()).hexdigest() for path in request.stripe_reports
        },
        accounts={
            f"{line['account']}/{books.currency(line['ledger'])[0]}": line["closing"]
            for line in lines
        },
        items=items,
        summary={name: value for name, value in result.summary.items() if name != "read"},
        before=closed[-1].digest if closed else "",
    )
    return write_period(folder, period, items)


def _left_open(database: Database, books: NamedLedger) -> list[Item]:
    """The items that need a person, or are open, with amounts in minor units and as read."""
    cursor = database.execute(LEFT_OPEN, {"open": list(OPEN_CLASSES), "bank": list(BANK_CLASSES)})
    names = [column[0] for column in cursor.description or ()]
    return [_item(dict(zip(names, row, strict=True)), books) for row in cursor.fetchall()]


def _item(row: Mapping[str, Any], books: NamedLedger) -> Item:
    currency = books.rulebook.ledgers.get(row["currency"])
    amounts: dict[str, Any] = {}
    for side in ("expected", "actual"):
        amount = None if row[side] is None else int(row[side])
        shown = "" if amount is None else major_units(amount, currency.scale if currency else 0)
        amounts |= {side: amount, f"{side}_amount": shown}
    return dict(row) | amounts
