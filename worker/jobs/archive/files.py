"""Reads archives of topics: JSON lines or Avro container files, plain, gzip or zstd.

A file that cannot be read whole is refused. A line is one JSON object, as `ledger-worker generate
--to FILE` writes it:

    {"topic": "stripe.payments", "partition": 3, "offset": 17, "timestamp": 1767225600000,
     "key": "cus_1", "headers": [["traceparent", "00-…"]], "value": {…}}

`topic` and `value` are required. A value that is no JSON object is in `value_base64`, and a key or
header that is no text in `key_base64` or the header's third element. A line that is itself an event
(`id`, `type`, `created`, `data`) belongs to the topic that the caller names. An Avro container
holds records of the same fields with `value` as bytes, or events.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

import orjson
from fastavro import reader

from worker.codecs.avro import UNREADABLE as AVRO_UNREADABLE
from worker.core.errors import UsageError
from worker.core.ports import Headers
from worker.jobs.archive.compression import UNREADABLE, open_plain
from worker.jobs.archive.records import ArchivedRecord

AVRO_MAGIC: Final = b"Obj\x01"
POSITION_FIELDS: Final = ("partition", "offset")


class BadRecord(Exception):
    """A record of an archive that cannot be read; the message says what is wrong with it."""


class Numbering:
    """Offsets for records whose archive does not say where they were."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, topic: str) -> int:
        """The next offset of this topic."""
        self._seen[topic] += 1
        return self._seen[topic] - 1


def read_archives(paths: Iterable[Path], *, topic: str = "") -> Iterator[ArchivedRecord]:
    """The records of these files, one after the other.

    topic: of events in a file that name none.

    Raises:
        UsageError: a file cannot be read to its end, or a record of it is broken.
    """
    numbering = Numbering()
    for path in paths:
        yield from _read(path, topic, numbering)


def _read(path: Path, topic: str, numbering: Numbering) -> Iterator[ArchivedRecord]:
    count = 0
    try:
        with open_plain(path) as stream:
            avro = stream.peek(4)[:4] == AVRO_MAGIC
            for found in _containers(stream) if avro else _lines(stream):
                yield _record(found, topic, numbering)
                count += 1
    except BadRecord as bad:
        raise UsageError(f"{path}, record {count + 1}: {bad}") from None
    except UNREADABLE:
        raise UsageError(f"{path} is damaged or cut short after record {count}") from None


def _lines(stream: BufferedReader) -> Iterator[Mapping[str, Any]]:
    for line in stream:
        if not line.strip():
            continue
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise BadRecord("the line is not JSON, or cut short") from None
        if not isinstance(found, dict):
            raise BadRecord("the line is no JSON object")
        yield found


def _containers(stream: BufferedReader) -> Iterator[Mapping[str, Any]]:
    try:
        for found in reader(stream):
            if not isinstance(found, dict):
                raise BadRecord("the Avro record is no record of fields")
            yield found
    except AVRO_UNREADABLE:
        raise BadRecord("the Avro container is damaged or cut short") from None


def _record(found: Mapping[str, Any], topic: str, numbering: Numbering) -> ArchivedRecord:
    if "topic" not in found and _is_event(found):
        if not topic:
            raise BadRecord("it is an event and names no topic: say with --topic which it is of")
        value = orjson.dumps(found, default=_plain)
        return ArchivedRecord(topic, 0, numbering.next(topic), None, value, has_position=False)
    name = found.get("topic")
    if not isinstance(name, str) or not name:
        raise BadRecord("`topic` is missing")
    has_position = all(found.get(field) is not None for field in POSITION_FIELDS)
    return ArchivedRecord(
        topic_name=name,
        partition_number=_number(found, "partition") if has_position else 0,
        offset_number=_number(found, "offset") if has_position else numbering.next(name),
        key_bytes=_bytes(found, "key"),
        value_bytes=_value(found),
        header_list=_headers(found.get("headers")),
        timestamp_ms=_number(found, "timestamp", least=-INT64_LIMIT)
        if found.get("timestamp") is not None
        else 0,
        has_position=has_position,
    )


INT64_LIMIT: Final = 1 << 63
"""A producer may write any time of 64 bits, before 1970 too."""


def _is_event(found: Mapping[str, Any]) -> bool:
    return "type" in found and "created" in found


def _plain(value: object) -> object:
    """What Avro has and JSON has not; an event's schema has neither of them."""
    raise BadRecord(f"the event holds a {type(value).__name__}, which no event does")


def _number(found: Mapping[str, Any], name: str, *, least: int = 0) -> int:
    value = found[name]
    if type(value) is not int or not least <= value < INT64_LIMIT:
        raise BadRecord(f"`{name}` is not a whole number")
    return value


def _value(found: Mapping[str, Any]) -> bytes | None:
    value = found.get("value")
    if isinstance(value, dict):
        return orjson.dumps(value)
    if value is None and "value" not in found and "value_base64" not in found:
        raise BadRecord("`value` is missing")
    return _bytes(found, "value")


def _bytes(found: Mapping[str, Any], name: str) -> bytes | None:
    """A field's bytes: as they are, as text, or in base64 under `name_base64`; None for null."""
    value = found.get(name)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if value is not None:
        raise BadRecord(f"`{name}` is neither text nor bytes")
    return _from_base64(found.get(f"{name}_base64"), f"{name}_base64")


def _from_base64(text: object, name: str) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadRecord(f"`{name}` is no text")
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise BadRecord(f"`{name}` is not base64") from None


def _headers(found: object) -> Headers:
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadRecord("`headers` is no list")
    return [_header(header) for header in found]


def _header(header: object) -> tuple[str, bytes | None]:
    match header:
        case [str(name), None, str(text)]:
            return name, _from_base64(text, "headers")
        case [str(name), str(text)]:
            return name, text.encode()
        case [str(name), None]:
            return name, None
        case {"name": str(name), "value": bytes(value)}:
            return name, value
        case {"name": str(name), "value": None}:
            return name, None
    raise BadRecord("a header is not [name, text] or [name, null, base64]")
