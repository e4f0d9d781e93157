"""Reads the outbox's records back, JSON or Avro, as the fields that were announced."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from worker.codecs.avro import MAGIC, BodyReader, body_reader, packaged_schema
from worker.core.errors import UsageError
from worker.core.ports import Record


def place_of(record: Record) -> str:
    """Where a record is, as reports write it."""
    return f"{record.topic()}/{record.partition()}@{record.offset()}"


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
