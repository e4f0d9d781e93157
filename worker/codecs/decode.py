"""Bytes to an Event or a Dead: the first byte tells Avro from JSON. Never raises for the bytes.

A Dead names fields, positions and kinds, never values: a card or a name could be in those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import orjson

from worker.codecs.avro import (
    HEADER_BYTES,
    MAGIC,
    PACKAGED_IDS,
    AvroUnreadable,
    BodyReader,
    body_reader,
    frame,
    packaged_schema,
)
from worker.codecs.wrappers import looks_like
from worker.core.errors import BrokenInvariant
from worker.core.event import CREATED_MAX, Dead, Event, Reason
from worker.core.json_kinds import kind_of

BRACE: Final = ord("{")
JSON_SPACE: Final = b" \t\r\n"
JSON_STARTS: Final = (b"{", b"[", b'"')
ONE_EVENT: Final = "a record is one event, because one offset has one outcome"

UTF_16_BIG: Final = (b'\0{\0"', b"\0{\0 ", b"\0{\0\n", b"\0{\0\r")
"""How a JSON object begins there; as an Avro frame it would be a schema id of two billion."""

STARTS: Final = (
    (b"\xef\xbb\xbf", "begins with a byte order mark: send the JSON as UTF-8 without one"),
    (b"\xff\xfe", "is UTF-16, and JSON is read as UTF-8"),
    (b"\xfe\xff", "is UTF-16, and JSON is read as UTF-8"),
    (b"\0{", "is UTF-16, and JSON is read as UTF-8"),
    (b"\x1f\x8b", "is compressed: let Kafka's producer do that, or say `encoding: gzip`"),
    (
        b"\x28\xb5\x2f\xfd",
        "is compressed: let Kafka's producer do that, or say `encoding: zstd`",
    ),
)
"""What a value's first bytes say of it."""

SchemaId = int | str
"""What a registry knows a schema by: a number, or a GUID as text."""

GUID_BYTES: Final = 17
"""A one, and a GUID: how newer serializers name a schema in a header."""
SCHEMA_HEADERS: Final = ((b"\0", HEADER_BYTES), (b"\1", GUID_BYTES))
"""The first byte and the length of what names a schema there."""
NO_FRAME: Final = bytes(HEADER_BYTES)
"""Stands before a body that has no frame, where its reader skips one."""

TEXT_FIELDS: Final = ("id", "type")
TEXT_BYTES_MAX: Final = 255
"""What an event's id and its type may take in UTF-8: they are keys of records and in every log."""


class SchemaPending(Exception):
    """The schema of a record is not known yet, and will be, or will be known not to be."""


NOT_YET: Final = Dead(Reason.UNKNOWN_SCHEMA, "its schema is not known yet")
"""In place of an event whose schema is pending: this very object, and never an outcome."""


class Decoder:
    """Decodes records; knows which schema each id in an Avro frame means.

    schemas: schema id to packaged schema name; a name that is not packaged raises
        FileNotFoundError.
    find: gives the reader for any other id, None when it is unknown; called once for each known
        id. It may raise DependencyUnavailable, and then so does `decode`; SchemaPending gives
        NOT_YET.
    pending: has the last batch such a record?
    """

    def __init__(
        self,
        schemas: Mapping[int, str] = PACKAGED_IDS,
        find: Callable[[SchemaId], BodyReader | None] = lambda _: None,
    ) -> None:
        self._find = find
        self.pending = False
        self._framed: dict[bytes, BodyReader] = {
            frame(schema_id): body_reader(packaged_schema(name))
            for schema_id, name in schemas.items()
        }
        """The readers by the five bytes that a value of their schema begins with."""

    def decode_all(self, values: Iterable[bytes | None]) -> list[Event | Dead]:
        """Decode a batch: one result for each value, in order. A flat loop: it is hot."""
        found: list[Event | Dead] = []
        framed = self._framed
        self.pending = False
        for value in values:
            reader = framed.get(value[:HEADER_BYTES]) if value else None
            if reader is None or value is None:
                found.append(self.decode(value))
                continue
            try:
                body = reader.read(value)
            except AvroUnreadable as error:
                found.append(Dead(Reason.UNDECODABLE, str(error)))
            else:
                found.append(event_of(body))
        return found

    def decode(self, value: bytes | None) -> Event | Dead:
        """Decode one record's value."""
        if not value:
            return Dead(Reason.UNDECODABLE, "the record has no value")
        first = value[0]
        if first == BRACE:
            return _decode_json(value)
        if first == MAGIC and value[:4] not in UTF_16_BIG:
            return self._decode_avro(value)
        if value.lstrip(JSON_SPACE)[:1] == b"{":
            return _decode_json(value)
        return Dead(Reason.UNDECODABLE, _what_it_is(value))

    def content(self, value: bytes | None) -> Any:  # noqa: ANN401 - any JSON, or what Avro holds
        """What a value holds, be it an event or not: for envelopes. A Dead for what is unreadable.

        A list, a text and a number are read as well.
        """
        if not value:
            return Dead(Reason.UNDECODABLE, "the record has no value")
        if value[0] == MAGIC and value[:4] not in UTF_16_BIG:
            return self._avro_content(value, text=True)
        if value.lstrip(JSON_SPACE)[:1] in JSON_STARTS:
            return _json_content(value)
        return Dead(Reason.UNDECODABLE, _what_it_is(value))

    def body_of(self, value: bytes) -> Mapping[str, Any]:
        """The envelope of a value that was decoded before."""
        found = self.decode(value)
        if isinstance(found, Dead):
            raise BrokenInvariant(f"a value is not read as before: {found.detail}")
        return found.body

    def _decode_avro(self, value: bytes) -> Event | Dead:
        body = self._avro_content(value)
        return body if isinstance(body, Dead) else event_of(body)

    def content_by_header(self, header: bytes, body: bytes) -> Any:  # noqa: ANN401 - or a Dead
        """What an Avro body without a frame holds, whose schema a header of its record names.

        header: a zero byte and the schema's id in four, or a one and its GUID in sixteen.
        """
        if (header[:1], len(header)) not in SCHEMA_HEADERS:
            return Dead(
                Reason.UNDECODABLE, "the header that names the schema is neither an id nor a GUID"
            )
        return self._read(header, NO_FRAME + body, text=True)

    def _avro_content(self, value: bytes, *, text: bool = False) -> Any:  # noqa: ANN401 - or a Dead
        """What an Avro frame holds. text: a schema that is only a text or bytes is read as well."""
        if len(value) < HEADER_BYTES:
            return Dead(
                Reason.UNDECODABLE,
                f"the Avro frame is cut short: {len(value)} bytes, it takes {HEADER_BYTES}",
            )
        return self._read(value[:HEADER_BYTES], value, text=text)

    def _read(self, header: bytes, value: bytes, *, text: bool) -> Any:  # noqa: ANN401 - or a Dead
        try:
            reader = self._framed.get(header) or self._found(header)
        except SchemaPending:
            self.pending = True
            return NOT_YET
        if reader is None:
            detail = f"no schema is known by the id {schema_id_of(header)}"
            return Dead(Reason.UNKNOWN_SCHEMA, detail)
        try:
            return reader.read_text(value) if text else reader.read(value)
        except AvroUnreadable as error:
            return Dead(Reason.UNDECODABLE, str(error))

    def _found(self, header: bytes) -> BodyReader | None:
        reader = self._find(schema_id_of(header))
        if reader is not None:
            self._framed[header] = reader
        return reader


def schema_id_of(header: bytes) -> SchemaId:
    """The id in the bytes that name a schema: a number, or a GUID as text."""
    if header[0] == MAGIC:
        return int.from_bytes(header[1:], "big")
    return str(UUID(bytes=header[1:]))


def _what_it_is(value: bytes) -> str:
    """What a value is that is neither Avro nor a JSON object, by its first bytes."""
    for start, what in STARTS:
        if value.startswith(start):
            return f"the value {what}"
    if value.lstrip(JSON_SPACE)[:1] == b"[":
        return (
            "the value is a JSON list: several events in one record, and one offset has one outcome"
        )
    return "the value is neither Avro (first byte 0x00) nor JSON (first character {)"


def _after_json(value: bytes, error: orjson.JSONDecodeError) -> str:
    """Why a value that begins with a brace does not parse, in what can be known of it."""
    if value[1:2] == b"\0":
        return "the value is UTF-16, and JSON is read as UTF-8"
    text = value.decode(errors="replace")
    if text[: error.pos].rstrip().endswith("}") and text[error.pos : error.pos + 1] == "{":
        return f"more JSON follows the first object: {ONE_EVENT}"
    return f"the JSON does not parse: {error.msg} (character {error.pos})"


def _decode_json(value: bytes) -> Event | Dead:
    try:  # as in `_json_content`, without its call: it is hot
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return Dead(Reason.UNDECODABLE, _after_json(value, error))
    return event_of(body)


def _json_content(value: bytes) -> Any:  # noqa: ANN401 - any JSON, or a Dead
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return Dead(Reason.UNDECODABLE, _after_json(value, error))


def event_of(body: Mapping[str, Any]) -> Event | Dead:
    """The event in a decoded envelope, or what it lacks to be one."""
    get = body.get
    event_id, kind, created, content = get("id"), get("type"), get("created"), get("data")
    if (
        type(event_id) is str
        and type(kind) is str
        and type(created) is int
        and 0 <= created <= CREATED_MAX
        and type(content) is dict
        and type(content.get("object")) is dict
        and event_id
        and kind
        and "\0" not in event_id
        and len(event_id) <= TEXT_BYTES_MAX
        and len(kind) <= TEXT_BYTES_MAX
        and (event_id.isascii() or not _text_problem(event_id))
        and (kind.isascii() or not _text_problem(kind))
    ):
        return Event(event_id, kind, created, body)
    why = _why_not(body)
    return why._replace(detail=why.detail + looks_like(body))


def is_unicode(text: str) -> bool:
    """False for text with lone surrogates, which no UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_problem(text: str) -> str:
    """Why an id or a type cannot be one; empty when nothing is wrong."""
    if not is_unicode(text):
        return "holds a NUL or a lone surrogate"
    if len(text.encode()) > TEXT_BYTES_MAX:
        return f"takes more than {TEXT_BYTES_MAX} bytes"
    return ""


def _why_not(body: Mapping[str, Any]) -> Dead:
    """What keeps an envelope from being an event, by the first check that fails."""
    for name in TEXT_FIELDS:
        text = body.get(name)
        if not isinstance(text, str) or not text:
            return Dead(Reason.NOT_AN_EVENT, f"`{name}` is {kind_of(text)}, not a text")
        if name == "id" and "\0" in text:
            return Dead(Reason.BAD_KEY, "`id` holds a NUL or a lone surrogate")
        if problem := _text_problem(text):
            return Dead(Reason.BAD_KEY, f"`{name}` {problem}")
    if body.get("created") is None:
        return Dead(Reason.NOT_AN_EVENT, "`created` is missing")
    return _thin(body) or _bad_time(body["created"])


def _thin(body: Mapping[str, Any]) -> Dead | None:
    content = body.get("data")
    if not isinstance(content, dict):
        return Dead(Reason.THIN_EVENT, f"`data` is {kind_of(content)}: a thin event has no object")
    if not isinstance(content.get("object"), dict):
        kind = kind_of(content.get("object"))
        return Dead(Reason.THIN_EVENT, f"`data.object` is {kind}: a thin event has no object")
    return None


def _bad_time(created: object) -> Dead:
    if type(created) is not int:
        return Dead(
            Reason.BAD_TIME, f"`created` is {kind_of(created)}, not a whole number of seconds"
        )
    return Dead(Reason.BAD_TIME, f"`created` is outside 0…{CREATED_MAX}")
