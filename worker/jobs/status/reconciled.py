"""The last reconciliation, as its JSON report or the newest closed period tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from worker.core.errors import UsageError
from worker.jobs.reconcile.periods import read_periods
from worker.jobs.reconcile.summary import verdict


class Reconciled(NamedTuple):
    """One reconciliation.

    made_at: ISO 8601. made_at_seconds: the same since 1970.
    start, end: of the facts that it covers, ISO 8601; empty is open.
    verdict: its result in a few words.
    """

    made_at: str
    made_at_seconds: float
    start: str
    end: str
    differences: int
    verdict: str


def last_reconciliation(path: Path) -> Reconciled | None:
    """What a report or a folder of closed periods says; None for a folder without any.

    Raises:
        UsageError: it is neither.
    """
    if path.is_dir():
        periods = read_periods(path)
        return _reconciled(path, periods[-1].summary) if periods else None
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--reconciliation {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise _no_report(path) from None
    if not (isinstance(document, dict) and isinstance(document.get("summary"), dict)):
        raise _no_report(path)
    return _reconciled(path, document["summary"])


def _reconciled(path: Path, summary: Mapping[str, Any]) -> Reconciled:
    try:
        return Reconciled(
            made_at=summary["made_at"],
            made_at_seconds=datetime.fromisoformat(summary["made_at"]).timestamp(),
            start=summary["from"],
            end=summary["to"],
            differences=int(summary["differences"]),
            verdict=verdict(summary),
        )
    except (KeyError, TypeError, ValueError):
        raise _no_report(path) from None


def _no_report(path: Path) -> UsageError:
    return UsageError(
        f"--reconciliation {path} is no report of `reconcile --report FILE.json`, nor a folder of"
        " closed periods"
    )
