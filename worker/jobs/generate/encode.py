"""Generated records as bytes: JSON or Avro values, and lines of a file that holds them all.

Poison is never encoded as Avro, which would repair or refuse it. A file has one JSON object a line:

    {"topic": "stripe.payments", "key": "cus_1…", "value": {…}, "note": "charge"}

A `value` that is not a JSON object (noise, Avro) is in `value_base64` instead. `note` says what the
record is, for people.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

import orjson

from worker.codecs.avro import encode_event
from worker.jobs.generate.poison import NOTE
from worker.jobs.generate.scene import COMMANDS, PAYMENTS, SETTLEMENTS, TREASURY, Generated

SCHEMAS: Final[Mapping[str, str]] = {
    PAYMENTS: "stripe_payment_event",
    SETTLEMENTS: "stripe_settlement_event",
    COMMANDS: "wallet_command",
    TREASURY: "wallet_command",
}
"""Role to packaged schema."""


def json_value(record: Generated) -> bytes:
    """The record's value as JSON, or as the noise it is."""
    return record.event if isinstance(record.event, bytes) else orjson.dumps(record.event)


def avro_value(record: Generated, schema_ids: Mapping[str, int]) -> bytes:
    """The record's value as framed Avro. schema_ids: packaged schema's name to id."""
    if isinstance(record.event, bytes) or record.note.startswith(NOTE):
        return json_value(record)
    schema = SCHEMAS[record.role]
    event = _by_id(record.event) if record.role == SETTLEMENTS else record.event
    return encode_event(event, schema, schema_ids[schema])


def _by_id(event: dict[str, Any]) -> dict[str, Any]:
    """A settlement event as the schema has it: the source's id, and of the source its money."""
    about = event["data"]["object"]
    source = about["source"]
    if source is None:
        return event
    money = {"amount": source["amount"], "currency": source["currency"]}
    return {**event, "data": {"object": {**about, "source": source["id"], "source_object": money}}}


def line(*, topic: str, key: bytes, value: bytes, note: str) -> bytes:
    """One line of a file, with its newline."""
    fields: dict[str, object] = {"topic": topic, "key": key.decode()}
    if _is_object(value):
        fields["value"] = orjson.Fragment(value)
    else:
        fields["value_base64"] = b64encode(value).decode()
    return orjson.dumps(fields | {"note": note}, option=orjson.OPT_APPEND_NEWLINE)


def _is_object(value: bytes) -> bool:
    if not value.startswith(b"{"):
        return False
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True
