"""`encoding:`: what a record's bytes do not tell, read to the last byte or refused."""

from __future__ import annotations

import gzip
import json
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zstandard
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro import parse_schema, schemaless_writer

from tests.unit.producers_page import PAGE
from worker.codecs.avro import encode_event, packaged_generations
from worker.codecs.decode import NOT_YET, Decoder, SchemaId, SchemaPending
from worker.codecs.encodings import PLAIN_BYTES_MAX, _fingerprint
from worker.codecs.record_decoder import RecordDecoder
from worker.core.errors import UsageError
from worker.core.event import Dead, Event
from worker.core.ports import Headers
from worker.core.topic_rule import Encoding, Envelope, TopicRule
from worker.jobs.archive.records import ArchivedRecord
from worker.kafka.registry import Registry
from worker.rulebooks.load import PACKAGED, load

EVENT = {"id": "evt_1", "type": "charge.succeeded", "created": 9, "livemode": False,
         "data": {"object": {"id": "ch_1", "amount": 7, "currency": "usd"}}}  # fmt: skip
JSON = json.dumps(EVENT).encode()
PAYMENT = "stripe_payment_event"
FRAMED = encode_event(EVENT, PAYMENT, 1)
BODY = FRAMED[5:]
MARK = b"\xc3\x01"
NEWEST = max(packaged_generations(PAYMENT).items())[1]
OLDEST = packaged_generations(PAYMENT)[1]


def read(encoding: Encoding, value: bytes, envelope: str = "stripe") -> Event | Dead:
    rule = TopicRule("in", ("*",), envelope=Envelope(envelope), encoding=encoding)  # type: ignore[arg-type] # a name
    decoder = RecordDecoder(Decoder({1: PAYMENT}), {"in": rule})
    return decoder.read(ArchivedRecord("t", 0, 0, None, value), "in")


def written(text: str, event: dict[str, Any]) -> bytes:
    stream = BytesIO()
    schemaless_writer(stream, parse_schema(json.loads(text), named_schemas={}), event)
    return stream.getvalue()


def single(text: str) -> bytes:
    return MARK + _fingerprint(text) + written(text, EVENT)


def squeezed(plain: bytes, *, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=sized).compress(plain)


GZIP, ZSTD, JSON_SCHEMA = Encoding("gzip"), Encoding("zstd"), Encoding("json-schema")
BARE, SINGLE = Encoding("avro", PAYMENT), Encoding("avro-single-object")

READ = [
    (GZIP, gzip.compress(JSON)),
    (GZIP, gzip.compress(FRAMED)),
    (ZSTD, squeezed(JSON)),
    (ZSTD, squeezed(FRAMED, sized=False)),
    (JSON_SCHEMA, b"\0\0\0\0\x07" + JSON),
    (BARE, BODY),
    (SINGLE, single(NEWEST)),
    (SINGLE, single(OLDEST)),
]


@pytest.mark.parametrize(("encoding", "value"), READ)
def test_the_event_is_in_the_bytes(encoding: Encoding, value: bytes) -> None:
    """Each encoding gives the event that the plain one gives."""
    found = read(encoding, value)
    assert isinstance(found, Event), found
    assert (found.id, found.created) == ("evt_1", 9)
    assert found.body["data"]["object"]["amount"] == 7


BOMB = gzip.compress(b"{" + b" " * PLAIN_BYTES_MAX)

DEAD = [
    (GZIP, JSON, "the value is not gzip, or damaged"),
    (GZIP, gzip.compress(JSON)[:-9], "the gzip stream is cut short"),
    (GZIP, gzip.compress(JSON) + b"x", "1 bytes follow the gzip stream"),
    (GZIP, BOMB, f"of more than {PLAIN_BYTES_MAX} bytes"),
    (GZIP, gzip.compress(b"nothing"), "neither Avro"),
    (GZIP, b"", "the record has no value"),
    (ZSTD, JSON, "the value is not zstd"),
    (ZSTD, squeezed(JSON)[:-3], "the value is not zstd"),
    (ZSTD, squeezed(JSON) + b"x", "the value is not zstd"),
    (ZSTD, squeezed(b" " * (PLAIN_BYTES_MAX + 1)), f"of more than {PLAIN_BYTES_MAX} bytes"),
    (ZSTD, squeezed(b" " * (PLAIN_BYTES_MAX + 1), sized=False), "too large decompressed"),
    (JSON_SCHEMA, JSON, "not in Confluent's frame"),
    (JSON_SCHEMA, b"\0\0\0\0\x07", "not in Confluent's frame"),
    (JSON_SCHEMA, b"\0\0\0\0\x07{", "the JSON does not parse"),
    (JSON_SCHEMA, b"\0\0\0\0\x07[]", "the record is a list"),
    (BARE, BODY[:-1], "cut short"),
    (BARE, BODY + b"\0", "1 bytes follow the Avro body"),
    (BARE, b"", "the record has no value"),
    (SINGLE, FRAMED, "does not begin as Avro's single objects do"),
    (SINGLE, MARK + bytes(8) + BODY, "the fingerprint is of no generation"),
    (SINGLE, single(NEWEST)[:-1], "cut short"),
]


@pytest.mark.parametrize(("encoding", "value", "why"), DEAD)
def test_other_bytes_are_dead_with_the_reason(encoding: Encoding, value: bytes, why: str) -> None:
    """Cut, followed by more, too large, or of another encoding."""
    found = read(encoding, value)
    assert isinstance(found, Dead)
    assert why in found.detail


def test_the_fingerprint_is_avros() -> None:
    """The specification's own: CRC-64-AVRO of `"int"` is 7275d51a3f395c8f, little-endian."""
    assert _fingerprint('"int"') == bytes.fromhex("7275d51a3f395c8f")[::-1]


def test_an_envelope_may_be_in_an_encoding() -> None:
    """What is inside is unwrapped."""
    value = gzip.compress(json.dumps({"detail": EVENT}).encode())
    assert isinstance(read(GZIP, value, "eventbridge"), Event)


COMPRESSED = [(gzip.compress(JSON), GZIP), (squeezed(JSON), ZSTD), (zlib.compress(JSON), None)]


@pytest.mark.parametrize(("value", "encoding"), COMPRESSED)
def test_a_compressed_record_fits_its_encoding(value: bytes, encoding: Encoding | None) -> None:
    """By its first bytes."""
    fit = RecordDecoder(Decoder(), {}).shape(ArchivedRecord("t", 0, 0, None, value), "in")
    assert (fit and fit.encoding) == encoding


MISTAKES = [
    ("gzp", "did you mean 'gzip'?"),
    (
        "avro",
        "must be one of gzip, zstd, json-schema, avro-single-object, avro-header",
    ),
    ("{avro: stripe_payment}", "did you mean 'stripe_payment_event'?"),
    ("{}", "`avro` is missing"),
    ("{avrow: x}", "unknown key 'avrow'; did you mean 'avro'?"),
]


@pytest.mark.parametrize(("encoding", "message"), MISTAKES)
def test_a_mistake_is_told_by_its_line(encoding: str, message: str, tmp_path: Path) -> None:
    """The file, the line, and what was meant."""
    topic = "  payments: {"
    path = tmp_path / "rules.yaml"
    path.write_text(PACKAGED.read_text().replace(topic, f"{topic}encoding: {encoding}, ", 1))
    line = (
        path.read_text()
        .splitlines()
        .index(next(each for each in path.read_text().splitlines() if each.startswith(topic)))
        + 1
    )
    with pytest.raises(UsageError, match=f"rules.yaml:{line}: topic payments") as told:
        load(path)
    assert message in str(told.value)


def test_a_right_line_is_read(tmp_path: Path) -> None:
    """Every encoding as the rulebook writes it, and as the page of producers shows it."""
    page = PAGE.read_text()
    topic = "  payments: {"
    for said in (
        "gzip",
        "zstd",
        "json-schema",
        "avro-single-object",
        "avro-header",
        f"{{avro: {PAYMENT}}}",
    ):
        path = tmp_path / "rules.yaml"
        path.write_text(PACKAGED.read_text().replace(topic, f"{topic}encoding: {said}, ", 1))
        assert load(path).topics["payments"].shape == f"encoding: {said}, envelope: stripe"
        assert f"`encoding: {said}`" in page


def test_confluents_header_serializer_is_read() -> None:
    """Avro by its own code, with the schema's GUID in a header; another GUID is unknown."""
    client = SchemaRegistryClient.new_client({"url": "mock://headers"})
    conf = {"schema.id.serializer": header_schema_id_serializer}
    serializer = AvroSerializer(client, NEWEST, conf=conf)
    written_headers: list[tuple[str, str | bytes | None]] = []
    context = SerializationContext("stripe.payments", MessageField.VALUE, written_headers)
    value = serializer(EVENT, context)
    assert value is not None
    rule = TopicRule("in", ("*",), encoding=Encoding("avro-header"))
    decoder = RecordDecoder(Decoder({}, Registry(client, ask_seconds_max=0).reader), {"in": rule})
    ((name, guid),) = written_headers
    assert isinstance(guid, bytes)
    assert (name, guid[:1], len(guid)) == ("__value_schema_id", b"\1", 17)
    headers: Headers = [(name, guid)]
    for _ in range(2):  # from the registry, and from what was kept
        found = decoder.read(ArchivedRecord("t", 0, 0, None, value, headers), "in")
        assert isinstance(found, Event), found
        assert (found.id, found.body["data"]["object"]["amount"]) == ("evt_1", 7)


HEADER_IDS: list[tuple[Headers, bytes, str]] = [
    ([("__value_schema_id", b"\0\0\0\0\1")], BODY, ""),
    ([], FRAMED, ""),
    ([("__value_schema_id", b"\0\0\0\0\2")], BODY, "no schema is known by the id 2"),
    ([("__value_schema_id", b"\1" + bytes(16))], BODY, "by the id 00000000-0000-0000-0000-0000000"),
    ([("__value_schema_id", b"\1" + bytes(4))], BODY, "neither an id nor a GUID"),
    ([("__value_schema_id", b"\2" + bytes(16))], BODY, "neither an id nor a GUID"),
    ([("__value_schema_id", b"\0\0\0\0\1")], BODY[:-1], "cut short"),
]


@pytest.mark.parametrize(("headers", "value", "why"), HEADER_IDS)
def test_a_header_names_the_schema_by_number_or_guid(
    headers: Headers, value: bytes, why: str
) -> None:
    """Without the header the frame does; an unknown one is dead with the id."""
    rule = TopicRule("in", ("*",), encoding=Encoding("avro-header"))
    decoder = RecordDecoder(Decoder({1: PAYMENT}), {"in": rule})
    found = decoder.read(ArchivedRecord("t", 0, 0, None, value, headers), "in")
    assert isinstance(found, Dead) is bool(why), found
    assert not isinstance(found, Dead) or why in found.detail


def test_a_guid_that_is_not_known_yet_is_waited_for() -> None:
    """As an id is: its record is no dead letter."""

    def pending(_: SchemaId) -> None:
        raise SchemaPending

    rule = TopicRule("in", ("*",), encoding=Encoding("avro-header"))
    decoder = RecordDecoder(Decoder({}, pending), {"in": rule})
    headers: Headers = [("__value_schema_id", b"\1" + bytes(16))]
    assert decoder.read(ArchivedRecord("t", 0, 0, None, BODY, headers), "in") is NOT_YET


def test_confluents_json_schema_serializer_is_read() -> None:
    """What its own code writes, with its own frame, by a registry in its memory."""
    client = SchemaRegistryClient.new_client({"url": "mock://encodings"})
    serializer = JSONSerializer('{"title": "event", "type": "object"}', client)
    context = SerializationContext("stripe.payments", MessageField.VALUE)
    value = serializer(EVENT, context)
    assert value is not None
    found = read(JSON_SCHEMA, value)
    assert isinstance(found, Event), found
    assert found.body == EVENT
