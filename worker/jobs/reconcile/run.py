"""One reconciliation, from reading the sides to the items and the summary.

Every side is read to its end, or the run fails. The order matters: committed offsets, events,
ledger, announcements; what happens meanwhile is in transit and never a difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from worker import __version__
from worker.config.settings import Settings
from worker.core.iso_times import iso_time
from worker.core.optional import optional_packages
from worker.core.ports import oldest_timestamp
from worker.jobs.duckdb_rows import Database, open_database, stage_rows
from worker.jobs.progress import Progress
from worker.jobs.reconcile.ages import ages
from worker.jobs.reconcile.bank import compare_bank, create_bank_tables
from worker.jobs.reconcile.bank_side import BankSide, BankSpan, read_statements
from worker.jobs.reconcile.bank_summary import unexplained
from worker.jobs.reconcile.classify import classify, name_currencies
from worker.jobs.reconcile.closing import close_period
from worker.jobs.reconcile.comparison import Comparison, ReconcileResult
from worker.jobs.reconcile.expected import Period
from worker.jobs.reconcile.payouts import compare_report, require_settled_books
from worker.jobs.reconcile.periods import ClosedPeriod, read_periods, require_next
from worker.jobs.reconcile.roll_forward import Lines, roll_forward, shown_lines, stage_account_names
from worker.jobs.reconcile.shards import Manifest, least_reach, load_parts, read_manifests
from worker.jobs.reconcile.sources import (
    Reach,
    announcements_were_read,
    read_files,
    read_inputs,
    read_ledger,
    read_outputs,
    require_events,
)
from worker.jobs.reconcile.staging import Staging, open_staging
from worker.jobs.reconcile.stripe_report import read_report
from worker.jobs.reconcile.stripe_summary import (
    SummaryLine,
    compare_summary,
    is_balance_summary,
    read_summary,
)
from worker.jobs.reconcile.summary import stripe_balances, summarize
from worker.jobs.reconcile.tables import REPORT
from worker.jobs.reconcile.timing import (
    carry_items,
    compare_balances,
    list_times,
    period_summary,
    stage_open,
)
from worker.jobs.reconcile.unsettled import DAY_MS, list_open_items
from worker.jobs.reports.trial_balance import TrialBalance, trial_balance
from worker.ledger.books import NamedLedger, open_named_ledger

LATER: Final = "UPDATE actual SET in_transit = true WHERE posted_ns > $newest"
"""What was posted after the first part began: its announcement may not have been read."""


@contextmanager
def reconcile(
    settings: Settings, request: Comparison, *, progress: Progress
) -> Iterator[ReconcileResult]:
    """Reconcile; the result lives as long as the context.

    Raises:
        UsageError: bad input: nothing is reported then.
        DependencyUnavailable: the ledger or the broker did not answer in time.
    """
    with open_named_ledger(settings) as books, open_database() as database:
        closed = read_periods(request.periods) if request.periods else []
        balances = stripe_balances(list(request.stripe_balances), books.rulebook)
        manifests = read_manifests(settings, request.parts, books.rulebook.digest, database)
        if manifests:
            request = replace(request, start_ns=manifests[0].start_ns, end_ns=manifests[0].end_ns)
        if request.stripe_reports:
            require_settled_books(books.rulebook)
        if request.close_by:
            require_next(closed, *_ends(request), now_ns=time.time_ns())
        summaries = _summary_lines(request, books)
        bank = read_statements(request.bank, books.rulebook) if request.bank else None
        staging, trial = _read(settings, request, manifests, books, database, progress)
        payouts, lines = _classify(database, request, books, staging, trial, closed)
        compare_summary(
            database, summaries, books.rulebook, lines, start_ms=request.start_ns // 1_000_000
        )
        at_bank = _compare_bank(database, request, books, bank, trial, lines, closed)
        copied = _compare_copy(settings, database, books, trial) if request.copy else None
        name_currencies(database)
        name_accounts(database, books)
        before = _period_before(closed, request)
        carry_items(database, before)
        about = {
            "from": iso_time(request.start_ns) if request.start_ns else "",
            "to": iso_time(request.end_ns) if request.end_ns else "",
            "times_are": "when the facts happened",
            "ledger_read_before": iso_time(trial.as_of_ns),
            "records": dict(sorted(staging.taken.items())),
            "read": _read_log(staging, manifests),
            "announcements_compared": announcements_were_read(staging, staging.taken),
            "not_checked_for_compaction": sorted(staging.unchecked),
            "trial_balance_agrees": trial.agrees,
            "rulebook": books.rulebook.digest,
            "worker": __version__,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "closed_by": request.close_by,
            "stripe_reports": [str(path) for path in request.stripe_reports],
            "settle_days": request.settle_days,
            "payouts": payouts,
            "bank": at_bank,
            "copy": copied,
            "period_before": period_summary(database, before),
            "ages": ages(database, books.rulebook, as_of_ms=_as_of_ns(request, trial) // 1_000_000),
            "accounts": shown_lines(lines, books),
        }
        summary: dict[str, Any] = about | summarize(
            database, books.rulebook, trial, staging.moved, balances
        )
        if not trial.agrees:
            summary["differences"] += 1
        summary["differences"] += unexplained(at_bank)
        result = ReconcileResult(database, summary)
        if request.periods and request.close_by:
            summary["closed"] = str(close_period(result, request, books, lines, trial, closed))
        yield result


def _classify(  # noqa: PLR0913, PLR0917 - the sides and what they are held against
    database: Database,
    request: Comparison,
    books: NamedLedger,
    staging: Staging,
    trial: TrialBalance,
    closed: Sequence[ClosedPeriod],
) -> tuple[dict[str, Any] | None, Lines]:
    """Fill `items`; what a summary says of payouts, and the roll-forward of every account."""
    as_of_ms = _as_of_ns(request, trial) // 1_000_000
    late_ms = as_of_ms - request.settle_days * DAY_MS
    first_ns = oldest_timestamp(books.ledger)
    limits = {"first_ns": first_ns, "cut_ns": trial.as_of_ns, "late_ms": late_ms}
    classify(database, announced=announcements_were_read(staging, staging.taken), **limits)
    payouts = compare_report(database, books.rulebook) if _itemized(request) else None
    start_ms, end_ms = request.start_ns // 1_000_000, request.end_ns // 1_000_000
    span = {"start_ms": start_ms, "end_ms": end_ms}
    before = _period_before(closed, request)
    stage_open(database, before)
    list_open_items(
        database,
        **span,
        as_of_ms=as_of_ms,
        late_ms=late_ms,
        before_cut_ns=before.cut_ns if before else 0,
    )
    stage_account_names(database, books)
    lines = roll_forward(database, trial.totals, start_ms=start_ms)
    list_times(database, closed, **span)
    if before is not None:
        compare_balances(database, lines, before, books)
    same = next((one for one in closed if (one.start_ns, one.end_ns) == _ends(request)), None)
    if same is not None:
        compare_balances(database, lines, same, books, at="closing")
    return payouts, lines


def _as_of_ns(request: Comparison, trial: TrialBalance) -> int:
    """To when ages are counted."""
    return request.end_ns or _now_ns(request, trial)


def _now_ns(request: Comparison, trial: TrialBalance) -> int:
    """Until when the books were told: archives and parts end when they were written."""
    return trial.as_of_ns if request.files or request.parts else time.time_ns()


def _compare_bank(  # noqa: PLR0913, PLR0917 - the sides and what they are held against
    database: Database,
    request: Comparison,
    books: NamedLedger,
    bank: BankSide | None,
    trial: TrialBalance,
    lines: Lines,
    closed: Sequence[ClosedPeriod],
) -> dict[str, Any] | None:
    create_bank_tables(database)
    if bank is None:
        return None
    before = _period_before(closed, request)
    span = BankSpan(
        request.start_ns // 1_000_000,
        request.end_ns // 1_000_000,
        max(request.end_ns, _now_ns(request, trial)) // 1_000_000,
        request.bank_days,
    )
    return compare_bank(database, bank, books.rulebook, lines, before.items if before else (), span)


def _itemized(request: Comparison) -> list[Path]:
    """Stripe's reports but for balance summaries."""
    return [path for path in request.stripe_reports if not is_balance_summary(path)]


def _summary_lines(request: Comparison, books: NamedLedger) -> list[SummaryLine]:
    return [
        line
        for path in request.stripe_reports
        if is_balance_summary(path)
        for line in read_summary(
            path, books.rulebook, start_ns=request.start_ns, end_ns=request.end_ns
        )
    ]


def _ends(request: Comparison) -> tuple[int, int]:
    return request.start_ns, request.end_ns


def _period_before(closed: Sequence[ClosedPeriod], request: Comparison) -> ClosedPeriod | None:
    """The closed period that ends where this one begins."""
    return next((one for one in closed if one.end_ns == request.start_ns), None)


def _read_log(staging: Staging, manifests: Sequence[Manifest]) -> dict[str, list[Any]]:
    """By topic/partition what was read; each partition is read by one part."""
    found = {name: partition.row() for name, partition in staging.read.items()}
    for manifest in manifests:
        found |= manifest.read
    return dict(sorted(found.items()))


def _compare_copy(
    settings: Settings, database: Database, books: NamedLedger, trial: TrialBalance
) -> dict[str, Any]:
    with optional_packages("a comparison with PostgreSQL", extra="sync"):
        from worker.jobs.reconcile.copied import compare_copy  # noqa: PLC0415 - optional
    return compare_copy(database, settings.reconcile, books, trial)


def _read(  # noqa: PLR0913, PLR0917 - the sides, and where they go
    settings: Settings,
    request: Comparison,
    manifests: Sequence[Manifest],
    books: NamedLedger,
    database: Database,
    progress: Progress,
) -> tuple[Staging, TrialBalance]:
    """Read every side; the staging, and the ledger's trial balance of that moment."""
    reach = Reach(least_reach(manifests))
    span = Period(request.start_ns // 1_000_000, request.end_ns // 1_000_000)
    staging = open_staging(database, settings, books, span=span, committed=reach.committed)
    for path in _itemized(request):
        stage_rows(database, "report_rows", REPORT, read_report(path, books.rulebook))
    if manifests:
        load_parts(database, staging, request.parts, manifests)
        require_events(staging)
    elif request.files:
        read_files(staging, request.files, topic=request.topic, progress=progress)
    else:
        read_inputs(staging, settings, reach, start_ns=request.start_ns, progress=progress)
        require_events(staging)
    trial = trial_balance(books)
    read_ledger(staging, books, start_ns=request.start_ns, cut_ns=trial.as_of_ns, progress=progress)
    if not request.files and not manifests:
        read_outputs(staging, settings, start_ns=request.start_ns, progress=progress)
    staging.flush()
    if manifests:
        newest_ns = min(manifest.newest_ns for manifest in manifests)
        database.execute(LATER, {"newest": newest_ns})
    return staging, trial


def name_accounts(database: Database, books: NamedLedger) -> None:
    """Say the accounts of items by name where they came as ids from the ledger."""
    columns = ("expected_debit", "expected_credit", "actual_debit", "actual_credit")
    union = " UNION ".join(f"SELECT {name} AS id FROM items" for name in columns)  # noqa: S608 - ours
    found = database.execute(
        f"SELECT id FROM ({union}) WHERE regexp_full_match(id, '[0-9a-f]{{32}}')"  # noqa: S608 - ours
    ).fetchall()
    database.execute("CREATE TABLE account_names (id VARCHAR, name VARCHAR)")
    ids = [int(number, 16) for (number,) in found]
    rows = []
    for at in range(0, len(ids), 1000):
        for number, ref in books.names(set(ids[at : at + 1000])).items():
            rows.append((f"{number:032x}", f"{ref.name}[{ref.key}]" if ref.key else ref.name))
    stage_rows(database, "account_names", {"id": "VARCHAR", "name": "VARCHAR"}, rows)
    for name in columns:
        database.execute(
            f"UPDATE items SET {name} = n.name FROM account_names n WHERE n.id = items.{name}"  # noqa: S608 - ours
        )
