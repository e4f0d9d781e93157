"""The straight-line loop: what the worker would cost without rules, bounds or guarantees.

Consume, fastavro, pack, submit, fastavro, transactional produce; the same outbox fields, headers
and format as the worker's, and its Kafka settings. The one rule of `rules.yaml` is written into
it. A process of its own, so that CPU and memory are its own; prints one JSON line.

Usage: python -m bench.straight SERVERS LEDGER TOPIC OUTBOX GROUP EVENTS
"""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from worker.core.ids import account_id, field, leg_suffix, position_base, transfer_id
from worker.core.wire import TRANSFER_ROW, Account, pack_account
from worker.ledger.open import open_ledger
from worker.ports import Ledger

SCHEMAS = Path(__file__).parents[1] / "schemas"
EVENT_SCHEMA = fastavro.parse_schema(
    json.loads((SCHEMAS / "stripe_payment_event.avsc").read_text())
)
POSTED_SCHEMA = fastavro.parse_schema(json.loads((SCHEMAS / "posted_transfer.avsc").read_text()))
NO_ID = bytes(16)
BATCH = 4000
GROUP = sys.argv[5] if len(sys.argv) > 5 else "straight"  # noqa: PLR2004 - its place in the usage
"""Names its legs and accounts too, so that every run posts anew in the same ledger."""
SUFFIXES = [leg_suffix(f"{leg}_{GROUP}", "", "", 0) for leg in ("gross", "held")]
CLEARING = account_id(ledger=840, name=f"{GROUP}_clearing", key="")
FIXED_HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"ledger.transfer.posted"),
    ("ce_source", b"/ledger-worker/bench"),
    ("content-type", b"application/avro"),
    ("ledger_worker.rulebook", b"0" * 64),
]


def iso(timestamp: int) -> str:
    seconds, rest = divmod(timestamp, 1_000_000_000)
    head = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{head}.{rest // 1000:06d}Z"


def wallet_of(customer: str) -> int:
    return account_id(ledger=840, name=f"{GROUP}_wallet", key=customer)


def read(messages: Iterable[Message]) -> list[Any]:
    return [
        fastavro.schemaless_reader(io.BytesIO((message.value() or b"")[5:]), EVENT_SCHEMA, None)
        for message in messages
    ]


def pack(event: Any, position: int) -> list[tuple[int, bytes]]:  # noqa: ANN401
    charge = event["data"]["object"]
    wallet = wallet_of(charge["customer"])
    key = f"event/{event['id']}"
    key_field, tag = field(key), blake2b(key.encode(), digest_size=16).digest()
    sides = ((CLEARING, wallet, charge["amount"]), (wallet, CLEARING, charge["amount"] // 10))
    packed = []
    for number, (debit, credit, amount) in enumerate(sides):
        leg_id = transfer_id(
            time_ms=event["created"] * 1000, key_field=key_field, suffix=SUFFIXES[number]
        )
        row = TRANSFER_ROW.pack(
            leg_id.to_bytes(16, "little"),
            debit.to_bytes(16, "little"),
            credit.to_bytes(16, "little"),
            amount.to_bytes(16, "little"),
            NO_ID,
            tag,
            position,
            number << 16 | 2,
            0,
            840,
            number + 1,
            1 - number,
            0,
        )
        packed.append((leg_id, row))
    return packed


def make_accounts(ledger: Ledger, events: list[Any], known: set[int]) -> None:
    wanted = {wallet_of(event["data"]["object"]["customer"]) for event in events} | {CLEARING}
    fresh = wanted - known
    if fresh:
        accounts = [Account(id=one, ledger=840, code=1 if one == CLEARING else 2) for one in fresh]
        ledger.create_accounts(b"".join(map(pack_account, accounts)))
        known |= fresh


def record(event: Any, number: int, leg_id: int, stamp: int) -> dict[str, Any]:  # noqa: ANN401
    charge = event["data"]["object"]
    customer = charge["customer"]
    first, wallet = number == 0, wallet_of(customer)
    return {
        "transfer_id": f"{leg_id:032x}",
        "debit_account_id": f"{CLEARING if first else wallet:032x}",
        "credit_account_id": f"{wallet if first else CLEARING:032x}",
        "pending_id": "",
        "event_id": event["id"],
        "event_type": event["type"],
        "event_created": iso(event["created"] * 1_000_000_000)[:19] + "Z",
        "transaction": "charge",
        "leg": "gross" if first else "held",
        "leg_number": number,
        "leg_count": 2,
        "debit_account": "bench_clearing" if first else "bench_wallet",
        "debit_key": "" if first else customer,
        "credit_account": "bench_wallet" if first else "bench_clearing",
        "credit_key": customer if first else "",
        "amount": str(charge["amount"] if first else charge["amount"] // 10),
        "currency": "usd",
        "scale": 2,
        "ledger": 840,
        "code": number + 1,
        "flags": 1 - number,
        "kind": "posted",
        "attempt": 0,
        "posted_at": iso(stamp),
        "ledger_timestamp": str(stamp),
    }


def announce(producer: Producer, outbox: str, told: dict[str, Any]) -> None:
    out = io.BytesIO()
    out.write(b"\x00\x00\x00\x00\x04")
    fastavro.schemaless_writer(out, POSTED_SCHEMA, told)
    headers: Any = [
        ("ce_id", told["transfer_id"].encode()),
        ("ce_time", told["posted_at"].encode()),
        *FIXED_HEADERS,
    ]
    while True:
        try:
            producer.produce(outbox, out.getvalue(), told["event_id"].encode(), headers=headers)
            break
        except BufferError:
            producer.poll(0.1)


def connect(servers: str, group: str) -> tuple[Consumer, Producer]:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": 32_768,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": group,
            "compression.type": "lz4",
            "delivery.report.only.error": True,
            "retry.backoff.ms": 5,
            "queue.buffering.max.messages": 200_000,
        }
    )
    producer.init_transactions(60)
    return consumer, producer


def main() -> None:
    servers, address, topic, outbox, _, expected = sys.argv[1:]
    group = GROUP
    ledger = open_ledger(addresses=address, cluster_id=0, deadline_seconds=60)
    consumer, producer = connect(servers, group)
    consumer.subscribe([topic])
    known: set[int] = set()
    bases = [position_base(group=group, topic=topic, partition=number) for number in range(64)]
    done, began, cpu = 0, time.monotonic(), time.process_time()
    while done < int(expected):
        messages = [one for one in consumer.consume(BATCH, 0.2) if one.error() is None]
        if not messages:
            continue
        events = read(messages)
        make_accounts(ledger, events, known)
        packed = [
            pack(event, bases[message.partition() or 0] | (message.offset() or 0))
            for event, message in zip(events, messages, strict=True)
        ]
        results = ledger.create_transfers(b"".join(row for legs in packed for _, row in legs))
        stamps = iter(results)
        producer.begin_transaction()
        for event, legs in zip(events, packed, strict=True):
            for number, (leg_id, _) in enumerate(legs):
                announce(producer, outbox, record(event, number, leg_id, next(stamps).timestamp))
        ends = {message.partition() or 0: (message.offset() or 0) + 1 for message in messages}
        producer.send_offsets_to_transaction(
            [TopicPartition(topic, number, at) for number, at in ends.items()],
            consumer.consumer_group_metadata(),
        )
        producer.commit_transaction()
        done += len(messages)
    report(done, time.monotonic() - began, time.process_time() - cpu)
    consumer.close()
    ledger.close()


def report(events: int, seconds: float, cpu: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"events": events, "seconds": seconds, "cpu": cpu, "peak_mib": peak}))


if __name__ == "__main__":
    main()
