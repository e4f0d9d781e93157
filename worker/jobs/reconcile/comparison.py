"""What is to be compared, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.jobs.duckdb_rows import Database

SETTLE_DAYS: Final = 3
BANK_DAYS: Final = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """What to reconcile.

    Times are in nanoseconds, 0 leaves a side open.

    files: archives instead of Kafka.
    topic: of events in them that name none.
    parts: files that parts of the work have written, which say the times.
    stripe_balances: as given, `usd=1.00`.
    bank: statements of the bank. bank_days: how far its day may be from the books'.
    settle_days: how long an item of `stripe_unsettled` may be open.
    copy: compare the copy that the settings name too.
    periods: the folder of closed periods. close_by: who closes this one; empty leaves it open.
    """

    start_ns: int = 0
    end_ns: int = 0
    files: tuple[Path, ...] = ()
    topic: str = ""
    parts: tuple[Path, ...] = ()
    stripe_reports: tuple[Path, ...] = ()
    settle_days: int = SETTLE_DAYS
    bank: tuple[Path, ...] = ()
    bank_days: int = BANK_DAYS
    stripe_balances: tuple[str, ...] = ()
    copy: bool = False
    periods: Path | None = None
    close_by: str = ""


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The items, in the table `items` of the database, and the summary."""

    database: Database
    summary: dict[str, Any]

    @property
    def differs(self) -> bool:
        """Is there anything that a person must look at?"""
        return bool(self.summary["differences"])
