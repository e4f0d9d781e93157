"""Headers of records and announcements; CloudEvents' as in its Kafka binding, binary mode."""

from __future__ import annotations

import re
from typing import Final

from worker.core.ports import Headers, Record

JSON_TYPE: Final = b"application/json"
AVRO_TYPE: Final = b"application/avro"
RULEBOOK_HEADER: Final = "ledger_worker.rulebook"
TRACEPARENT: Final = "traceparent"
TRACEPARENT_FORM: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00. Anything else is not passed on: it could be of any size."""


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
