"""What is encoded or found once and kept never stands for something else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from worker.codecs.avro import body_reader, frame, packaged_schema, write_framed
from worker.codecs.decode import Decoder
from worker.codecs.outbox import SHORT_BYTES, OutboxEncoder, avro_long, avro_string
from worker.codecs.outbox_fields import OutboxFormat, plain_value, posted_fields
from worker.core.chain import AccountRef, Chain, leg_spec
from worker.core.event import Dead, Event, Reason
from worker.core.money import Currency
from worker.core.outcome import PostedLeg
from worker.jobs.archive.records import ArchivedRecord
from worker.kafka.registry import UNKNOWN_SECONDS, Registry

KEPT_MAX = 3
BANK = AccountRef(1, "bank", "", 840, 1, 0)
LEG = PostedLeg(
    leg_spec(transaction="charge", leg="gross", code=1), Currency("usd", 840, 2), 7, BANK,
    AccountRef(2, "wallet", "cus_1", 840, 2, 0), 100, 0, 1, 0, 1_767_225_600_000_000_000, 0, 1, 0,
)  # fmt: skip
CHAIN = Chain(Event("evt_1", "charge", 1000, {}), "charge", "charge/ch_1", 0, 0, (), sync=False)
CHANGES: list[dict[str, Any]] = [
    {"spec": leg_spec(transaction="charge", leg="fee", code=1)},
    {"currency": Currency("jpy", 392, 0)},
    {"debit": BANK._replace(id=9)},
    {"credit": BANK},
    {"amount": 101},
    {"pending_id": 5},
    {"code": 2},
    {"flags": 1},
    {"timestamp": LEG.timestamp + 1},
    {"timestamp": LEG.timestamp + 1000},
    {"leg_number": 1},
    {"leg_count": 2},
    {"timeout": 60},
]


@pytest.mark.parametrize("encoding", ["json", "avro"])
def test_a_leg_that_differs_in_one_field_is_written_as_it_is(encoding: OutboxFormat) -> None:
    """Each after the others, and again, with caches that are full all the time."""
    quick = OutboxEncoder(
        encoding=encoding, schema_id=4, topic="t", source="/s", rulebook_digest="d",
        kept_max=KEPT_MAX,
    )  # fmt: skip
    for change in [*CHANGES, {}] * 2:
        leg = LEG._replace(**change)
        for attempt, partition in ((0, 3), (1, 4)):
            record = ArchivedRecord("stripe.payments", partition, 42, None, None)
            (written,) = quick.encode(CHAIN, attempt, [leg], record)
            fields = posted_fields(CHAIN, attempt, leg, record)
            assert written.value == plain_value(fields, encoding=encoding, schema_id=4), change
    for cache in (quick._legs, quick._debits, quick._credits, quick._events, quick._partitions):
        assert 0 < len(cache) <= KEPT_MAX


@pytest.mark.parametrize("size", [0, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 8191, 8192])
def test_a_string_of_any_size_has_its_size_before_it(size: int) -> None:
    """Also the first that is not among the sizes at hand."""
    assert avro_string("x" * size) == avro_long(size) + b"x" * size


def test_a_schema_that_nobody_knew_is_asked_for_again() -> None:
    """It may be registered a moment later; once it is known it is not asked for."""
    asked: list[int | str] = []
    schema = packaged_schema("wallet_command")

    def find(schema_id: int | str) -> Any:
        asked.append(schema_id)
        return body_reader(schema) if len(asked) > 1 else None

    event = {"id": "e", "type": "t", "created": 1, "data": {"object": {}}}
    value = write_framed(event, schema=schema, schema_id=77)
    assert value.startswith(frame(77))
    decoder = Decoder({}, find)
    found = decoder.decode(value)
    assert isinstance(found, Dead)
    assert found.reason is Reason.UNKNOWN_SCHEMA
    assert isinstance(decoder.decode(value), Event)
    assert isinstance(decoder.decode(value), Event)
    assert asked == [77, 77]


def test_a_registry_is_asked_again_for_what_it_did_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not at once, and not never: after UNKNOWN_SECONDS."""
    now = [1000.0]
    monkeypatch.setattr("worker.kafka.registry.time.monotonic", lambda: now[0])
    asked: list[int | str] = []

    def get_schema(schema_id: int) -> SimpleNamespace:
        asked.append(schema_id)
        raise errors.SchemaRegistryError(404, 40403, "Schema 77 not found")

    errors = pytest.importorskip("confluent_kafka.schema_registry.error")
    registry = Registry(SimpleNamespace(get_schema=get_schema))
    for later in (0.0, UNKNOWN_SECONDS - 1, 1.0):
        now[0] += later
        assert registry.reader(77) is None
    assert asked == [77, 77]
