"""Bad input through a real worker: each record is a dead letter that says why, and life goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.integration.cluster import Cluster, audit
from tests.servers.kafka import KafkaBroker
from worker.codecs.avro import encode_event

CREATED = 1_760_000_000
PEOPLE = 300

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]


def charge(**changes: Any) -> dict[str, Any]:
    """A charge that is posted, but for what is changed in it."""
    whole = {"id": "ch_1", "amount": 900, "amount_captured": 900, "paid": True, "captured": True,
             "currency": "usd", "customer": "cus_1", "created": CREATED}  # fmt: skip
    kept = {name: value for name, value in (whole | changes).items() if value is not ...}
    return envelope("charge.succeeded", kept)


def envelope(kind: str, about: dict[str, Any], **changes: Any) -> dict[str, Any]:
    event = {"id": f"evt_{kind}", "type": kind, "created": CREATED, "livemode": False}
    return event | {"data": {"object": about}} | changes


def split(people: int) -> dict[str, Any]:
    shares = [{"customer": f"cus_{number}", "amount": 1} for number in range(people)]
    about = {"id": "sp_1", "payer": "cus_payer", "currency": "usd", "shares": shares}
    return envelope("wallet.split_bill", about)


AVRO = encode_event(charge(), "stripe_payment_event", 1)
DEEP = b'{"a":' * 3000 + b"1" + b"}" * 3000
MOVE = {"id": "p_1", "from": "cus_1", "to": "cus_1", "amount": 5, "currency": "usd"}

BAD: list[tuple[str, bytes | dict[str, Any], str]] = [
    ("pay", bytes(range(200, 240)), "undecodable"),
    ("pay", AVRO[:-1], "undecodable"),
    ("pay", AVRO + b"\0", "undecodable"),
    ("pay", AVRO.replace(b"usd", b"u\xffd"), "undecodable"),
    ("pay", b"\0\x7f\xff\xff\xff" + AVRO[5:], "unknown_schema"),
    ("pay", json.dumps(charge()).encode().replace(b"usd", b"u\xffd"), "undecodable"),
    ("pay", b"{}", "not_an_event"),
    ("pay", DEEP, "undecodable"),
    ("pay", {"id": "evt_thin", "type": "charge.succeeded", "created": CREATED}, "thin_event"),
    ("pay", charge(amount=...), "missing_field"),
    ("pay", charge(amount=-1), "bad_amount"),
    ("pay", charge(amount=12.5), "bad_amount"),
    ("pay", charge(amount=1 << 63), "bad_amount"),
    ("pay", charge(amount=1 << 128), "bad_amount"),
    ("pay", charge(amount=True), "bad_amount"),
    ("pay", charge(currency="zzz"), "unknown_currency"),
    ("pay", charge(customer="a\0b"), "bad_key"),
    ("pay", charge() | {"created": 253_402_300_800}, "bad_time"),
    ("pay", charge() | {"created": -1}, "bad_time"),
    ("pay", charge() | {"id": ""}, "not_an_event"),
    ("pay", envelope("charge.teleported", {}), "no_rule"),
    ("cmd", charge(), "wrong_topic"),
    ("cmd", envelope("wallet.p2p", MOVE), "same_account"),
    ("cmd", split(PEOPLE), "too_many_legs"),
]


def headers(letter: Any) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in letter.headers() or ()}


def test_each_bad_record_is_a_dead_letter(kafka: KafkaBroker, ledger: str) -> None:
    """Original bytes and key, a reason a person understands, and the events after it are posted."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    sent: dict[tuple[str, str], tuple[bytes, str]] = {}
    for number, (name, content, reason) in enumerate(BAD):
        value = content if isinstance(content, bytes) else json.dumps(content).encode()
        key = f"key-{number}"
        producer.produce(cluster.topic(name), value, key)
        sent[cluster.topic(name), key] = (value, reason)
    good = [charge(id=f"ch_{number}") | {"id": f"evt_{number}"} for number in range(3)]
    assert producer.flush(60) == 0
    cluster.produce("pay", good)
    outcomes = cluster.drain("a")
    assert outcomes == {"posted": len(good), "dead": len(BAD)}
    letters = cluster.read("dead")
    found = {
        (headers(one)["__connect.errors.topic"], (one.key() or b"").decode()): (
            one.value(),
            headers(one)["ledger_worker.reason"],
        )
        for one in letters
    }
    assert found == sent
    assert all(headers(one)["__connect.errors.exception.message"] for one in letters)
    assert audit(cluster, ledger) == (len(good), len(good))
