"""The straight-line loop: what the worker would cost without rules, bounds or guarantees.

Consume, fastavro, pack, submit, fastavro, transactional produce; the same outbox fields, headers
and format as the worker's, and its Kafka settings. The one rule of `rules.yaml` is written into
it. A process of its own, so that CPU and memory are its own; prints one JSON line.

Usage: python -m bench.straight SERVERS LEDGER TOPIC OUTBOX GROUP EVENTS
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import fastavro

from bench.loop import Headers, Loop
from worker.core.ids import OFFSET_MASK, account_id, field, leg_suffix, transfer_id
from worker.core.wire import TRANSFER_ROW, Account, pack_account
from worker.ledger.open import open_ledger

SCHEMAS = Path(__file__).parents[1] / "schemas"
EVENT_SCHEMA = fastavro.parse_schema(
    json.loads((SCHEMAS / "stripe_payment_event.avsc").read_text())
)
POSTED_SCHEMA = fastavro.parse_schema(json.loads((SCHEMAS / "posted_transfer.avsc").read_text()))
NO_ID = bytes(16)
BATCH = 4000
FIXED_HEADERS: Headers = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"ledger.transfer.posted"),
    ("ce_source", b"/ledger-worker/bench"),
    ("content-type", b"application/avro"),
    ("ledger_worker.rulebook", b"0" * 64),
]


class RuleByHand:
    """The one rule, written out. group: names its legs and accounts: every run posts anew."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.suffixes = [leg_suffix(f"{leg}_{group}", "", "", 0) for leg in ("gross", "held")]
        self.clearing = account_id(ledger=840, name=f"{group}_clearing", key="")

    def wallet_of(self, customer: str) -> int:
        return account_id(ledger=840, name=f"{self.group}_wallet", key=customer)

    def accounts(self, events: list[Any], known: set[int]) -> list[Account]:
        """Those that are new."""
        wanted = {self.wallet_of(event["data"]["object"]["customer"]) for event in events}
        fresh = (wanted | {self.clearing}) - known
        known |= fresh
        return [Account(id=one, ledger=840, code=1 if one == self.clearing else 2) for one in fresh]

    def pack(self, event: Any, position: int) -> list[tuple[int, bytes]]:  # noqa: ANN401
        charge = event["data"]["object"]
        wallet = self.wallet_of(charge["customer"])
        key = f"event/{event['id']}"
        key_field, tag = field(key), blake2b(key.encode(), digest_size=16).digest()
        amounts = (charge["amount"], charge["amount"] // 10)
        packed = []
        for number, (debit, credit) in enumerate(
            ((self.clearing, wallet), (wallet, self.clearing))
        ):
            leg_id = transfer_id(
                time_ms=event["created"] * 1000, key_field=key_field, suffix=self.suffixes[number]
            )
            row = TRANSFER_ROW.pack(
                leg_id.to_bytes(16, "little"),
                debit.to_bytes(16, "little"),
                credit.to_bytes(16, "little"),
                amounts[number].to_bytes(16, "little"),
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

    def record(
        self,
        event: Any,  # noqa: ANN401
        *,
        number: int,
        leg_id: int,
        stamp: int,
        position: int,
    ) -> dict[str, Any]:
        charge = event["data"]["object"]
        customer = charge["customer"]
        first, wallet = number == 0, self.wallet_of(customer)
        return {
            "transfer_id": f"{leg_id:032x}",
            "debit_account_id": f"{self.clearing if first else wallet:032x}",
            "credit_account_id": f"{wallet if first else self.clearing:032x}",
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
            "fact": f"event/{event['id']}",
            "fact_at": iso((leg_id >> 80) * 1_000_000)[:19] + "Z",
            "topic": "bench",
            "partition": 0,
            "offset": position & OFFSET_MASK,
            "expires_at": "",
        }

    def announcement(self, told: dict[str, Any]) -> tuple[bytes, bytes, Headers]:
        """Value, key and headers of a record of the outbox."""
        out = io.BytesIO()
        out.write(b"\x00\x00\x00\x00\x04")
        fastavro.schemaless_writer(out, POSTED_SCHEMA, told)
        headers = [
            ("ce_id", told["transfer_id"].encode()),
            ("ce_time", told["posted_at"].encode()),
            *FIXED_HEADERS,
        ]
        return out.getvalue(), told["event_id"].encode(), headers


def iso(timestamp: int) -> str:
    seconds, rest = divmod(timestamp, 1_000_000_000)
    head = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{head}.{rest // 1000:06d}Z"


def read(values: Iterable[bytes | None]) -> list[Any]:
    return [
        fastavro.schemaless_reader(io.BytesIO((value or b"")[5:]), EVENT_SCHEMA, None)
        for value in values
    ]


def main() -> None:
    loop = Loop.from_arguments(sys.argv[1:])
    books = RuleByHand(loop.group)
    ledger = open_ledger(addresses=loop.ledger, cluster_id=0, deadline_seconds=60)
    known: set[int] = set()
    for messages in loop.batches(BATCH):
        events = read(message.value() for message in messages)
        if fresh := books.accounts(events, known):
            ledger.create_accounts(b"".join(map(pack_account, fresh)))
        packed = [
            books.pack(event, loop.position(message))
            for event, message in zip(events, messages, strict=True)
        ]
        results = ledger.create_transfers(b"".join(row for legs in packed for _, row in legs))
        stamps = iter(results)
        loop.begin()
        for event, message, legs in zip(events, messages, packed, strict=True):
            for number, (leg_id, _) in enumerate(legs):
                told = books.record(
                    event,
                    number=number,
                    leg_id=leg_id,
                    stamp=next(stamps).timestamp,
                    position=loop.position(message),
                )
                loop.produce(*books.announcement(told))
        loop.commit(messages)
    loop.report()
    ledger.close()


if __name__ == "__main__":
    main()
