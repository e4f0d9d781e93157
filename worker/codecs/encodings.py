"""Encodings that a record's bytes do not tell of themselves: a topic's `encoding:`."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastavro import parse_schema
from fastavro.schema import fingerprint, to_parsing_canonical_form

from worker.codecs.avro import (
    HEADER_BYTES,
    MAGIC,
    AvroUnreadable,
    BodyReader,
    body_reader,
    packaged_generations,
    packaged_names,
    packaged_schema,
)
from worker.codecs.decode import NO_FRAME, Decoder
from worker.codecs.writer_schemas import event_reader
from worker.core.event import Dead, Reason
from worker.core.optional import optional_packages
from worker.core.ports import Headers
from worker.core.topic_rule import AS_TOLD, Encoding

if TYPE_CHECKING:
    from zstandard import ZstdDecompressor

PLAIN_BYTES_MAX: Final = 32 * 1024 * 1024
"""What a compressed record may be of: brokers take a megabyte unless told otherwise."""

GZIP_MAGIC: Final = b"\x1f\x8b"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
GZIP_WINDOW: Final = 31
"""zlib's word for a gzip header."""

SINGLE_OBJECT: Final = b"\xc3\x01"
"""How Avro's single-object encoding begins; the schema's fingerprint follows in eight bytes."""
SINGLE_OBJECT_BYTES: Final = 10
SCHEMA_ID_HEADER: Final = "__value_schema_id"
"""Where Confluent's serializers name a value's schema, if they do so in a header."""


class ContentReader(ABC):
    """Reads what a record holds. encoding: as the rulebook says it."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding

    @abstractmethod
    def content(self, value: bytes | None, headers: Headers) -> Any:  # noqa: ANN401 - any JSON, or what Avro holds
        """The content, or a Dead that says why it cannot be read."""


def content_reader(encoding: Encoding, decoder: Decoder) -> ContentReader:
    """How the values of a topic are read.

    Raises:
        UsageError: a package that the encoding needs is not installed.
    """
    if encoding.name == "zstd":
        return Compressed(encoding, decoder, Zstd().plain)
    if encoding.name == "avro":
        return BareAvro(encoding, body_reader(packaged_schema(encoding.schema)))
    readers: dict[str, ContentReader] = {
        "gzip": Compressed(encoding, decoder, gunzipped),
        "json-schema": FramedJson(encoding),
        "avro-single-object": SingleObjects(encoding),
        "avro-header": NamedByHeader(encoding, decoder),
    }
    return readers.get(encoding.name) or AsToldByBytes(AS_TOLD, decoder)


def compression_of(value: bytes) -> Encoding:
    """How a value is compressed, by its first bytes; AS_TOLD where it is not."""
    if value.startswith(GZIP_MAGIC):
        return Encoding("gzip")
    return Encoding("zstd") if value.startswith(ZSTD_MAGIC) else AS_TOLD


def _unreadable(why: str) -> Dead:
    return Dead(Reason.UNDECODABLE, why)


class AsToldByBytes(ContentReader):
    """JSON, or Avro in Confluent's frame."""

    def __init__(self, encoding: Encoding, decoder: Decoder) -> None:
        super().__init__(encoding)
        self._decoder = decoder

    def content(self, value: bytes | None, headers: Headers) -> Any:  # noqa: ANN401, ARG002
        """By its first byte."""
        return self._decoder.content(value)


class NamedByHeader(ContentReader):
    """Avro bodies whose schema a header names, as Confluent's newer serializers write them.

    A value without that header is told by its bytes, as Confluent's own deserializers do it.
    """

    def __init__(self, encoding: Encoding, decoder: Decoder) -> None:
        super().__init__(encoding)
        self._decoder = decoder

    def content(self, value: bytes | None, headers: Headers) -> Any:  # noqa: ANN401
        """By the schema that the header names."""
        for name, schema_id in headers:
            if name == SCHEMA_ID_HEADER and schema_id:
                return self._decoder.content_by_header(schema_id, value or b"")
        return self._decoder.content(value)


class Compressed(ContentReader):
    """One of the others, compressed by the producer's own code."""

    def __init__(
        self, encoding: Encoding, decoder: Decoder, plain: Callable[[bytes], bytes | Dead]
    ) -> None:
        super().__init__(encoding)
        self._decoder = decoder
        self._plain = plain

    def content(self, value: bytes | None, headers: Headers) -> Any:  # noqa: ANN401, ARG002
        """What is inside."""
        if not value:
            return self._decoder.content(value)
        found = self._plain(value)
        return found if isinstance(found, Dead) else self._decoder.content(found)


def gunzipped(value: bytes) -> bytes | Dead:
    """One gzip member to its end."""
    stream = zlib.decompressobj(GZIP_WINDOW)
    try:
        plain = stream.decompress(value, PLAIN_BYTES_MAX)
    except zlib.error:
        return _unreadable("the value is not gzip, or damaged")
    if not stream.eof and stream.unconsumed_tail:
        return _unreadable(f"the value is of more than {PLAIN_BYTES_MAX} bytes, decompressed")
    if not stream.eof:
        return _unreadable("the gzip stream is cut short")
    if stream.unused_data:
        return _unreadable(f"{len(stream.unused_data)} bytes follow the gzip stream")
    return plain


class Zstd:
    """Decompresses zstd frames."""

    def __init__(self) -> None:
        with optional_packages("encoding: zstd", extra="reconcile"):
            import zstandard  # noqa: PLC0415 - optional
        self._zstandard: Any = zstandard
        self._decompressor: ZstdDecompressor = zstandard.ZstdDecompressor()

    def plain(self, value: bytes) -> bytes | Dead:
        """One frame to its end."""
        try:
            size = self._zstandard.frame_content_size(value)
            if size > PLAIN_BYTES_MAX:
                return _unreadable(
                    f"the value is of more than {PLAIN_BYTES_MAX} bytes, decompressed"
                )
            return self._decompressor.decompress(
                value, max_output_size=PLAIN_BYTES_MAX, allow_extra_data=False
            )
        except self._zstandard.ZstdError:
            return _unreadable("the value is not zstd, damaged, or too large decompressed")


class FramedJson(ContentReader):
    """What Confluent's JSON Schema serializers write: a frame, then JSON.

    The JSON says all that an event needs, so no registry is asked, and none can be away.
    """

    def content(self, value: bytes | None, headers: Headers) -> Any:  # noqa: ANN401, ARG002
        """The JSON behind the frame."""
        if not value:
            return _unreadable("the record has no value")
        if value[0] != MAGIC or len(value) <= HEADER_BYTES:
            return _unreadable(
                "the value is not in Confluent's frame (0x00, four bytes of a schema's id, JSON)"
            )
        try:
            return orjson.loads(value[HEADER_BYTES:])
        except orjson.JSONDecodeError as error:
            return _unreadable(f"the JSON does not parse: {error.msg} (character {error.pos})")


class BareAvro(ContentReader):
    """Avro bodies of one schema, without any frame."""

    def __init__(self, encoding: Encoding, reader: BodyReader) -> None:
        super().__init__(encoding)
        self._reader = reader

    def content(self, value: bytes | None, headers: Headers) -> Any:  # noqa: ANN401, ARG002
        """The record, to the value's last byte."""
        if not value:
            return _unreadable("the record has no value")
        return _body(self._reader, value)


class SingleObjects(ContentReader):
    """Avro's single-object encoding, of any generation of the packaged schemas."""

    def content(self, value: bytes | None, headers: Headers) -> Any:  # noqa: ANN401, ARG002
        """The record of the schema whose fingerprint is before it."""
        if not value:
            return _unreadable("the record has no value")
        if value[:2] != SINGLE_OBJECT or len(value) < SINGLE_OBJECT_BYTES:
            return _unreadable("the value does not begin as Avro's single objects do (0xC3 0x01)")
        reader = _by_fingerprint().get(value[2:SINGLE_OBJECT_BYTES])
        if reader is None:
            return Dead(
                Reason.UNKNOWN_SCHEMA,
                "the fingerprint is of no generation of the packaged schemas",
            )
        return _body(reader, value[SINGLE_OBJECT_BYTES:])


def _body(reader: BodyReader, body: bytes) -> Any:  # noqa: ANN401
    try:
        return reader.read(NO_FRAME + body)
    except AvroUnreadable as error:
        return _unreadable(str(error))


@cache
def _by_fingerprint() -> dict[bytes, BodyReader]:
    """A reader for every generation of the packaged schemas, by CRC-64-AVRO, little-endian."""
    texts = [text for name in packaged_names() for text in packaged_generations(name).values()]
    return {_fingerprint(text): event_reader(text) for text in texts}


def _fingerprint(text: str) -> bytes:
    canonical = to_parsing_canonical_form(parse_schema(orjson.loads(text), named_schemas={}))
    return bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
