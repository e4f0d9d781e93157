"""Decodes outbox records, JSON or Avro, into the announced fields."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from worker.codecs.avro import (
    MAGIC,
    AvroUnreadable,
    BodyReader,
    body_reader,
    generation_reader,
    packaged_generations,
    packaged_schema,
)
from worker.codecs.outbox_fields import SCHEMA_NAME
from worker.core.errors import UsageError
from worker.core.ports import Record, position_of


def announced_fields(record: Record) -> Mapping[str, Any]:
    """An outbox record's fields, JSON or Avro; what an older generation lacks has its default.

    Raises:
        UsageError: it is none.
    """
    value = record.value() or b""
    if value[:1] == bytes([MAGIC]):
        return _avro_fields(record, value)
    found = json_fields(record)
    if "transfer_id" not in found or "ledger_timestamp" not in found:
        raise UsageError(f"{position_of(record)} is no posted transfer")
    return found if "fact" in found else {**_defaults(), **found}


def _avro_fields(record: Record, value: bytes) -> Mapping[str, Any]:
    """By the first generation whose body ends where the record does: no two do so at one byte."""
    for reader in _generations():
        try:
            found: Mapping[str, Any] = reader.read(value)
        except AvroUnreadable:
            continue
        return found
    raise UsageError(f"{position_of(record)} is no posted transfer")


@cache
def _generations() -> tuple[BodyReader, ...]:
    """A reader for each generation, the newest first: without a registry all have one id."""
    released = packaged_generations(SCHEMA_NAME)
    older = [generation_reader(text) for text in list(released.values())[-2::-1]]
    newest = body_reader(packaged_schema(SCHEMA_NAME))
    return (newest, *(reader for reader in older if reader is not None))


@cache
def _defaults() -> Mapping[str, Any]:
    """What fields that are newer than the first generation hold where a record lacks them."""
    schema: Any = packaged_schema(SCHEMA_NAME)
    return {each["name"]: each["default"] for each in schema["fields"] if "default" in each}


def whole_number(value: object, largest: int) -> int:
    """A field's whole number from 0 on, written as one or as text.

    Raises:
        ValueError: it is none, or out of its range.
    """
    number = int(str(value))
    if not 0 <= number <= largest:
        raise ValueError("a number is out of its range")
    return number


def json_fields(record: Record) -> Mapping[str, Any]:
    """A JSON record's fields.

    Raises:
        UsageError: it is no JSON object.
    """
    try:
        found = orjson.loads(record.value() or b"")
    except orjson.JSONDecodeError:
        raise UsageError(f"{position_of(record)} is no announcement: it is not JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f"{position_of(record)} is no announcement: it is no JSON object")
    return found
