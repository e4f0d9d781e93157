"""Envelopes: how producers wrap an event in a record, each by its own documents.

Unwrapping is pure. It gives the event as its origin wrote it, with its own id and `created`; what
the wrapper says of itself (its id, its time) is left behind. Only `object`, whose records have no
event in them, makes one. What is not wrapped as the rulebook says is a dead letter that names the
field and what was there, and nothing else is tried.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import orjson

from worker.codecs.bare_objects import BareObject
from worker.core.event import Dead, Reason
from worker.core.json_kinds import kind_of
from worker.core.ports import Headers
from worker.core.topic_rule import Envelope, TopicRule

CE_HEADER: Final = "ce_specversion"
"""What marks a CloudEvent in binary mode."""

LEVELS_MAX: Final = 3
"""How often a value may be wrapped in JSON text or in Connect's schema and payload."""


class Unwrapper(ABC):
    """Finds the event in what a record holds."""

    @abstractmethod
    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401 - any JSON
        """The event's own envelope as a dict, or a Dead that says what the record lacks.

        content: the decoded value. headers, topic: of the record, as it first came.
        """


def unwrapper_of(rule: TopicRule) -> Unwrapper:
    """How the records of a topic are unwrapped."""
    envelope: Envelope = rule.envelope
    if envelope.path:
        return AtPath(envelope.path, text=envelope.text)
    if envelope.preset == "object":
        return BareObjects(rule.only_type)
    return PRESET_UNWRAPPERS[envelope.preset]


def no_event(why: str) -> Dead:
    """A record that is not wrapped as the rulebook says."""
    return Dead(Reason.NOT_AN_EVENT, why)


def _object_at(value: Any, where: str) -> Any:  # noqa: ANN401 - any JSON
    """An object that stands there, as it is or as JSON text; else a Dead."""
    found = value
    if isinstance(found, str) and found:
        found = _json(found.encode(errors="surrogatepass"), where)
    elif isinstance(found, bytes) and found:
        found = _json(found, where)
    if isinstance(found, dict | Dead):
        return found
    inside = "JSON text of " if found is not value else ""
    return no_event(f"{where} is {inside}{kind_of(found)}, not an object")


def _json(text: bytes, where: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        why = f"{where} is a text that is no JSON: {error.msg} (character {error.pos})"
        return Dead(Reason.UNDECODABLE, why)


def _base64(value: object, where: str) -> Any:  # noqa: ANN401 - any JSON
    """The object in base64 of JSON text, as JSON carries bytes."""
    if not isinstance(value, str):
        return no_event(f"{where} is {kind_of(value)}, not base64")
    try:
        text = b64decode(value, validate=True)
    except ValueError:
        return Dead(Reason.UNDECODABLE, f"{where} is no base64")
    return _object_at(text, where)


def _not_an_object(content: object) -> Dead:
    return no_event(f"the record is {kind_of(content)}, not an object")


class AsItIs(Unwrapper):
    """`stripe`: the record is the event, whatever the bytes were."""

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """The record itself."""
        return content if isinstance(content, dict) else _not_an_object(content)


class AtPath(Unwrapper):
    """A path to the event: `{path: message.event, text: true}`.

    text: the event stands there as JSON text.
    """

    def __init__(self, path: tuple[str, ...], *, text: bool) -> None:
        self._first = path[0]
        self._rest = path[1:]
        self._text = text
        self._where = f"`{'.'.join(path)}`"

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """What stands at the path."""
        if not isinstance(content, dict):
            return _not_an_object(content)
        found = content.get(self._first)
        for name in self._rest:
            if not isinstance(found, dict):
                break
            found = found.get(name)
        else:
            if self._text and isinstance(found, str | bytes):
                return _object_at(found, self._where)
            if not self._text and isinstance(found, dict):
                return found
        return self._wrong(content)

    def _wrong(self, content: Any) -> Dead:  # noqa: ANN401 - any JSON
        """What stands there instead, or on the way."""
        found = content
        walked: list[str] = []
        for name in (self._first, *self._rest):
            if not isinstance(found, dict):
                return no_event(f"`{'.'.join(walked)}` is {kind_of(found)}, not an object")
            walked.append(name)
            found = found.get(name)
        if self._text:
            hint = " (leave out `text: true`)" if isinstance(found, dict) else ""
            return no_event(f"{self._where} is {kind_of(found)}, not a text{hint}")
        hint = " (say `text: true`)" if isinstance(found, str) and found else ""
        return no_event(f"{self._where} is {kind_of(found)}, not an object{hint}")


class EventBridge(Unwrapper):
    """Amazon EventBridge: the event is `detail`."""

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """`detail`."""
        if not isinstance(content, dict):
            return _not_an_object(content)
        return _object_at(content.get("detail"), "`detail`")


class EventGrid(Unwrapper):
    """Azure Event Grid in its own schema: the event is `data`.

    Event Grid delivers lists; one of one event is that event.
    """

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """`data`."""
        if isinstance(content, list):
            if len(content) != 1:
                return no_event(
                    f"the record is a list of {len(content)} events, and one offset has one"
                    " outcome: let Event Grid deliver them one by one"
                )
            content = content[0]
        if not isinstance(content, dict):
            return _not_an_object(content)
        return _object_at(content.get("data"), "`data`")


class CloudEvents(Unwrapper):
    """CloudEvents 1.0 in Kafka's binding.

    Binary: the header ce_specversion is there, and the value is the event. Structured: the value
    is the CloudEvent in JSON's format, and the event is `data`, or `data_base64`.
    """

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """The value in binary mode, `data` in structured mode."""
        for name, _ in headers:
            if name == CE_HEADER:
                return _object_at(content, "the record")
        if not isinstance(content, dict):
            return _not_an_object(content)
        if not isinstance(content.get("specversion"), str):
            return no_event(
                "this is no CloudEvent: neither the header ce_specversion nor the field"
                " `specversion` is there"
            )
        encoded = content.get("data_base64")
        if encoded is not None:
            return _base64(encoded, "`data_base64`")
        return _object_at(content.get("data"), "`data`")


class Connect(Unwrapper):
    """Kafka Connect's JsonConverter with `schemas.enable`: the event is `payload`."""

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """`payload`: an object, JSON text, or bytes of it (which JSON carries as base64)."""
        if not isinstance(content, dict):
            return _not_an_object(content)
        if "schema" not in content:
            return no_event("`schema` is missing beside `payload`, as JsonConverter writes it")
        schema = content["schema"]
        if isinstance(schema, dict) and schema.get("type") == "bytes":
            return _base64(content.get("payload"), "`payload`")
        return _object_at(content.get("payload"), "`payload`")


def _without_schema(content: Any) -> Any:  # noqa: ANN401 - any JSON
    """What Connect's converters and routers put around a value, taken off: schema, text, bytes."""
    for _ in range(LEVELS_MAX):
        if isinstance(content, str | bytes) and content:
            content = _object_at(content, "the record")
        elif isinstance(content, dict) and "payload" in content and "data" not in content:
            schema = content.get("schema")
            binary = isinstance(schema, dict) and schema.get("type") == "bytes"
            payload = content["payload"]
            content = _base64(payload, "`payload`") if binary else payload
        else:
            break
    return content


class Debezium(Unwrapper):
    """A Debezium change of a table of events: the event is the row in `after`.

    The row's columns are the event's fields; `data` may be JSON text, as Debezium writes a column
    of JSON.
    """

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """`after`, with `data` read where it is text."""
        change = _without_schema(content)
        if not isinstance(change, dict):
            return change if isinstance(change, Dead) else _not_an_object(change)
        row = change.get("after")
        if not isinstance(row, dict):
            if change.get("op") == "d":
                return no_event("it is a deletion (`op` is d): there is no row in `after`")
            return no_event(f"`after` is {kind_of(row)}, not an object")
        inside = row.get("data")
        if not isinstance(inside, str) or not inside:
            return row
        found = _object_at(inside, "`after.data`")
        return {**row, "data": found} if isinstance(found, dict) else found


class DebeziumOutbox(Unwrapper):
    """Debezium's outbox event router: the event is the outbox table's payload.

    It comes as JSON, as JSON in a JSON text, as bytes, or in Connect's schema and payload,
    whichever converter is set.
    """

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401, ARG002
        """The payload."""
        found = _without_schema(content)
        return found if isinstance(found, dict | Dead) else _not_an_object(found)


class BareObjects(Unwrapper):
    """`object`: the record is a Stripe object without an event. only_type: of its topic."""

    def __init__(self, only_type: str) -> None:
        self._only_type = only_type

    def body(self, content: Any, headers: Headers, topic: str) -> Any:  # noqa: ANN401
        """The event that headers, rulebook or topic name make of it."""
        if not isinstance(content, dict):
            return _not_an_object(content)
        return BareObject(content, headers, topic, self._only_type).event()


PRESET_UNWRAPPERS: Final[Mapping[str, Unwrapper]] = {
    "stripe": AsItIs(),
    "eventbridge": EventBridge(),
    "eventgrid": EventGrid(),
    "cloudevents": CloudEvents(),
    "connect": Connect(),
    "debezium": Debezium(),
    "debezium-outbox": DebeziumOutbox(),
    "object": BareObjects(""),
}
"""By the name of the preset."""
