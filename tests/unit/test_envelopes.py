"""Envelopes: the event as its origin wrote it, or a reason that names the field and its kind."""

from __future__ import annotations

import ast
import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from worker.codecs.avro import frame
from worker.codecs.decode import NOT_YET, Decoder, SchemaPending
from worker.codecs.fitting_envelope import fitting_envelope
from worker.codecs.record_decoder import RecordDecoder
from worker.codecs.writer_schemas import event_reader
from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.errors import UsageError
from worker.core.event import Dead, Event, Reason
from worker.core.ports import Headers
from worker.core.topic_rule import PRESETS, Envelope, TopicRule
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import PACKAGED, load
from worker.stages.decode import EventReader

CHARGE = {"id": "ch_1", "object": "charge", "created": 5, "amount": 7, "currency": "usd"}
EVENT = {"id": "evt_1", "object": "event", "type": "charge.succeeded", "created": 9,
         "data": {"object": CHARGE}}  # fmt: skip
TEXT = json.dumps(EVENT)
BASE64 = base64.b64encode(TEXT.encode()).decode()
ROW = EVENT | {"data": json.dumps(EVENT["data"])}
TOPIC = "prod.stripe.charge.succeeded"


def read(
    envelope: str,
    content: Any,
    headers: Headers | None = None,
    *,
    topic: str = TOPIC,
    types: tuple[str, ...] = ("*",),
) -> Event | Dead:
    value = content if isinstance(content, bytes) else json.dumps(content).encode()
    rule = TopicRule("in", types, envelope=envelope_of(envelope))
    record = ArchivedRecord(topic, 0, 0, None, value, headers or [])
    return RecordDecoder(Decoder(), {"in": rule}).read(record, "in")


def envelope_of(name: str) -> Envelope:
    """A preset, or a path: `a.b`, with `text` before it for JSON text."""
    if "." not in name:
        return Envelope(name)  # type: ignore[arg-type] # a name from a table
    text, _, path = name.rpartition(" ")
    return Envelope("", tuple(path.removesuffix(".").split(".")), text=bool(text))


CE: Headers = [("ce_specversion", b"1.0")]
BYTES = {"type": "bytes", "optional": False}

EVENTS = [
    ("eventbridge", {"id": "x", "time": "y", "detail": EVENT}, []),
    ("eventbridge", {"detail": TEXT}, []),
    ("eventgrid", {"id": "x", "data": EVENT}, []),
    ("eventgrid", [{"id": "x", "data": EVENT}], []),
    ("cloudevents", {"specversion": "1.0", "data": EVENT}, []),
    ("cloudevents", {"specversion": "1.0", "data": TEXT}, []),
    ("cloudevents", {"specversion": "1.0", "data_base64": BASE64}, []),
    ("cloudevents", EVENT, CE),
    ("cloudevents", TEXT, CE),
    ("connect", {"schema": None, "payload": EVENT}, []),
    ("connect", {"schema": {"type": "string"}, "payload": TEXT}, []),
    ("connect", {"schema": BYTES, "payload": BASE64}, []),
    ("debezium", {"op": "c", "after": EVENT}, []),
    ("debezium", {"op": "u", "before": {}, "after": ROW}, []),
    ("debezium", {"schema": {}, "payload": {"op": "r", "after": ROW}}, []),
    ("debezium-outbox", EVENT, []),
    ("debezium-outbox", TEXT, []),
    ("debezium-outbox", {"schema": {}, "payload": EVENT}, []),
    ("debezium-outbox", {"schema": {}, "payload": TEXT}, []),
    ("debezium-outbox", {"schema": BYTES, "payload": BASE64}, []),
    ("debezium-outbox", {"payload": TEXT, "eventType": "x"}, []),
    ("text body.", {"body": TEXT}, []),
    ("a.b.c", {"a": {"b": {"c": EVENT}}}, []),
    ("text a.b", {"a": {"b": TEXT}}, []),
]


@pytest.mark.parametrize(("envelope", "content", "headers"), EVENTS)
def test_the_event_is_its_origins(envelope: str, content: Any, headers: Headers) -> None:
    """Its id and `created` are its own, and the body has nothing of the wrapper."""
    found = read(envelope, content, headers)
    assert isinstance(found, Event), found
    assert (found.id, found.type, found.created, found.body) == (
        "evt_1", "charge.succeeded", 9, EVENT,
    )  # fmt: skip


DEAD = [
    ("eventbridge", EVENT, "`detail` is missing, not an object"),
    ("eventbridge", {"detail": 5}, "`detail` is a number, not an object"),
    ("eventbridge", {"detail": "{"}, "`detail` is a text that is no JSON"),
    ("eventbridge", {"detail": "[]"}, "`detail` is JSON text of a list"),
    ("eventbridge", [{"detail": EVENT}], "the record is a list"),
    ("eventbridge", {"detail": {"id": 5}}, "`id` is a number, not a text"),
    ("eventgrid", [{"data": EVENT}] * 2, "a list of 2 events, and one offset"),
    ("eventgrid", [], "a list of 0 events"),
    ("cloudevents", EVENT, "neither the header ce_specversion"),
    ("cloudevents", {"specversion": "1.0"}, "`data` is missing"),
    ("cloudevents", {"specversion": "1.0", "data_base64": "!"}, "`data_base64` is no base64"),
    ("cloudevents", {"specversion": "1.0", "data_base64": 1}, "`data_base64` is a number"),
    ("connect", {"payload": EVENT}, "`schema` is missing beside"),
    ("connect", {"schema": None, "payload": None}, "`payload` is missing"),
    ("debezium", {"op": "d", "after": None}, "it is a deletion"),
    ("debezium", {"op": "c", "after": None}, "`after` is missing"),
    (
        "debezium",
        {"op": "c", "after": EVENT | {"data": "5"}},
        "`after.data` is JSON text of a number",
    ),
    ("debezium-outbox", [EVENT], "the record is a list"),
    ("debezium-outbox", {"payload": 5}, "the record is a number"),
    ("text body.", {"body": EVENT}, "not a text (leave out `text: true`)"),
    ("body.", {"body": TEXT}, "not an object (say `text: true`)"),
    ("a.b.c", {"a": {"b": 5}}, "`a.b` is a number, not an object"),
    ("a.b.c", {"a": {"b": {}}}, "`a.b.c` is missing, not an object"),
    ("object", EVENT, "the record is an event"),
    ("object", {"id": "ch_1"}, "`object` is missing"),
    ("object", CHARGE | {"created": "x"}, "`created` is a text"),
    ("object", CHARGE | {"id": 5}, "`id` is a number, and no header"),
    ("stripe", [EVENT], "several events in one record"),
]


@pytest.mark.parametrize(("envelope", "content", "why"), DEAD)
def test_what_is_not_wrapped_so_says_what_was_there(envelope: str, content: Any, why: str) -> None:
    """The reason names the field and its kind; nothing else is tried."""
    found = read(envelope, content)
    assert isinstance(found, Dead)
    assert why in found.detail
    assert "evt_1" not in found.detail


OBJECTS = [
    ([("type", b"payout.paid"), ("id", b"e")], "x", ("*",), "e", "payout.paid", 5),
    ([("event_type", b"payout.paid")], "x", ("*",), "payout.paid/ch_1", "payout.paid", 5),
    (
        [("ce_type", b"a.b"), ("ce_id", b"e"), ("ce_time", b"1970-01-01T00:01:40+00:00")],
        "x",
        ("*",),
        "e",
        "a.b",
        100,
    ),
    (
        [("created", b"77")],
        "x",
        ("charge.captured",),
        "charge.captured/ch_1",
        "charge.captured",
        77,
    ),
    ([], TOPIC, ("*",), "charge.succeeded/ch_1", "charge.succeeded", 5),
    ([], "stripe.charge.failed", ("*",), "charge.failed/ch_1", "charge.failed", 5),
]


@pytest.mark.parametrize(("headers", "topic", "types", "event_id", "kind", "created"), OBJECTS)
def test_a_bare_object_becomes_the_event_that_is_named(  # noqa: PLR0913, PLR0917 - a table
    headers: Headers, topic: str, types: tuple[str, ...], event_id: str, kind: str, created: int
) -> None:
    """By headers first, then by the one type of the topic, then by the topic's name."""
    found = read("object", CHARGE, headers, topic=topic, types=types)
    assert isinstance(found, Event), found
    assert (found.id, found.type, found.created) == (event_id, kind, created)
    assert found.body["data"] == {"object": CHARGE}


NAMELESS: list[tuple[Headers, str, str]] = [
    ([], "payments", "nothing names the event's type"),
    ([], "stripe.charge.updated", "an object has many of the type"),
    ([("id", b"\xff")], TOPIC, "a header that names the event is not UTF-8"),
    ([("created", b"yesterday")], TOPIC, "neither whole seconds nor an ISO 8601 time"),
    ([("created", b"2026-01-01T00:00:00")], TOPIC, "neither whole seconds nor an ISO 8601 time"),
]


@pytest.mark.parametrize(("headers", "topic", "why"), NAMELESS)
def test_a_bare_object_that_nothing_names_is_dead(headers: Headers, topic: str, why: str) -> None:
    """No id, type or time is invented."""
    found = read("object", CHARGE, headers, topic=topic)
    assert isinstance(found, Dead)
    assert why in found.detail


def test_a_bare_object_keeps_whose_it_is() -> None:
    """The guards of mode and account hold for it as for an event."""
    headers: Headers = [("account", b"acct_1")]
    found = read("object", CHARGE | {"livemode": False}, headers)
    assert isinstance(found, Event)
    assert (found.body["livemode"], found.body["account"]) == (False, "acct_1")


def test_an_avro_record_is_unwrapped_as_json_is() -> None:
    """What AvroConverter writes is a record of the same fields."""
    schema = {
        "type": "record", "name": "Envelope", "fields": [
            {"name": "op", "type": "string"},
            {"name": "after", "type": ["null", {"type": "record", "name": "Value", "fields": [
                {"name": "id", "type": "string"}, {"name": "type", "type": "string"},
                {"name": "created", "type": "long"}, {"name": "data", "type": "string"}]}]},
        ],
    }  # fmt: skip

    body = BytesIO()
    row = {name: ROW[name] for name in ("id", "type", "created", "data")}
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), {"op": "c", "after": row})
    reader = event_reader(json.dumps(schema))
    decoder = RecordDecoder(
        Decoder({}, lambda _: reader),
        {"in": TopicRule("in", ("*",), envelope=envelope_of("debezium"))},
    )
    found = decoder.read(ArchivedRecord("t", 0, 0, None, frame(7) + body.getvalue()), "in")
    assert isinstance(found, Event), found
    assert (found.id, found.body["data"]) == ("evt_1", {"object": CHARGE})


TEXT_SCHEMAS = [
    {"type": "string", "connect.version": 1, "connect.name": "io.debezium.data.Json"},
    "string",
    "bytes",
    ["null", "string"],
]


@pytest.mark.parametrize("schema", TEXT_SCHEMAS)
def test_an_outbox_by_avro_converter_is_a_text(schema: Any) -> None:
    """The router leaves a text, whose Avro schema is that; without the line it is dead."""
    body = BytesIO()
    text = TEXT.encode() if schema == "bytes" else TEXT
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), text)
    reader = event_reader(json.dumps(schema))
    rules = {
        "in": TopicRule("in", ("*",), envelope=envelope_of("debezium-outbox")),
        "plain": TopicRule("plain", ("*",)),
    }
    decoder = RecordDecoder(Decoder({}, lambda _: reader), rules)
    record = ArchivedRecord("t", 0, 0, None, frame(7) + body.getvalue())
    found = decoder.read(record, "in")
    assert isinstance(found, Event), found
    assert found.body == EVENT
    cut = ArchivedRecord("t", 0, 0, None, frame(7) + body.getvalue()[:-1])
    assert isinstance(decoder.read(cut, "in"), Dead)
    dead = decoder.read(record, "plain")
    assert isinstance(dead, Dead)
    assert "an event is a record" in dead.detail
    fit = decoder.shape(record, "plain")
    assert fit is not None
    assert str(fit.envelope) == "debezium-outbox"


RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
topics:
  plain: {types: ["charge.*"]}
  bridge: {types: ["charge.*"], envelope: eventbridge}
accounts:
  a: {code: 1, type: asset}
  b: {code: 2, type: liability}
transactions:
  charge:
    on: charge.succeeded
    currency: data.object.currency
    transfers:
      gross: {debit: a, credit: b, amount: data.object.amount, code: 1}
"""


def test_each_role_is_read_in_its_own_way(tmp_path: Path) -> None:
    """In one batch; a parked record by the role that it says, and a body that was set aside."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    reader = EventReader(Decoder(), Translator(load(path)))
    plain = Assignment("a", 0, "plain", base=1 << 40, until=100, opened=True)
    bridge = Assignment("b", 0, "bridge", base=1 << 40, until=100, opened=True)
    parked = Assignment("p.1", 0, "", base=1 << 40, until=100, opened=True)
    said: Headers = [("ledger_worker.role", b"bridge")]
    wrapped = json.dumps({"detail-type": "x", "source": "y", "detail": EVENT}).encode()
    taken: Any = [
        (ArchivedRecord("a", 0, 0, None, TEXT.encode()), plain),
        (ArchivedRecord("b", 0, 1, None, wrapped), bridge),
        (ArchivedRecord("p.1", 0, 2, None, wrapped, said), parked),
        (ArchivedRecord("b", 0, 3, None, TEXT.encode()), bridge),
        (ArchivedRecord("a", 0, 4, None, wrapped), plain),
    ]
    items = list(reader.items(taken, reader.decode_taken(taken), group="g"))
    chains = [item.translated for item in items]
    assert [isinstance(each, Chain) for each in chains] == [True, True, True, False, False]
    for each in chains[:3]:
        assert isinstance(each, Chain)
        assert each.event.body == EVENT  # set aside before, and read again
    assert isinstance(chains[4], Dead)
    assert "(envelope: eventbridge)" in chains[4].detail


def test_a_record_whose_schema_is_not_known_yet_waits() -> None:
    """Unwrapping does not make a dead letter of it."""

    def pending(_: int | str) -> None:
        raise SchemaPending

    rule = TopicRule("in", ("*",), envelope=envelope_of("debezium"))
    decoder = RecordDecoder(Decoder({}, pending), {"in": rule})
    assert decoder.read(ArchivedRecord("t", 0, 0, None, frame(7) + b"\x02{"), "in") is NOT_YET
    assert decoder.pending


MISTAKES = [
    ("eventbrige", "did you mean 'eventbridge'?"),
    ("{}", "`path` is missing"),
    ("{path: a..b}", "`path` is the names to the event with dots between"),
    ("{path: a, txt: true}", "unknown key 'txt'; did you mean 'text'?"),
    ("{path: a, text: 5}", "`text` must be true or false"),
    ("[eventbridge]", "`envelope` must be text"),
]


@pytest.mark.parametrize(("envelope", "message"), MISTAKES)
def test_a_mistake_is_told_by_its_line(envelope: str, message: str, tmp_path: Path) -> None:
    """The file, the line, and what was meant."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace("eventbridge", envelope))
    with pytest.raises(UsageError, match=r"rules.yaml:6: topic bridge") as told:
        load(path)
    assert message in str(told.value)


FITS = [
    ({"hello": {"x": {"y": EVENT}}}, "{path: hello.x.y}"),
    ({"hello": [EVENT]}, ""),
    ({"data": EVENT}, "{path: data}"),
    ({"Records": {"body": TEXT}}, "{path: Records.body, text: true}"),
    (CHARGE, "object"),
    ({"hello": "world"}, ""),
    (TEXT, "debezium-outbox"),
    (5, ""),
]


@pytest.mark.parametrize(("content", "envelope"), FITS)
def test_a_path_is_found_where_no_preset_fits(content: Any, envelope: str) -> None:
    """What stands deepest in an unknown wrapper, with its path; nothing where there is no event."""
    found = fitting_envelope(content, [], "t")
    assert (str(found.envelope) if found else "") == envelope


def test_the_editor_completes_every_preset() -> None:
    """The rulebook's JSON schema lists the presets that the loader takes."""
    schema = json.loads(PACKAGED.with_name("rulebook.schema.json").read_text())
    topic = schema["properties"]["topics"]["additionalProperties"]["properties"]
    assert tuple(topic["envelope"]["oneOf"][0]["enum"]) == PRESETS


def test_everybody_reads_topics_by_the_same_roles() -> None:
    """No command builds a reader that does not know which topic a role is."""
    short = [
        f"{path.name}:{node.lineno}"
        for path in Path("worker").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"EventReader", "RecordDecoder"}
        and len(node.args) < 3
    ]
    assert short == []


def test_an_event_without_its_envelope_is_the_same_event() -> None:
    """What a rebuild keeps of a record gives the event again."""
    rule = TopicRule("in", ("*",), envelope=envelope_of("eventbridge"))
    decoder = RecordDecoder(Decoder(), {"in": rule})
    record = ArchivedRecord("t", 0, 0, None, json.dumps({"detail": EVENT}).encode())
    event = decoder.read(record, "in")
    assert isinstance(event, Event)
    again = decoder.event_in(decoder.plain_value(event, record, "in"), "in")
    assert isinstance(again, Event)
    assert again.body == event.body
    assert read("eventbridge", EVENT).reason == Reason.NOT_AN_EVENT  # type: ignore[union-attr] # dead
