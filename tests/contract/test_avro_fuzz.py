"""The quick Avro reader against fastavro, on records that chance has spoiled.

`FUZZ_RECORDS=1000000 python -m pytest tests/contract/test_avro_fuzz.py` tries a million.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import orjson
import pytest

from worker.codecs.avro import (
    AvroUnreadable,
    BodyReader,
    body_reader,
    encode_event,
    packaged_schema,
    plain_reader,
    write_framed,
)
from worker.codecs.decode import Decoder
from worker.core.event import Dead

SCHEMAS = {"stripe_payment_event": 1, "stripe_settlement_event": 2, "wallet_command": 3}
RECORDS = int(os.environ.get("FUZZ_RECORDS", "30000"))
"""Of all schemas together."""

RICH: dict[str, Any] = {
    "id": "evt_1",
    "type": "wallet.split_bill",
    "created": 1_767_225_600,
    "livemode": False,
    "data": {
        "object": {
            "id": "ch_1",
            "amount": 1 << 40,
            "paid": True,
            "exchange_rate": 1.25,
            "metadata": {"order": "6735"},
            "fee_details": [{"amount": -5, "type": "tax"}, {"amount": 7}],
            "shares": [{"customer": "cus_1", "amount": 5}],
            "sell": {"amount": 1, "currency": "usd"},
        },
        "previous_attributes": {"amount_refunded": 5},
    },
}


POOR: dict[str, Any] = {
    "id": "evt_2",
    "type": "charge.succeeded",
    "created": 1,
    "data": {"object": {}},
}


def _read(reader: BodyReader, value: bytes) -> Any:
    """The record as JSON, which tells 1 from true and 1.0; None when it is refused."""
    try:
        return orjson.dumps(reader.read(value))
    except AvroUnreadable:
        return None


@pytest.mark.parametrize("name", SCHEMAS)
def test_both_readers_give_one_verdict(name: str) -> None:
    """On spoiled records both readers refuse, or both give the same record.

    The quick one may refuse what fastavro takes only where fastavro guesses: those are not the
    bytes that it would write itself.
    """
    schema, chance = packaged_schema(name), Random(f"{name} 7")
    quick, plain = body_reader(schema), plain_reader(schema)
    whole = [encode_event(event, name, 1) for event in (RICH, POOR)]
    verdicts = {"taken": 0, "refused": 0, "guessed": 0}
    for number in range(RECORDS // len(SCHEMAS)):
        value = _mutated(whole[number % 2], chance)
        ours, theirs = _read(quick, value), _read(plain, value)
        if ours is None and theirs is not None:
            assert write_framed(plain.read(value), schema=schema, schema_id=1) != value
            verdicts["guessed"] += 1
            continue
        assert ours == theirs
        verdicts["refused" if ours is None else "taken"] += 1
    assert verdicts["taken"] > RECORDS // 100
    assert verdicts["refused"] > RECORDS // 100
    assert verdicts["guessed"] < verdicts["refused"] // 2


@pytest.mark.parametrize("name", SCHEMAS)
def test_both_readers_refuse_invalid_text_and_what_trails(name: str) -> None:
    """Invalid UTF-8 in a text, a byte too many and a byte too few are refused by both."""
    schema = packaged_schema(name)
    value = encode_event(RICH, name, 1)
    assert value.count(b"evt_1") == 1
    for reader in (body_reader(schema), plain_reader(schema)):
        assert _read(reader, value) is not None
        for bad in (value + b"\0", value[:-1], value.replace(b"evt_1", b"evt\xff1")):
            assert _read(reader, bad) is None


def test_a_batch_is_decoded_as_its_records_are() -> None:
    """One bad record in a batch spoils neither its neighbours nor their order."""
    chance, decoder = Random(5), Decoder()
    values: list[bytes | None] = [None, b"", b"{}", b"\0", b"\0\0\0\0\x63abc", b" {", b"noise"]
    for name, schema_id in SCHEMAS.items():
        whole = encode_event(RICH, name, schema_id)
        values += [whole, *(_mutated(whole, chance) for _ in range(200))]
    chance.shuffle(values)
    found = decoder.decode_all(values)
    assert list(map(repr, found)) == [repr(decoder.decode(value)) for value in values]  # NaN
    assert 3 <= sum(not isinstance(one, Dead) for one in found) < len(values)


def _mutated(value: bytes, chance: Random) -> bytes:
    """The frame, and a body with one to three places changed, cut or lengthened."""
    body = bytearray(value[5:])
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(body))
        noise = bytes(
            chance.choice((0, 1, 2, 3, 127, 128, 255)) for _ in range(chance.randint(0, 3))
        )
        body[at : at + chance.randint(0, 2)] = noise
        body = body or bytearray(b"\0")
    return value[:5] + bytes(body)
