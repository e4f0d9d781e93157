"""What reports call a record, and the fields of an announcement.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from typing import Any

import orjson

from worker.codecs.avro import MAGIC, BodyReader, body_reader, packaged_schema
from worker.core.ports import Record, UsageError
from worker.jobs.archive.records import is_placed


def place_of(record: Record) -> str:
    """Where a record is, as reports write it."""
    return f"{record.topic()}/{record.partition()}@{record.offset()}"


def origin_of(record: Record) -> str:
    """What a dead letter names a record by: its place, or its bytes where that is unknown."""
    return place_of(record) if is_placed(record) else hash_of(record)


def hash_of(record: Record) -> str:
    """What stands for a record whose place is not known: its bytes."""
    return "value:" + blake2b(record.value() or b"", digest_size=16).hexdigest()


def posted_fields(record: Record) -> Mapping[str, Any]:
    """An outbox record's fields, JSON or Avro.

    Raises:
        UsageError: it is none.
    """
    value = record.value() or b""
    if value[:1] == bytes([MAGIC]):
        try:
            found: Mapping[str, Any] = _posted_reader().read(value)
        except ValueError:
            raise UsageError(f"{place_of(record)} is no posted transfer") from None
        return found
    found = json_fields(record)
    if "transfer_id" not in found or "ledger_timestamp" not in found:
        raise UsageError(f"{place_of(record)} is no posted transfer")
    return found


@cache
def _posted_reader() -> BodyReader:
    return body_reader(packaged_schema("posted_transfer"))


def json_fields(record: Record) -> Mapping[str, Any]:
    """A JSON record's fields.

    Raises:
        UsageError: it is no JSON object.
    """
    try:
        found = orjson.loads(record.value() or b"")
    except orjson.JSONDecodeError:
        raise UsageError(f"{place_of(record)} is no announcement: it is not JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f"{place_of(record)} is no announcement: it is no JSON object")
    return found
