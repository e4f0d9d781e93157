"""The quick codecs against the plain ones: the same bytes, the same values, for any input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.codecs.avro import (
    body_reader,
    encode_event,
    packaged_names,
    packaged_schema,
    plain_reader,
    write_framed,
)
from worker.codecs.avro_fast import Unsupported, fast_reader
from worker.codecs.decode import Decoder
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.outbox_fields import OutboxFormat, plain_value, posted_fields
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.chain import AccountRef, Chain, leg_spec
from worker.core.event import CREATED_MAX, Dead, Event, Skipped
from worker.core.money import Currency
from worker.core.outcome import PostedLeg
from worker.core.translate import Translator
from worker.rulebooks.load import load

STRIPE = Path(__file__).parent.parent / "stripe"
WEBHOOKS = sorted(STRIPE.glob("*.json"))
INPUT_SCHEMAS = ["stripe_payment_event", "stripe_settlement_event", "wallet_command"]
OUTBOX_SCHEMA_ID = 4

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
amounts = st.integers(0, (1 << 128) - 1)
small = st.integers(0, 65_535)

accounts = st.builds(
    AccountRef, id=amounts, name=text, key=text, ledger=small, code=small, flags=small
)
specs = st.sampled_from(
    [
        leg_spec(transaction="charge", leg="gross", code=1),
        leg_spec(transaction="dispute_löst", leg="loss", part="shortfall", code=33, flags=32),
        leg_spec(transaction="withdrawal", leg="reserve", kind="pending", code=22, timeout=60),
        leg_spec(transaction="withdrawal_paid", leg="release", kind="post", code=0),
    ]
)
legs = st.builds(
    PostedLeg,
    spec=specs,
    currency=st.sampled_from([Currency("usd", 840, 2), Currency("jpy", 392, 0)])
    | st.builds(Currency, text, st.integers(1, (1 << 32) - 1), st.integers(0, 3)),
    id=amounts,
    debit=accounts,
    credit=accounts,
    amount=amounts,
    pending_id=st.just(0) | amounts,
    code=small,
    flags=small,
    timestamp=st.integers(1, (1 << 63) - 1),
    leg_number=small,
    leg_count=small,
)
events = st.builds(Event, text, text, st.integers(0, CREATED_MAX), st.just({}))


def encoder(encoding: OutboxFormat, *, kept_max: int = 100) -> OutboxEncoder:
    return OutboxEncoder(
        encoding=encoding,
        schema_id=OUTBOX_SCHEMA_ID,
        topic="ledger.transfers.posted",
        source="/ledger-worker/test",
        rulebook_digest="digest",
        kept_max=kept_max,
    )


@pytest.mark.parametrize("encoding", ["json", "avro"])
@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(events, st.integers(0, 7), legs), min_size=1, max_size=4))
def test_quick_outbox_records_equal_the_plain_ones(
    encoding: OutboxFormat, posted: list[tuple[Event, int, PostedLeg]]
) -> None:
    """Whatever the ids, keys, amounts and times, both encoders write the same bytes."""
    quick = encoder(encoding)
    for event, attempt, leg in posted * 2:  # the second time from the caches
        (written,) = quick.encode(event, attempt, [leg], None)
        plain = plain_value(event, attempt, leg, encoding=encoding, schema_id=OUTBOX_SCHEMA_ID)
        assert written.value == plain
        assert written.key == event.id.encode()


@settings(deadline=None, max_examples=40)
@given(events, st.integers(0, 7), legs)
def test_avro_outbox_records_read_back(event: Event, attempt: int, leg: PostedLeg) -> None:
    """An Avro outbox record read by its schema has the very fields of the JSON one."""
    value, same = (_value(one, event, attempt, leg) for one in ("avro", "json"))
    fields = plain_reader(packaged_schema("posted_transfer")).read(value)
    assert fields == posted_fields(event, attempt, leg)
    assert fields == orjson.loads(same)


def _value(encoding: OutboxFormat, event: Event, attempt: int, leg: PostedLeg) -> bytes:
    (written,) = encoder(encoding).encode(event, attempt, [leg], None)
    return written.value or b""


def test_full_caches_start_over_and_stay_right() -> None:
    """More legs and accounts than the caches hold are encoded as rightly as few."""
    quick = encoder("json", kept_max=3)
    event = Event("evt_1", "charge.succeeded", 1, {})
    spec, usd = leg_spec(transaction="t", leg="l", code=1), Currency("usd", 840, 2)
    for number in range(10):
        debit, credit = (
            AccountRef(number + side, "wallet", f"cus_{number}{side}", 840, 2001, 0)
            for side in (0, 100)
        )
        leg = PostedLeg(spec, usd, number, debit, credit, 5, 0, 1, 0, 10**18, number, 10)
        plain = plain_value(event, 0, leg, encoding="json", schema_id=OUTBOX_SCHEMA_ID)
        (written,) = quick.encode(event, 0, [leg], None)
        assert written.value == plain


@pytest.mark.parametrize("name", packaged_names())
def test_every_packaged_schema_is_read_quickly_and_documented(name: str) -> None:
    """Each schema is simple enough for the quick reader, and says what each field is."""
    schema = packaged_schema(name)
    fast_reader(schema)
    undocumented = [field["name"] for field in _fields(schema) if not field.get("doc")]
    assert undocumented == []


def _fields(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [field for branch in schema for field in _fields(branch)]
    if not isinstance(schema, dict):
        return []
    own: list[dict[str, Any]] = schema.get("fields", [])
    inner = [schema[key] for key in ("items", "values", "type") if key in schema]
    inner += [field["type"] for field in own]
    return own + [field for one in inner for field in _fields(one)]


PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "string": text,
    "long": st.integers(-(1 << 63), (1 << 63) - 1),
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False),
    "ledger_worker.Money": st.just({"amount": 5, "currency": "usd"}),
}


def _of(schema: Any) -> st.SearchStrategy[Any]:
    """Any value of a schema; Money is the one record that is named again."""
    if isinstance(schema, str):
        return PRIMITIVES[schema]
    match schema:
        case ["null", branch]:
            return st.none() | _of(branch)
        case {"fields": fields}:
            return st.fixed_dictionaries({field["name"]: _of(field["type"]) for field in fields})
        case {"items": items}:
            return st.lists(_of(items), max_size=3)
        case {"values": values}:
            return st.dictionaries(text, _of(values), max_size=3)
    return _of(schema["type"])


RECORDS = {name: _of(packaged_schema(name)) for name in INPUT_SCHEMAS}


@pytest.mark.parametrize("name", INPUT_SCHEMAS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_quick_reader_reads_what_fastavro_wrote(name: str, data: st.DataObject) -> None:
    """Any record that fastavro writes, the quick reader reads as fastavro does."""
    schema = packaged_schema(name)
    value = write_framed(data.draw(RECORDS[name]), schema=schema, schema_id=1)
    assert body_reader(schema).read(value) == plain_reader(schema).read(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "enum", "name": "E", "symbols": ["A"]},
        {"type": "record", "name": "R", "fields": [{"name": "f", "type": ["string", "null"]}]},
        {"type": "record", "name": "R", "fields": [{"name": "f", "type": "bytes"}]},
        {"type": "long", "logicalType": "timestamp-millis"},
    ],
)
def test_other_schemas_are_left_to_fastavro(schema: dict[str, Any]) -> None:
    """A schema that the quick reader does not know is never read by it."""
    with pytest.raises(Unsupported):
        fast_reader(schema)


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator(load(PACKAGED_RULEBOOK))


def _webhook(path: Path) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(path.read_bytes())
    return event | {"id": f"evt_{path.stem}"}


def _within(kept: Any, whole: Any) -> bool:
    """Whether everything that was kept, and is not null, stands in the whole."""
    if isinstance(kept, dict):
        return all(_within(kept[key], whole.get(key)) for key in kept if kept[key])
    if isinstance(kept, list):
        return len(kept) == len(whole) and all(map(_within, kept, whole))
    return bool(kept == whole)


@pytest.mark.parametrize("path", WEBHOOKS, ids=lambda path: path.stem)
def test_webhooks_have_the_same_paths_in_json_and_avro(path: Path) -> None:
    """What the Avro schema keeps of a Stripe webhook is at the JSON's path with its value."""
    event = _webhook(path)
    decoded = Decoder().decode(encode_event(event, "stripe_payment_event", 1))
    assert isinstance(decoded, Event)
    said = (decoded.id, decoded.type, decoded.created)
    assert said == (event["id"], event["type"], event["created"])
    assert _within(decoded.body["data"]["object"], event["data"]["object"])
    assert decoded.body["data"]["object"]["object"]


@pytest.mark.parametrize("path", WEBHOOKS, ids=lambda path: path.stem)
def test_webhooks_mean_the_same_in_json_and_avro(path: Path, translator: Translator) -> None:
    """By the packaged rulebook a webhook makes the same transfers, or none, in both encodings."""
    event = _webhook(path)
    values = [orjson.dumps(event), encode_event(event, "stripe_payment_event", 1)]
    by_json, by_avro = (
        _meaning(translator.translate(each, role="payments"))
        for each in Decoder().decode_all(values)
        if isinstance(each, Event)
    )
    assert by_json == by_avro


def _meaning(asked: Chain | Skipped | Dead) -> object:
    if isinstance(asked, Chain):
        return [(leg.id, leg.amount, leg.debit, leg.credit) for leg in asked.legs]
    return asked.reason if isinstance(asked, Dead) else asked.outcome
