"""Announcements: what readers of the outbox, rejected and dead-letter topics can rely on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest

from worker.codecs.avro import packaged_schema
from worker.codecs.dead_letters import DeadLetters, carry
from worker.codecs.headers import traceparent
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.outbox_fields import OutboxFormat
from worker.codecs.rejected import RejectedEncoder
from worker.core.chain import AccountRef, Chain, leg_spec
from worker.core.event import CREATED_MAX, Dead, Event, Reason
from worker.core.ids import account_id
from worker.core.iso_times import iso_second, iso_time
from worker.core.money import Currency
from worker.core.outcome import PostedLeg
from worker.core.ports import Announcement, Headers

GOLDEN = Path(__file__).parent.parent / "golden" / "outbox.json"
REWRITE = "REWRITE_GOLDEN"
"""Set this variable to write the golden file anew; then read its difference."""

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DIGEST = "0123456789abcdef"
DEAD = Dead(Reason.BAD_AMOUNT, "`data.object.amount` is negative")

USD, JPY = Currency("usd", 840, 2), Currency("jpy", 392, 0)


def account(name: str, key: str = "", ledger: int = 840) -> AccountRef:
    return AccountRef(account_id(ledger=ledger, name=name, key=key), name, key, ledger, 1100, 0)


CLEARING = account("stripe_clearing")
WALLET = account("customer_wallet", "cus_1")
NIKO = account("customer_wallet", 'cus "Ñiko"', 392)
PENDING = account("pending_payouts", ledger=392)

CHARGE = Event("evt_1", "charge.succeeded", 1_767_225_600, {})
RESERVED = Event("cmd_1", "wallet.withdrawal", 1_767_225_602, {})
PAID = Event('cmd "2" é', "wallet.withdrawal_paid", 1_767_225_601, {})


class Consumed:
    """A consumed record."""

    def __init__(
        self,
        value: bytes | None = b'{"id"',
        *,
        key: bytes | None = b"cus_1",
        headers: Headers | None = None,
        timestamp: tuple[int, int] = (1, 1_767_225_600_123),
    ) -> None:
        self._parts = (value, key, headers, timestamp)

    def topic(self) -> str:
        return "stripe.payments"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 42

    def value(self) -> bytes | None:
        return self._parts[0]

    def key(self) -> bytes | None:
        return self._parts[1]

    def headers(self) -> Headers | None:
        return self._parts[2]

    def timestamp(self) -> tuple[int, int]:
        return self._parts[3]


POSTED = [
    (
        Chain(CHARGE, "charge", "charge/ch_1", 0, 0, (), sync=False),
        0,
        PostedLeg(
            spec=leg_spec(transaction="charge", leg="gross", code=1),
            currency=USD,
            id=0x019B76DAA80000112233445566778899,
            debit=CLEARING,
            credit=WALLET,
            amount=2000,
            pending_id=0,
            code=1,
            flags=0,
            timestamp=1_767_225_600_123_456_789,
            leg_number=0,
            leg_count=1,
            timeout=0,
        ),
        Consumed(),
    ),
    (
        Chain(PAID, "withdrawal_paid", 'event/cmd "2" é', 0, 2, (), sync=False),
        2,
        PostedLeg(
            spec=leg_spec(transaction="withdrawal_paid", leg="release", kind="post", code=0),
            currency=JPY,
            id=1,
            debit=NIKO,
            credit=PENDING,
            amount=(1 << 127) + 1,
            pending_id=0xABC,
            code=22,
            flags=5,
            timestamp=1_767_225_601_000_000_999,
            leg_number=0,
            leg_count=300,
            timeout=0,
        ),
        Consumed(headers=[("traceparent", TRACE)]),
    ),
    (
        Chain(RESERVED, "withdrawal", "withdrawal/wd_1", 0, 0, (), sync=False),
        0,
        PostedLeg(
            spec=leg_spec(
                transaction="withdrawal", leg="reserve", kind="pending", code=20, timeout=86_400
            ),
            currency=USD,
            id=0x019B76DAA80000112233445566778899,
            debit=WALLET,
            credit=CLEARING,
            amount=500,
            pending_id=0,
            code=20,
            flags=2,
            timestamp=1_767_225_602_000_000_001,
            leg_number=0,
            leg_count=1,
            timeout=86_400,
        ),
        Consumed(),
    ),
]


def outbox(encoding: OutboxFormat) -> list[Announcement]:
    encoder = OutboxEncoder(
        encoding=encoding,
        schema_id=4,
        topic="ledger.transfers.posted",
        source="/ledger-worker/books",
        rulebook_digest=DIGEST,
    )
    return [
        written
        for chain, attempt, leg, record in POSTED
        for written in encoder.encode(chain, attempt, [leg], record)
    ]


def shown(announced: Announcement) -> dict[str, Any]:
    """An announcement as the golden file has it."""
    value = announced.value or b""
    return {
        "topic": announced.topic,
        "key": (announced.key or b"").decode(),
        "headers": {name: (held or b"").decode() for name, held in announced.headers},
        "value": orjson.loads(value) if value.startswith(b"{") else value.hex(),
        "timestamp_ms": announced.timestamp_ms,
    }


def test_outbox_format_is_pinned() -> None:
    """The outbox's keys, headers, JSON fields and Avro bytes are those of the golden file."""
    written = [shown(each) for encoding in ("json", "avro") for each in outbox(encoding)]
    if os.environ.get(REWRITE):
        GOLDEN.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2) + b"\n")
    assert written == orjson.loads(GOLDEN.read_bytes())


def test_outbox_json_is_one_flat_object_of_strings_and_whole_numbers() -> None:
    """Redshift reads every field without a cast it could lose digits by."""
    for announced in outbox("json"):
        fields = orjson.loads(announced.value or b"")
        assert {type(value) for value in fields.values()} == {str, int}
        assert max(value for value in fields.values() if isinstance(value, int)) < 1 << 53


def test_cloud_events_id_is_the_transfer() -> None:
    """Each outbox record's `ce_id` is its transfer's id, its key the event's."""
    for announced, (chain, _, leg, _) in zip(outbox("json"), POSTED, strict=True):
        assert dict(announced.headers)["ce_id"] == f"{leg.id:032x}".encode()
        assert announced.key == chain.event.id.encode()


TIMES = [
    (0, "1970-01-01T00:00:00.000000Z"),
    (999, "1970-01-01T00:00:00.000000Z"),
    (1_000, "1970-01-01T00:00:00.000001Z"),
    (1_767_225_599_999_999_999, "2025-12-31T23:59:59.999999Z"),
    ((1 << 63) - 1, "2262-04-11T23:47:16.854775Z"),
]


@pytest.mark.parametrize(("nanoseconds", "text"), TIMES)
def test_ledger_times_are_cut_to_microseconds(nanoseconds: int, text: str) -> None:
    """A ledger timestamp is written in UTC with six digits, never rounded up."""
    assert iso_time(nanoseconds) == text


def test_event_times_reach_to_the_year_9999() -> None:
    """The first and the last `created` that an event may have are both written."""
    assert iso_second(0) == "1970-01-01T00:00:00Z"
    assert iso_second(CREATED_MAX) == "9999-12-31T23:59:59Z"


def rejected(record: Consumed, attempt: int = 0) -> Announcement:
    encoder = RejectedEncoder(
        topic="ledger.events.rejected", source="/ledger-worker/books", rulebook_digest=DIGEST
    )
    return encoder.encode(
        record,
        CHARGE,
        transaction="p2p",
        leg="payment",
        reason="exceeds_credits",
        attempt=attempt,
    )


def test_rejections_say_what_was_refused_and_where_it_came_from() -> None:
    """A rejection has the fields of its schema, in order, keyed by the event."""
    announced = rejected(Consumed(headers=[("traceparent", TRACE)]), attempt=1)
    fields = orjson.loads(announced.value or b"")
    assert fields == {
        "event_id": "evt_1",
        "event_type": "charge.succeeded",
        "event_created": "2026-01-01T00:00:00Z",
        "transaction": "p2p",
        "leg": "payment",
        "reason": "exceeds_credits",
        "attempt": 1,
        "topic": "stripe.payments",
        "partition": 3,
        "offset": 42,
    }
    schema: Any = packaged_schema("rejected_event")
    assert list(fields) == [each["name"] for each in schema["fields"]]
    assert fastavro.validate(fields, schema)
    assert announced.key == b"evt_1"
    assert dict(announced.headers) == {
        "ce_id": b"evt_1/1",
        "ce_time": b"2026-01-01T00:00:00Z",
        "ce_specversion": b"1.0",
        "ce_type": b"ledger.event.rejected",
        "ce_source": b"/ledger-worker/books",
        "content-type": b"application/json",
        "ledger_worker.rulebook": DIGEST.encode(),
        "traceparent": TRACE,
    }


def test_each_attempt_is_a_rejection_of_its_own() -> None:
    """Two attempts of one event differ in `ce_id`; the same one written again does not."""
    ids = [dict(rejected(Consumed(), attempt).headers)["ce_id"] for attempt in (0, 1, 1)]
    assert len(set(ids)) == 2


TRACES = [
    ([], None),
    ([("traceparent", None)], None),
    ([("traceparent", b"")], None),
    ([("traceparent", TRACE)], TRACE),
    ([("traceparent", TRACE), ("other", b"x")], TRACE),
    ([("traceparent", TRACE.replace(b"-01", b"-00")), ("traceparent", TRACE)], TRACE),
    ([("traceparent", TRACE + b"x" * 1_000_000)], None),
    ([("traceparent", b"not a trace")], None),
]


@pytest.mark.parametrize(("headers", "trace"), TRACES)
def test_traces_are_passed_on_only_when_they_are_traces(
    headers: Headers, trace: bytes | None
) -> None:
    """The newest well-formed traceparent goes on; whatever else is called so does not."""
    assert traceparent(headers) == trace


LETTERS = DeadLetters(topic="ledger.events.dead", group="books", rulebook_digest=DIGEST)
OWN: Headers = [("ce_id", b"evt_1"), ("ce_id", b"again"), ("empty", None)]


def test_dead_letters_keep_the_record_and_say_why() -> None:
    """Key, value, headers and time are the record's; where and why it died comes after them."""
    letter = LETTERS.letter(Consumed(headers=OWN), DEAD, stage="translate")
    assert letter[:3] == ("ledger.events.dead", b"cus_1", b'{"id"')
    assert letter.timestamp_ms == 1_767_225_600_123
    assert letter.headers[:3] == OWN
    assert letter.headers[3:] == [
        ("__connect.errors.topic", b"stripe.payments"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"42"),
        ("__connect.errors.stage", b"translate"),
        ("__connect.errors.exception.class.name", b"ledger_worker.bad_amount"),
        ("__connect.errors.exception.message", b"`data.object.amount` is negative"),
        ("ledger_worker.reason", b"bad_amount"),
        ("ledger_worker.group", b"books"),
        ("ledger_worker.rulebook", DIGEST.encode()),
    ]


@pytest.mark.parametrize("value", [None, b"", b"\xff\0"])
def test_dead_values_are_not_touched(value: bytes | None) -> None:
    """A null value stays null and an empty one empty."""
    assert LETTERS.letter(Consumed(value, key=None), DEAD, stage="decode")[1:3] == (None, value)


def test_a_letter_that_dies_again_has_the_newest_reason_last() -> None:
    """Who reads the last header of a name reads the last death; the earlier one is still there."""
    first = LETTERS.letter(Consumed(), DEAD, stage="translate")
    again = Dead(Reason.CONFLICT, "the key is taken")
    second = LETTERS.letter(Consumed(headers=first.headers), again, stage="post")
    reasons = [value for name, value in second.headers if name == "ledger_worker.reason"]
    assert reasons == [b"bad_amount", b"conflict"]


def test_a_record_without_time_leaves_it_to_the_broker() -> None:
    """Kafka's "no timestamp" never becomes a time before 1970."""
    assert LETTERS.letter(Consumed(timestamp=(0, -1)), DEAD, stage="decode").timestamp_ms == 0


def test_too_large_records_leave_a_mark() -> None:
    """What no broker takes is told by hash, size and position, and by what it died of."""
    record = Consumed(b"x" * 5_000_000, headers=OWN)
    letter = LETTERS.too_large(record, DEAD, stage="translate")
    headers = dict(letter.headers)
    assert letter[1:3] == (b"cus_1", b"")
    assert letter.headers[:3] == OWN
    assert headers["ledger_worker.reason"] == b"too_large"
    assert b"bad_amount" in (headers["__connect.errors.exception.message"] or b"")
    assert headers["__connect.errors.offset"] == b"42"
    assert headers["ledger_worker.value_bytes"] == b"5000000"
    assert (headers["ledger_worker.value_sha256"] or b"").decode() == (
        hashlib.sha256(b"x" * 5_000_000).hexdigest()
    )


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(Consumed(key=b"k" * 100_000), id="a large key"),
        pytest.param(Consumed(headers=[("h", b"v" * 1_000)] * 100), id="many headers"),
    ],
)
def test_what_is_large_beside_the_value_is_left_out_too(record: Consumed) -> None:
    """A record that is large by its key or headers still leaves a small mark that says so."""
    letter = LETTERS.too_large(record, DEAD, stage="translate")
    assert letter.key is None
    assert dict(letter.headers)["ledger_worker.left_out"] == b"key, headers"
    assert sum(len(name) + len(value or b"") for name, value in letter.headers) < 2_000


def test_carried_records_are_the_same_elsewhere() -> None:
    """A record that waits on another topic is itself, with the headers it was given last."""
    carried = carry(Consumed(headers=OWN), topic="parked.1", headers=[("x", b"1")])
    assert carried[:3] == ("parked.1", b"cus_1", b'{"id"')
    assert carried.headers == [*OWN, ("x", b"1")]
    assert carried.timestamp_ms == 1_767_225_600_123


def test_redacted_letters_hold_nothing_of_the_value() -> None:
    """With redaction on, a letter has hash, size and position, and no byte of the payload."""
    card = b'{"id":"evt_1","number":"4242424242424242"}'
    letters = DeadLetters(topic="dead", group="books", rulebook_digest=DIGEST, redact=True)
    letter = letters.letter(Consumed(card, headers=OWN), DEAD, stage="translate")
    headers = dict(letter.headers)
    assert letter[1:3] == (b"cus_1", b"")
    assert letter.headers[:3] == OWN
    assert headers["ledger_worker.left_out"] == b"value"
    assert headers["ledger_worker.value_sha256"] == hashlib.sha256(card).hexdigest().encode()
    assert headers["ledger_worker.value_bytes"] == b"%d" % len(card)
    assert headers["__connect.errors.offset"] == b"42"
    assert b"4242" not in b"".join(value or b"" for _, value in letter.headers)


@pytest.mark.parametrize("value", [None, b""])
def test_there_is_nothing_to_redact_in_an_empty_record(value: bytes | None) -> None:
    """A null value stays null and an empty one empty, also with redaction on."""
    letters = DeadLetters(topic="dead", group="books", rulebook_digest=DIGEST, redact=True)
    assert letters.letter(Consumed(value), DEAD, stage="decode").value == value
