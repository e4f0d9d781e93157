"""Headers of records and announcements, and times as text, without reading a clock.

CloudEvents headers follow its Kafka binding, binary mode.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from worker.core.ports import Headers, Record

JSON_TYPE: Final = b"application/json"
AVRO_TYPE: Final = b"application/avro"
RULEBOOK_HEADER: Final = "ledger_worker.rulebook"
TRACEPARENT: Final = "traceparent"
TRACEPARENT_FORM: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00. Anything else is not passed on: it could be of any size."""

NANOSECONDS: Final = 1_000_000_000


def headers_of(record: Record) -> Headers:
    """A record's headers in order; empty where it has none."""
    return record.headers() or []


def traceparent(headers: Headers) -> bytes | None:
    """The trace that a record belongs to: its newest well-formed `traceparent`."""
    for name, value in reversed(headers):
        if name == TRACEPARENT and value is not None and TRACEPARENT_FORM.fullmatch(value):
            return value
    return None


def cloud_headers(*, kind: str, source: str, content_type: bytes, rulebook: str) -> Headers:
    """The headers that do not change from one announcement of a kind to the next."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", source.encode()),
        ("content-type", content_type),
        (RULEBOOK_HEADER, rulebook.encode()),
    ]


@lru_cache(maxsize=4096)
def iso_seconds(seconds: int) -> str:
    """Whole seconds since 1970 as `2026-01-31T23:59:59`, UTC and without saying so."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso_created(seconds: int) -> str:
    """An event's `created` in ISO 8601: `2026-01-31T23:59:59Z`."""
    return iso_seconds(seconds) + "Z"


def iso_nanoseconds(timestamp: int) -> str:
    """A ledger timestamp in ISO 8601 with microseconds, cut not rounded."""
    seconds, rest = divmod(timestamp, NANOSECONDS)
    return f"{iso_seconds(seconds)}.{rest // 1000:06d}Z"
