"""Times on the command line: UTC where they name no zone; a range excludes its end."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from worker.core.errors import UsageError
from worker.core.iso_times import MICROSECOND, MILLISECOND, NANOSECONDS

SINCE_DAYS: Final = 7
"""How far back topics are read where nobody says it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(text: str, *, option: str) -> int:
    """An ISO 8601 date or time as nanoseconds since 1970; a date is its first moment.

    Raises:
        UsageError: it is none, or lies before 1970. option: what to name in that sentence.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no time: give a date (2026-01-31) or an ISO 8601 time"
            " (2026-01-31T12:00:00Z)"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    if since.days < 0:
        raise UsageError(f"{option} {text!r} lies before 1970")
    whole = since.days * 86_400 + since.seconds
    return whole * NANOSECONDS + since.microseconds * MICROSECOND


def time_range(start: str | None, end: str | None) -> tuple[int, int]:
    """`--from` and `--to` as nanoseconds; 0 where one is not given.

    Raises:
        UsageError: one is no time, or the range is empty.
    """
    start_ns = nanoseconds(start, option="--from") if start else 0
    end_ns = nanoseconds(end, option="--to") if end else 0
    if end_ns and end_ns <= start_ns:
        raise UsageError(f"--to {end} is not later than --from {start or 'the beginning'}")
    return start_ns, end_ns


def in_the_past(text: str, *, option: str, now_ns: int | None = None) -> int:
    """A time that has come already, because nobody knows a balance of tomorrow."""
    moment = nanoseconds(text, option=option)
    if moment > (time.time_ns() if now_ns is None else now_ns):
        raise UsageError(f"{option} {text} lies in the future: the ledger cannot know that yet")
    return moment


def since_ms(text: str | None, *, option: str = "--since") -> int:
    """`--since` in milliseconds since 1970; where it is not given, `SINCE_DAYS` days ago.

    Raises:
        UsageError: it is no time.
    """
    if text:
        return nanoseconds(text, option=option) // MILLISECOND
    return (time.time_ns() - SINCE_DAYS * 86_400 * NANOSECONDS) // MILLISECOND
