"""What the benchmarks read: seeded charges of two legs each, as framed Avro or as webhooks.

The invariant: the same numbers make the same records. A webhook is Stripe's own sample of a
charge (3.4 KB) with this charge's fields in it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import orjson
from confluent_kafka import Producer

from worker.codecs.avro import encode_event

ROOT = Path(__file__).parents[1]
SAMPLE: dict[str, Any] = orjson.loads((ROOT / "tests/stripe/charge.succeeded.json").read_bytes())
CREATED = 1_760_000_000
FLUSH_SECONDS = 120

Encoding = Literal["avro", "webhook"]


def charges(events: int, *, seed: int, customers: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """So many charges, numbered from `first`; a thousand in every second."""
    rng = random.Random(seed)
    for number in range(first, first + events):
        created = CREATED + number // 1000
        charge = {
            "id": f"ch_{number:012d}",
            "object": "charge",
            "amount": rng.randrange(100, 100_000),
            "currency": "usd",
            "customer": f"cus_{rng.randrange(customers):06d}",
            "paid": True,
            "captured": True,
            "created": created,
        }
        yield {
            "id": f"evt_{number:012d}",
            "type": "charge.succeeded",
            "created": created,
            "livemode": False,
            "data": {"object": charge},
        }


def value_of(event: dict[str, Any], encoding: Encoding) -> bytes:
    """The record's value."""
    if encoding == "avro":
        return encode_event(event, "stripe_payment_event", 1)
    whole = SAMPLE["data"]["object"] | event["data"]["object"]
    return orjson.dumps(SAMPLE | event | {"data": {"object": whole}}, option=orjson.OPT_INDENT_2)


def fill(  # noqa: PLR0913 - what there is, and how much of it
    servers: str,
    topic: str,
    *,
    events: int,
    seed: int,
    customers: int = 1000,
    encoding: Encoding = "avro",
) -> None:
    """The topic with its charges, keyed by customer."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50})
    for event in charges(events, seed=seed, customers=customers):
        key = event["data"]["object"]["customer"].encode()
        while True:
            try:
                producer.produce(topic, value_of(event, encoding), key)
                break
            except BufferError:
                producer.poll(0.5)
    if producer.flush(FLUSH_SECONDS):
        raise SystemExit("the broker did not take the events in time")
