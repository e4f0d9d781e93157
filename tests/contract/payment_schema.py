"""The payment events' schema in the hands of tests: its fields, and records written with it."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_writer

from worker.codecs.avro import frame
from worker.kafka.schema_rules import schema_text

NAME = "stripe_payment_event"


def payment_schema() -> dict[str, Any]:
    """As it is packaged; a new one every time."""
    schema: dict[str, Any] = json.loads(schema_text(NAME))
    return schema


def object_fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of `data.object`."""
    body = next(each for each in schema["fields"] if each["name"] == "data")["type"]
    fields: list[dict[str, Any]] = body["fields"][0]["type"]["fields"]
    return fields


def without_fields(*names: str) -> dict[str, Any]:
    """The schema as it was before these fields of the object came."""
    schema = payment_schema()
    fields = object_fields(schema)
    fields[:] = [each for each in fields if each["name"] not in names]
    return schema


def framed(schema: Any, record: Any, schema_id: int) -> bytes:
    """A record in Confluent's frame."""
    stream = BytesIO()
    stream.write(frame(schema_id))
    schemaless_writer(stream, parse_schema(schema, named_schemas={}), record)
    return stream.getvalue()
