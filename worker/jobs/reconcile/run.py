"""One reconciliation, from reading the sides to the items and the summary.

Every side is read to its end, or the run fails. The order matters: committed offsets, events,
ledger, announcements; what happens meanwhile is in transit and never a difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.iso_times import iso_time
from worker.core.ports import oldest_timestamp
from worker.jobs.duckdb_rows import Database, open_database, stage_rows
from worker.jobs.progress import Progress
from worker.jobs.reconcile.classify import classify, name_currencies
from worker.jobs.reconcile.expected import Period
from worker.jobs.reconcile.payouts import compare_report
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
from worker.jobs.reconcile.summary import stripe_balances, summarize
from worker.jobs.reconcile.tables import REPORT
from worker.jobs.reconcile.unsettled import DAY_MS, list_open_items
from worker.jobs.reports.trial_balance import TrialBalance, trial_balance
from worker.ledger.books import NamedLedger, open_named_ledger

SETTLE_DAYS: Final = 3
LATER: Final = "UPDATE actual SET in_transit = true WHERE posted_ns > $newest"
"""What was posted after the first part began: its announcement may not have been read."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What to reconcile.

    Times are in nanoseconds, 0 leaves a side open.

    files: archives instead of Kafka.
    topic: of events in them that name none.
    parts: files that parts of the work have written, which say the times.
    stripe_balances: as given, `usd=1.00`.
    settle_days: how long an item of `stripe_unsettled` may be open.
    copy: compare the copy that the settings name too.
    """

    start_ns: int = 0
    end_ns: int = 0
    files: tuple[Path, ...] = ()
    topic: str = ""
    parts: tuple[Path, ...] = ()
    stripe_report: Path | None = None
    settle_days: int = SETTLE_DAYS
    stripe_balances: tuple[str, ...] = ()
    copy: bool = False


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The items, in the table `items` of the database, and the summary."""

    database: Database
    summary: dict[str, Any]

    @property
    def differs(self) -> bool:
        """Is there anything that a person must look at?"""
        return bool(self.summary["differences"])


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
        balances = stripe_balances(list(request.stripe_balances), books.rulebook)
        report = request.stripe_report
        past = bool(request.files or request.parts)  # archives end when they were written
        manifests = read_manifests(settings, request.parts, books.rulebook.digest, database)
        if manifests:
            request = replace(request, start_ns=manifests[0].start_ns, end_ns=manifests[0].end_ns)
        staging, trial = _read(settings, request, manifests, books, database, progress)
        cut_ns = trial.as_of_ns
        announced = announcements_were_read(staging, staging.taken)
        as_of_ms = (request.end_ns or (cut_ns if past else time.time_ns())) // 1_000_000
        late_ms = as_of_ms - request.settle_days * DAY_MS
        first_ns = oldest_timestamp(books.ledger)
        limits = {"first_ns": first_ns, "cut_ns": cut_ns, "late_ms": late_ms}
        classify(database, announced=announced, **limits)
        payouts = compare_report(database, books.rulebook) if report else None
        list_open_items(
            database,
            start_ms=request.start_ns // 1_000_000,
            end_ms=request.end_ns // 1_000_000,
            as_of_ms=as_of_ms,
            late_ms=late_ms,
        )
        copied = _compare_copy(settings, database, books, trial) if request.copy else None
        name_currencies(database)
        name_accounts(database, books)
        summary = {
            "from": iso_time(request.start_ns) if request.start_ns else "",
            "to": iso_time(request.end_ns) if request.end_ns else "",
            "ledger_read_before": iso_time(cut_ns),
            "records": dict(sorted(staging.taken.items())),
            "announcements_compared": announced,
            "not_checked_for_compaction": sorted(staging.unchecked),
            "trial_balance_agrees": trial.agrees,
            "rulebook": books.rulebook.digest,
            "stripe_report": str(report) if report else "",
            "settle_days": request.settle_days,
            "payouts": payouts,
            "copy": copied,
            **summarize(database, books.rulebook, trial, staging.moved, balances),
        }
        if not trial.agrees:
            summary["differences"] += 1
        yield ReconcileResult(database, summary)


def _compare_copy(
    settings: Settings, database: Database, books: NamedLedger, trial: TrialBalance
) -> dict[str, Any]:
    try:
        from worker.jobs.reconcile.copied import compare_copy  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise UsageError("psycopg is not installed: pip install ledger-worker[sync]") from error
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
    if request.stripe_report:
        stage_rows(database, "report", REPORT, read_report(request.stripe_report, books.rulebook))
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
