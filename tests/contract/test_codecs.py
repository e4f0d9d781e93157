"""The quick codecs against the plain ones: the same bytes, the same values, for any input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from fastavro import parse_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.codecs import outbox_reader
from worker.codecs.avro import (
    body_reader,
    encode_event,
    packaged_generations,
    packaged_names,
    packaged_schema,
    plain_reader,
    write_framed,
)
from worker.codecs.avro_fast import Unsupported, fast_reader
from worker.codecs.decode import Decoder
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.outbox_fields import OutboxFields, OutboxFormat, plain_value, posted_fields
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.chain import AccountRef, Chain, leg_spec
from worker.core.errors import UsageError
from worker.core.event import CREATED_MAX, Dead, Event, Skipped
from worker.core.ids import TIME_SHIFT
from worker.core.money import Currency
from worker.core.outcome import PostedLeg
from worker.core.ports import Record
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import load

STRIPE = Path(__file__).parent.parent / "stripe"
WEBHOOKS = sorted(STRIPE.glob("*.json"))
INPUT_SCHEMAS = ["stripe_payment_event", "stripe_settlement_event", "wallet_command"]
OUTBOX_SCHEMA_ID = 4
FORMATS: tuple[OutboxFormat, ...] = ("json", "avro")
ADDED: OutboxFields = {
    "fact": "",
    "fact_at": "",
    "topic": "",
    "partition": -1,
    "offset": -1,
    "expires_at": "",
}
"""The fields that the second generation added, as a record of the first one is read."""

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
    id=st.builds(
        lambda second, rest: second * 1000 << TIME_SHIFT | rest,
        st.integers(0, CREATED_MAX),
        st.integers(0, (1 << TIME_SHIFT) - 1),
    ),
    debit=accounts,
    credit=accounts,
    amount=amounts,
    pending_id=st.just(0) | amounts,
    code=small,
    flags=small,
    timestamp=st.integers(1, (1 << 63) - 1),
    leg_number=small,
    leg_count=small,
    timeout=st.just(0) | st.integers(0, (1 << 32) - 1),
)
events = st.builds(Event, text, text, st.integers(0, CREATED_MAX), st.just({}))
chains = st.builds(
    Chain, events, text, text, amounts, st.integers(0, 7), st.just(()), st.booleans()
)
records = st.builds(
    ArchivedRecord,
    text,
    st.integers(0, (1 << 31) - 1),
    st.integers(0, (1 << 40) - 1),
    st.just(None),
    st.just(None),
    st.just([]),
)


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
@given(st.lists(st.tuples(chains, st.integers(0, 7), legs, records), min_size=1, max_size=4))
def test_quick_outbox_records_equal_the_plain_ones(
    encoding: OutboxFormat, posted: list[tuple[Chain, int, PostedLeg, Record]]
) -> None:
    """Whatever the ids, keys, amounts and times, both encoders write the same bytes."""
    quick = encoder(encoding)
    for chain, attempt, leg, record in posted * 2:  # the second time from the caches
        (written,) = quick.encode(chain, attempt, [leg], record)
        fields = posted_fields(chain, attempt, leg, record)
        plain = plain_value(fields, encoding=encoding, schema_id=OUTBOX_SCHEMA_ID)
        assert written.value == plain
        assert written.key == chain.event.id.encode()


@settings(deadline=None, max_examples=40)
@given(chains, st.integers(0, 7), legs, records)
def test_outbox_records_read_back(
    chain: Chain, attempt: int, leg: PostedLeg, record: Record
) -> None:
    """An outbox record in Avro or JSON, of this generation or the first, has its fields."""
    fields = posted_fields(chain, attempt, leg, record)
    first = {name: value for name, value in fields.items() if name not in ADDED}
    for encoding in FORMATS:
        (written,) = encoder(encoding).encode(chain, attempt, [leg], record)
        assert outbox_reader.announced_fields(_announced(written.value)) == fields
        older = _announced(_first_generation(first, encoding))
        assert outbox_reader.announced_fields(older) == first | ADDED


def _announced(value: bytes | None) -> ArchivedRecord:
    return ArchivedRecord("ledger.transfers.posted", 0, 0, None, value, [])


def _first_generation(fields: OutboxFields, encoding: OutboxFormat) -> bytes:
    if encoding == "json":
        return orjson.dumps(fields)
    schema = parse_schema(orjson.loads(packaged_generations("posted_transfer")[1]))
    return write_framed(fields, schema=schema, schema_id=OUTBOX_SCHEMA_ID)


@pytest.mark.parametrize("cut", [1, 40])
def test_a_cut_outbox_record_is_of_no_generation(cut: int) -> None:
    """A record that ends anywhere but at a generation's end is refused, and said where it is."""
    event, usd = Event("evt_1", "charge.succeeded", 1, {}), Currency("usd", 840, 2)
    chain = Chain(event, "t", "event/evt_1", 0, 0, (), sync=False)
    side = AccountRef(1, "wallet", "cus_1", 840, 2001, 0)
    spec = leg_spec(transaction="t", leg="l", code=1)
    leg = PostedLeg(spec, usd, 1, side, side, 5, 0, 1, 0, 10**18, 0, 1, 0)
    (written,) = encoder("avro").encode(chain, 0, [leg], _announced(None))
    with pytest.raises(UsageError, match=r"ledger\.transfers\.posted/0@0 is no posted transfer"):
        outbox_reader.announced_fields(_announced((written.value or b"")[:-cut]))


def test_full_caches_start_over_and_stay_right() -> None:
    """More legs and accounts than the caches hold are encoded as rightly as few."""
    quick = encoder("json", kept_max=3)
    event = Event("evt_1", "charge.succeeded", 1, {})
    chain = Chain(event, "t", "event/evt_1", 0, 0, (), sync=False)
    spec, usd = leg_spec(transaction="t", leg="l", code=1), Currency("usd", 840, 2)
    for number in range(10):
        debit, credit = (
            AccountRef(number + side, "wallet", f"cus_{number}{side}", 840, 2001, 0)
            for side in (0, 100)
        )
        leg = PostedLeg(spec, usd, number, debit, credit, 5, 0, 1, 0, 10**18, number, 10, 0)
        record = ArchivedRecord("t", number, number, None, None, [])
        fields = posted_fields(chain, 0, leg, record)
        plain = plain_value(fields, encoding="json", schema_id=OUTBOX_SCHEMA_ID)
        (written,) = quick.encode(chain, 0, [leg], record)
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
