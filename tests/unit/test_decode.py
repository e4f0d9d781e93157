"""Decoding: whatever the bytes, an event or a dead letter that says what is wrong."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.codecs.avro import encode_event
from worker.codecs.decode import Decoder, event_of
from worker.core.event import CREATED_MAX, Dead, Event, Reason

DECODER = Decoder()
CARD_NUMBER = "4242424242424242"

CHARGE: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.succeeded",
    "created": 1_767_225_600,
    "data": {"object": {"id": "ch_1", "amount": 2000, "currency": "usd", "customer": None}},
}


def charge(**changes: object) -> bytes:
    return orjson.dumps(CHARGE | changes)


def without(name: str) -> bytes:
    return orjson.dumps({key: value for key, value in CHARGE.items() if key != name})


AVRO = encode_event(CHARGE, "stripe_payment_event", 1)
DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000

RECORDS: list[tuple[str, bytes | None, Reason]] = [
    ("no value", None, Reason.UNDECODABLE),
    ("an empty value", b"", Reason.UNDECODABLE),
    ("only space", b"  \n", Reason.UNDECODABLE),
    ("random bytes", bytes(range(200, 240)), Reason.UNDECODABLE),
    ("text", b"hello", Reason.UNDECODABLE),
    ("a byte order mark", b"\xef\xbb\xbf" + charge(), Reason.UNDECODABLE),
    ("only the magic byte", b"\0", Reason.UNDECODABLE),
    ("half an Avro frame", b"\0\0\0", Reason.UNDECODABLE),
    ("an Avro frame without body", AVRO[:5], Reason.UNDECODABLE),
    ("truncated Avro", AVRO[:-1], Reason.UNDECODABLE),
    ("truncated Avro in a string", AVRO[:12], Reason.UNDECODABLE),
    ("trailing bytes", AVRO + b"\0", Reason.UNDECODABLE),
    ("invalid UTF-8 in Avro", AVRO.replace(b"usd", b"u\xffd"), Reason.UNDECODABLE),
    ("a string of 2^62 bytes", AVRO[:5] + b"\xfe" + b"\xff" * 8 + b"\x01", Reason.UNDECODABLE),
    ("a string of -1 bytes", AVRO[:5] + b"\x01", Reason.UNDECODABLE),
    ("an endless number", AVRO[:5] + b"\xff" * 40, Reason.UNDECODABLE),
    ("an unknown schema id", b"\0\0\0\0\x63" + AVRO[5:], Reason.UNKNOWN_SCHEMA),
    ("an event under another schema", b"\0\0\0\0\x04" + AVRO[5:], Reason.UNDECODABLE),
    ("truncated JSON", charge()[:-3], Reason.UNDECODABLE),
    ("JSON and more", charge() + b"{}", Reason.UNDECODABLE),
    ("invalid UTF-8 in JSON", charge().replace(b"usd", b"u\xffd"), Reason.UNDECODABLE),
    ("a lone surrogate", charge().replace(b"usd", rb"\ud800"), Reason.UNDECODABLE),
    ("NaN", charge().replace(b"2000", b"NaN"), Reason.UNDECODABLE),
    ("deep JSON", DEEP, Reason.UNDECODABLE),
    ("braces only", b"{" * 100_000, Reason.UNDECODABLE),
    ("an empty object", b"{}", Reason.NOT_AN_EVENT),
    ("no id", without("id"), Reason.NOT_AN_EVENT),
    ("an empty id", charge(id=""), Reason.NOT_AN_EVENT),
    ("an id that is a number", charge(id=7), Reason.NOT_AN_EVENT),
    ("an id with a NUL", charge(id="evt\0"), Reason.BAD_KEY),
    ("an id of 256 bytes", charge(id="e" * 256), Reason.BAD_KEY),
    ("an id of 128 characters in 256 bytes", charge(id="é" * 128), Reason.BAD_KEY),
    ("a type of 256 bytes", charge(type="e" * 256), Reason.BAD_KEY),
    ("a type of 128 characters in 256 bytes", charge(type="é" * 128), Reason.BAD_KEY),
    ("no type", without("type"), Reason.NOT_AN_EVENT),
    ("a type that is a list", charge(type=["charge"]), Reason.NOT_AN_EVENT),
    ("no created", without("created"), Reason.NOT_AN_EVENT),
    ("a created that is text", charge(created="2026-01-01"), Reason.BAD_TIME),
    ("a created that is a boolean", charge(created=True), Reason.BAD_TIME),
    ("a created that is a fraction", charge(created=1.0), Reason.BAD_TIME),
    ("a created before 1970", charge(created=-1), Reason.BAD_TIME),
    ("a created after 9999", charge(created=CREATED_MAX + 1), Reason.BAD_TIME),
    ("no data", without("data"), Reason.THIN_EVENT),
    ("data that is text", charge(data="ch_1"), Reason.THIN_EVENT),
    ("no data.object", charge(data={}), Reason.THIN_EVENT),
    ("a data.object that is an id", charge(data={"object": "ch_1"}), Reason.THIN_EVENT),
    (
        "a Stripe v2 thin event",
        charge(created="2026-01-01T00:00:00.000Z", data=None, related_object={"id": "mtr_1"}),
        Reason.THIN_EVENT,
    ),
]


@pytest.mark.parametrize(
    ("value", "reason"), [pytest.param(*row[1:], id=row[0]) for row in RECORDS]
)
def test_bad_records_are_dead_with_a_reason(value: bytes | None, reason: Reason) -> None:
    """Every kind of bad record is a dead letter with its reason and a sentence."""
    decoded = DECODER.decode(value)
    assert isinstance(decoded, Dead)
    assert decoded.reason is reason
    assert len(decoded.detail) > len("short")


def test_json_and_avro_give_the_same_event() -> None:
    """One event, whichever way it was encoded, has the same envelope and the same paths."""
    by_json, by_avro = DECODER.decode_all([b" \r\n\t" + charge(), AVRO])
    assert isinstance(by_json, Event)
    assert isinstance(by_avro, Event)
    for one in (by_json, by_avro):
        assert (one.id, one.type, one.created) == ("evt_1", "charge.succeeded", 1_767_225_600)
    for name, value in CHARGE["data"]["object"].items():
        assert by_json.body["data"]["object"][name] == value
        assert by_avro.body["data"]["object"][name] == value


@pytest.mark.parametrize(
    "number", ["1" + "0" * 400, "18446744073709551616", "-9223372036854775809"]
)
def test_a_number_that_no_ledger_holds_is_no_integer(number: str) -> None:
    """A number beyond 64 bits never passes as an integer amount: it is a float, or refused."""
    decoded = DECODER.decode(charge().replace(b"2000", number.encode()))
    if isinstance(decoded, Event):
        assert isinstance(decoded.body["data"]["object"]["amount"], float)
    else:
        assert decoded.reason is Reason.UNDECODABLE


def test_huge_json_is_decoded() -> None:
    """A record of megabytes is an event like any other."""
    filler = [{"k": "v" * 100}] * 20_000
    decoded = DECODER.decode(charge(data={"object": {"amount": 1, "filler": filler}}))
    assert isinstance(decoded, Event)
    assert len(decoded.body["data"]["object"]["filler"]) == 20_000


def test_lone_surrogates_are_a_bad_key() -> None:
    """An id that no UTF-8 can hold is refused, whatever decoder let it through."""
    decoded = event_of(CHARGE | {"id": "evt_\ud800"})
    assert isinstance(decoded, Dead)
    assert decoded.reason is Reason.BAD_KEY


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(charge(id=int(CARD_NUMBER)), id="an ill-typed id"),
        pytest.param(charge(data=CARD_NUMBER), id="ill-typed data"),
        pytest.param(charge(created=CARD_NUMBER), id="an ill-typed created"),
        pytest.param(charge(created=int(CARD_NUMBER)), id="a created that is out of range"),
        pytest.param(b'{"card": ' + CARD_NUMBER.encode() + b" oops", id="JSON that does not parse"),
        pytest.param(CARD_NUMBER.encode(), id="bytes that are nothing"),
        pytest.param(AVRO[:5] + CARD_NUMBER.encode() * 8, id="Avro that is not of its schema"),
    ],
)
def test_no_detail_shows_a_value(value: bytes) -> None:
    """What the record held is never in the sentence that says what is wrong with it."""
    decoded = DECODER.decode(value)
    assert isinstance(decoded, Dead)
    assert CARD_NUMBER[:6] not in decoded.detail


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"{", b"\0\0\0\0\1", b"\0\0\0\0\2", AVRO]))
def test_no_bytes_raise(noise: bytes, beginning: bytes) -> None:
    """Any bytes at all are an event or a dead letter, never an exception."""
    assert isinstance(DECODER.decode(beginning + noise), Event | Dead)


def test_an_unpackaged_schema_stops_the_start() -> None:
    """A schema id that is mapped to a name nobody ships is found out at once."""
    with pytest.raises(FileNotFoundError):
        Decoder({1: "no_such_schema"})
