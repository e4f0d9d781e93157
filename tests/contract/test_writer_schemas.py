"""What others wrote: read by their own schema, missing where that lacks a field, never a crash."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.contract.payment_schema import framed, object_fields, payment_schema, without_fields
from worker.codecs.avro import AvroUnreadable, frame
from worker.codecs.decode import Decoder
from worker.codecs.writer_schemas import RefusedBodies, event_reader, field_paths, parsed_writer
from worker.core.chain import Chain
from worker.core.event import Dead, Event, Reason
from worker.core.translate import Translator
from worker.rulebooks.load import load

CHARGE: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.succeeded",
    "created": 1_767_225_600,
    "livemode": True,
    "data": {
        "object": {
            "id": "ch_1",
            "object": "charge",
            "amount": 2000,
            "currency": "usd",
            "created": 1_767_225_600,
            "customer": "cus_1",
            "payer": "cus_1",
            "paid": True,
            "captured": True,
            "amount_captured": 2000,
            "payment_intent": "pi_1",
            "status": "succeeded",
        }
    },
}


def written(schema: Any, record: Any = CHARGE, schema_id: int = 7) -> bytes:
    return framed(schema, record, schema_id)


def decoded(schema: Any, record: Any = CHARGE) -> Event | Dead:
    """A record of this schema, as a worker with a registry reads it."""
    reader = event_reader(json.dumps(schema))
    return Decoder({}, lambda _: reader).decode(written(schema, record))


def test_fields_in_another_order_are_read_by_their_names() -> None:
    """A producer's copy of our schema with two fields swapped says what it says, by its schema."""
    swapped = payment_schema()
    fields = object_fields(swapped)
    names = [each["name"] for each in fields]
    first, second = names.index("customer"), names.index("payment_intent")
    fields[first], fields[second] = fields[second], fields[first]
    event = decoded(swapped)
    assert isinstance(event, Event)
    assert event.body["data"]["object"]["customer"] == "cus_1"
    assert event.body["data"]["object"]["payment_intent"] == "pi_1"


def test_a_field_that_the_writers_schema_lacks_is_missing(tmp_path: Path) -> None:
    """Null is what a producer says; what its schema has no room for, it has not said."""
    book = tmp_path / "book.yaml"
    book.write_text(TO_NOBODY)
    translator = Translator(load(book))
    nobody = copy.deepcopy(CHARGE)
    del nobody["data"]["object"]["customer"]
    null, lacking = decoded(payment_schema(), nobody), decoded(without_fields("customer"))
    assert isinstance(null, Event)
    assert isinstance(translator.translate(null, role="payments"), Chain)
    assert isinstance(lacking, Event)
    assert "customer" not in lacking.body["data"]["object"]
    told = translator.translate(lacking, role="payments")
    assert isinstance(told, Dead)
    assert (told.reason, "customer" in told.detail) == (Reason.MISSING_FIELD, True)


TO_NOBODY = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
accounts:
  clearing: {title: Clearing, code: 1, type: asset}
  nobody: {title: Nobody's, code: 2, type: liability}
transactions:
  charge:
    on: charge.succeeded
    when: data.object.customer == null
    currency: data.object.currency
    transfers:
      gross: {debit: clearing, credit: nobody, amount: data.object.amount, code: 1}
"""


def test_a_field_that_was_renamed_is_found_by_its_alias() -> None:
    """A generation that calls `customer` `payer` and says so is booked as before."""
    renamed = payment_schema()
    for each in object_fields(renamed):
        if each["name"] == "customer":
            each |= {"name": "payer", "aliases": ["customer"]}
    event = decoded(renamed)
    assert isinstance(event, Event)
    assert event.body["data"]["object"]["customer"] == "cus_1"


def test_types_are_widened_by_avros_rules() -> None:
    """An int where we have a long, and a field that is not nullable, are what they were."""
    narrower = payment_schema()
    for each in object_fields(narrower):
        if each["name"] == "amount":
            each |= {"type": "int", "default": 0}
    event = decoded(narrower)
    assert isinstance(event, Event)
    assert event.body["data"]["object"]["amount"] == 2000


def test_a_schema_of_ones_own_with_the_same_paths() -> None:
    """Another name and namespace, enums, and logical types as what they are made of."""
    own = {
        "type": "record",
        "name": "Envelope",
        "namespace": "com.shop",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "type", "type": {"type": "enum", "name": "Kind", "symbols": ["a", "b"]}},
            {"name": "created", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {
                "name": "data",
                "type": {
                    "type": "record",
                    "name": "Data",
                    "fields": [
                        {
                            "name": "object",
                            "type": {
                                "type": "record",
                                "name": "Thing",
                                "fields": [{"name": "id", "type": ["null", "string", "int"]}],
                            },
                        }
                    ],
                },
            },
        ],
    }
    found = decoded(own, {"id": "e", "type": "b", "created": 7, "data": {"object": {"id": 5}}})
    assert isinstance(found, Event)
    assert found.body == {"id": "e", "type": "b", "created": 7, "data": {"object": {"id": 5}}}


def test_references_are_read() -> None:
    """A schema that refers to another one, which refers to a third, is read with them."""
    money = {"type": "record", "name": "m.Money", "fields": [{"name": "amount", "type": "long"}]}
    thing = {
        "type": "record",
        "name": "m.Thing",
        "fields": [{"name": "paid", "type": "m.Money"}, {"name": "fee", "type": "m.Money"}],
    }
    event = {
        "type": "record",
        "name": "m.Event",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "type", "type": "string"},
            {"name": "created", "type": "long"},
            {
                "name": "data",
                "type": {
                    "type": "record",
                    "name": "Data",
                    "fields": [{"name": "object", "type": "m.Thing"}],
                },
            },
        ],
    }
    references = [json.dumps(money), json.dumps(thing)]
    alone = parsed_writer(json.dumps(event), references)
    assert ("data", "object", "fee", "amount") in field_paths(alone)
    record = {"paid": {"amount": 5}, "fee": {"amount": 1}}
    value = written(
        copy.deepcopy(alone), {"id": "e", "type": "t", "created": 1, "data": {"object": record}}
    )
    reader = event_reader(json.dumps(event), references)
    found = Decoder({}, lambda _: reader).decode(value)
    assert isinstance(found, Event)
    assert found.body["data"]["object"] == record


NODE: dict[str, Any] = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "next", "type": ["null", "Node"], "default": None}],
}


def nested(levels: int) -> Any:
    schema: Any = "string"
    for number in range(levels):
        schema = {
            "type": "record",
            "name": f"R{number}",
            "fields": [{"name": "x", "type": schema}],
        }
    return schema


def doubled(levels: int) -> Any:
    """Each record twice the one before it, the innermost empty: 2 to the power of levels parts."""
    texts: list[dict[str, Any]] = [{"type": "record", "name": "R0", "fields": []}]
    for number in range(1, levels):
        fields = [{"name": name, "type": f"R{number - 1}"} for name in ("a", "b")]
        texts.append({"type": "record", "name": f"R{number}", "fields": fields})
    return texts


EMPTY_ITEMS = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "x", "type": {"type": "array", "items": "null"}}],
}

REFUSED = [
    ('"string"',                                                     "of string"),
    ('"bytes"',                                                      "of bytes"),
    ('{"type": "array", "items": "string"}',                         "of array"),
    (json.dumps([payment_schema(), "null"]),                         "of a union"),
    ('{"type": "enum", "name": "E", "symbols": ["a"]}',              "of enum"),
    (json.dumps(NODE),                                               "recursive"),
    (json.dumps(nested(70)),                                         "deeper than 128"),
    (json.dumps(nested(300)),                                        "deeper than 128"),
    (json.dumps(EMPTY_ITEMS),                                        "take no bytes"),
    ("not JSON",                                                     "no Avro schema"),
    ('{"type": "record"}',                                           "no Avro schema"),
    ('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "Nowhere"}]}',
                                                                     "no Avro schema"),
    ("[1]",                                                          "no Avro schema"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_is_no_schema_of_an_event_is_refused(text: str, why: str) -> None:
    """The reason names what was there; every record under such an id is a dead letter."""
    reader = event_reader(text)
    assert isinstance(reader, RefusedBodies)
    assert why in reader.why
    found = Decoder({}, lambda _: reader).decode(frame(7) + b"\x02{")
    assert isinstance(found, Dead)
    assert (found.reason, why in found.detail) == (Reason.UNDECODABLE, True)


def test_what_grows_beyond_all_bounds_is_refused() -> None:
    """References that double at each level, and a chain of references, end soon and are refused."""
    *references, last = [json.dumps(each) for each in doubled(60)]
    reader = event_reader(last, references)
    assert isinstance(reader, RefusedBodies)
    assert "types" in reader.why or "deeper" in reader.why


def test_a_deep_body_of_a_recursive_schema_ends_nothing() -> None:
    """30 KB that once ended the process within the reader: one dead letter."""
    reader = event_reader(json.dumps(NODE))
    with pytest.raises(AvroUnreadable, match="recursive"):
        reader.read(frame(7) + b"\x02" * 30_000 + b"\x00")


LEAVES: list[Any] = [None, 0, -1, 1.5, "", "string", "long", "null", [], {}, ["null"], True]


def mutated(schema: Any, chance: random.Random) -> Any:
    """The schema with a few of its parts replaced, left out or exchanged."""
    made = copy.deepcopy(schema)
    for _ in range(chance.randint(1, 3)):
        at: Any = made
        while True:
            keys = list(at) if isinstance(at, dict) else range(len(at))
            if not keys:
                break
            key = chance.choice(list(keys))
            if isinstance(at[key], dict | list) and at[key] and chance.random() < 0.8:
                at = at[key]
                continue
            if chance.random() < 0.3:
                del at[key]
            else:
                at[key] = copy.deepcopy(chance.choice([*LEAVES, schema["fields"]]))
            break
    return made


def test_whatever_a_registry_holds_ends_nothing() -> None:
    """Mutated schemas, and bodies of ours read under them: an event or a dead letter, each time."""
    chance = random.Random(7)
    schema, body = payment_schema(), written(payment_schema())
    refused = 0
    for _ in range(600):
        reader = event_reader(json.dumps(mutated(schema, chance)))
        refused += isinstance(reader, RefusedBodies)
        decoder = Decoder({}, lambda _, reader=reader: reader)  # type: ignore[misc]
        for _ in range(3):
            cut = chance.randrange(6, len(body))
            value = body[:cut] + bytes([chance.randrange(256)]) + body[cut + 1 :]
            assert isinstance(decoder.decode(value), Event | Dead)
    assert 50 < refused < 590
