"""Numbers of seconds and nanoseconds since 1970 as ISO 8601 text in UTC; no clock is read."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

NANOSECONDS: Final = 1_000_000_000
"""In a second."""

MICROSECOND: Final = 1_000
"""In nanoseconds."""

MILLISECOND: Final = 1_000_000
"""In nanoseconds."""


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso_second(seconds: int) -> str:
    """A second, as an event's `created` is: `2026-01-31T23:59:59Z`."""
    return _second(seconds) + "Z"


def iso_time(timestamp: int) -> str:
    """A time in nanoseconds, as the ledger's are, with microseconds, cut not rounded."""
    seconds, rest = divmod(timestamp, NANOSECONDS)
    return f"{_second(seconds)}.{rest // MICROSECOND:06d}Z"


def iso_millisecond(milliseconds: int) -> str:
    """A time in milliseconds, as Kafka's are: `2026-01-31T23:59:59.000Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"
