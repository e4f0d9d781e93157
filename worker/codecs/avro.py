"""Avro bodies in Confluent's frame: a zero byte, the schema's id in four bytes, the body.

A body is read to its last byte or refused; fastavro would ignore trailing bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from struct import error as struct_error
from types import MappingProxyType
from typing import Any, Final

import orjson
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, to_parsing_canonical_form
from fastavro.types import Schema

from worker.codecs.avro_fast import Unsupported, ValueReader, fast_reader

MAGIC: Final = 0
HEADER_BYTES: Final = 5

PACKAGED_IDS: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "stripe_payment_event",
        2: "stripe_settlement_event",
        3: "wallet_command",
        4: "posted_transfer",
        5: "rejected_event",
    }
)
"""Ids for the packaged schemas, for tests, the demo and benchmarks: what others set or register."""

UNREADABLE: Final = (
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    ArithmeticError,
    AttributeError,
    struct_error,
)
"""What fastavro raises on bytes that are not of the schema; invalid UTF-8 is a ValueError.

MemoryError is not among them: a stream in memory gives no more bytes than it has, however long a
string claims to be, so running out of memory would say nothing about the record.
"""


class AvroUnreadable(ValueError):
    """The bytes are no record of the schema. The message never holds a value."""


class BodyReader:
    """Reads framed values of one schema, whose frame was looked at before."""

    def __init__(self, reader: ValueReader) -> None:
        self._reader = reader

    def read(self, value: bytes) -> Any:  # noqa: ANN401 - the schema says what it is
        """The record; raises AvroUnreadable unless it ends where the value does."""
        try:
            record, end = self._reader.read(value, HEADER_BYTES)
        except UNREADABLE as error:
            raise AvroUnreadable(
                f"the Avro body is cut short or not of its schema ({type(error).__name__})"
            ) from None
        if end > len(value):
            raise AvroUnreadable("the Avro body is cut short")
        if end < len(value):
            raise AvroUnreadable(f"{len(value) - end} bytes follow the Avro body")
        return record

    def read_text(self, value: bytes) -> Any:  # noqa: ANN401 - the schema says what it is
        """The same, for who takes a text or bytes for a record too."""
        return self.read(value)


@cache
def packaged_schema(name: str) -> Schema:
    """The schema `schemas/NAME.avsc`, parsed; FileNotFoundError when there is none."""
    text = files("worker").joinpath("schemas", f"{name}.avsc").read_bytes()
    return parse_schema(orjson.loads(text))


def packaged_names() -> list[str]:
    """The names of all packaged schemas, sorted."""
    folder = files("worker").joinpath("schemas")
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".avsc") for name in names if name.endswith(".avsc"))


def packaged_generations(name: str) -> dict[int, str]:
    """Every released generation of a packaged schema, as text, by number from 1."""
    folder = files("worker").joinpath("schemas", "history", name)
    found = {
        int(entry.name.removesuffix(".avsc")): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".avsc")
    }
    return dict(sorted(found.items()))


def body_reader(schema: Schema) -> BodyReader:
    """The quickest reader for this schema."""
    try:
        return BodyReader(fast_reader(schema))
    except Unsupported:
        return plain_reader(schema)


def plain_reader(schema: Schema) -> BodyReader:
    """The same by fastavro alone: what the quick reader is compared with."""
    return BodyReader(FastavroReader(schema))


def generation_reader(text: str) -> BodyReader | None:
    """A reader for what was written with this schema, by Avro's rules of resolution.

    Another generation of a packaged schema (the same full name) is read as the packaged one: what
    it lacks has the default, what is more is left out. Any other schema is read as it was written.
    None when the text is no Avro schema.
    """
    try:
        writer = parse_schema(orjson.loads(text), named_schemas={})
        canonical = to_parsing_canonical_form(writer)
    except (ValueError, KeyError, TypeError, SchemaParseException):
        return None
    for name in packaged_names():
        reader = packaged_schema(name)
        if _full_name(reader) != _full_name(writer):
            continue
        if to_parsing_canonical_form(reader) == canonical:
            return body_reader(reader)
        return BodyReader(FastavroReader(writer, reader))
    return body_reader(writer)


def _full_name(schema: Schema) -> str | None:
    """What parse_schema made of name and namespace."""
    return schema.get("name") if isinstance(schema, dict) else None


class FastavroReader(ValueReader):
    """fastavro on one schema; with the reader's, by Avro's rules of resolution."""

    def __init__(self, writer: Schema, reader: Schema | None = None) -> None:
        self._writer = writer
        self._reader = reader

    def read(self, body: bytes, at: int) -> tuple[Any, int]:
        """The value that begins at this position, and the position after it."""
        stream = BytesIO(body)
        stream.seek(at)
        try:
            return schemaless_reader(stream, self._writer, self._reader), stream.tell()
        except SchemaResolutionError as error:
            raise ValueError("the generations do not fit") from error


def frame(schema_id: int) -> bytes:
    """The five bytes before a body of this schema."""
    return bytes([MAGIC]) + schema_id.to_bytes(4, "big")


def write_framed(record: Mapping[str, Any], *, schema: Schema, schema_id: int) -> bytes:
    """The record as a framed value; a ValueError or TypeError when it is not of the schema."""
    stream = BytesIO()
    stream.write(frame(schema_id))
    schemaless_writer(stream, schema, record)
    return stream.getvalue()


def encode_event(event: Mapping[str, Any], schema_name: str, schema_id: int) -> bytes:
    """An event as a framed value; what the schema does not name is left out.

    Raises ValueError or TypeError when the event does not fit the schema.
    """
    return write_framed(event, schema=packaged_schema(schema_name), schema_id=schema_id)
