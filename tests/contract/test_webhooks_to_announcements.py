"""Stripe's sample webhooks through the whole of the worker but Kafka: bytes to announcements.

The golden file pins the chain, its ids, what the ledger holds and every announced byte that comes
from each webhook, once as Stripe's JSON and once as framed Avro, announced in both formats.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from worker.codecs.avro import encode_event
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.decode import Decoder
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.outbox_fields import OutboxFormat
from worker.codecs.parked import ParkedEvents
from worker.codecs.rejected import RejectedEncoder
from worker.core.assignment import Assignment
from worker.core.chain import Chain, Leg
from worker.core.event import Event
from worker.core.ports import Announcement, Headers
from worker.core.translate import Translator
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import PACKAGED, load
from worker.stages.announce import AnnouncementWriter
from worker.stages.decode import EventReader
from worker.stages.item import Item
from worker.stages.post.poster import Poster

WEBHOOKS = Path(__file__).parents[1] / "stripe"
GOLDEN = Path(__file__).parents[1] / "golden" / "webhooks.json"
REWRITE = "REWRITE_GOLDEN"
"""Set this variable to write the golden file anew; then read its difference."""

SCHEMA_ID = 1
DIGEST = "0" * 64
LEDGER_NS = 1_800_000_000_000_000_000
FORMATS: tuple[OutboxFormat, ...] = ("json", "avro")


@dataclass(frozen=True)
class Delivered:
    """A webhook's record in the payments topic."""

    number: int
    sent: bytes

    def topic(self) -> str:
        return "stripe.payments"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.sent

    def headers(self) -> Headers | None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_800_000_000_000


def webhooks() -> dict[str, dict[str, Any]]:
    """Stripe's samples, each with an id of its own."""
    return {
        path.stem: orjson.loads(path.read_bytes()) | {"id": f"evt_{path.stem}"}
        for path in sorted(WEBHOOKS.glob("*.json"))
    }


def encoded(event: dict[str, Any], encoding: OutboxFormat) -> bytes:
    if encoding == "json":
        return orjson.dumps(event)
    return encode_event(event, "stripe_payment_event", SCHEMA_ID)


def writer(encoding: OutboxFormat) -> AnnouncementWriter:
    dead = DeadLetters(topic="ledger.events.dead", group="golden", rulebook_digest=DIGEST)
    return AnnouncementWriter(
        outbox=OutboxEncoder(
            encoding=encoding,
            schema_id=4,
            topic="ledger.transfers.posted",
            source="/ledger-worker/golden",
            rulebook_digest=DIGEST,
        ),
        rejected=RejectedEncoder(
            topic="ledger.events.rejected", source="/ledger-worker/golden", rulebook_digest=DIGEST
        ),
        parked=ParkedEvents(topics=[], dead=dead, now_ms=lambda: 0),
        dead=dead,
    )


def become(read_as: OutboxFormat, told_as: OutboxFormat) -> dict[str, Any]:
    """What each webhook becomes in a new ledger whose clock stands still."""
    translator = Translator(load(PACKAGED))
    reader = EventReader(Decoder({SCHEMA_ID: "stripe_payment_event"}), translator)
    poster = Poster(EmbeddedLedger(now_ns=lambda: LEDGER_NS), translator, parked_max=0)
    write = writer(told_as).write
    assignment = Assignment("stripe.payments", 0, "payments", base=1 << 40)
    found = {}
    for number, (name, event) in enumerate(webhooks().items()):
        record = Delivered(number, encoded(event, read_as))
        [decoded] = reader.decode([record], ["payments"])
        asked, _ = reader.translate(decoded, record, role="payments")
        item = Item(record, assignment, number, len(record.sent), "payments", asked)
        [outcome] = poster.post([item])
        told = write([item], [outcome])
        found[name] = {
            "outcome": str(outcome.kind),
            "reason": outcome.dead and f"{outcome.dead.reason}: {outcome.dead.detail}",
            "chain": [leg_line(leg) for leg in asked.legs] if isinstance(asked, Chain) else [],
            "announced": [shown(one) for one in told if outcome.legs],
        }
        assert isinstance(decoded, Event)
        assert told or not outcome.dead
    return found


def leg_line(leg: Leg) -> str:
    sides = " > ".join(f"{one.name}[{one.key}]" if one else "-" for one in (leg.debit, leg.credit))
    return (
        f"{leg.id:032x} {leg.spec.name} {leg.spec.kind}: {sides} {leg.amount} {leg.currency.name}"
    )


def shown(announced: Announcement) -> dict[str, Any]:
    value = announced.value or b""
    return {
        "topic": announced.topic,
        "key": (announced.key or b"").decode(),
        "headers": {name: (held or b"").decode() for name, held in announced.headers},
        "value": orjson.loads(value) if value.startswith(b"{") else value.hex(),
    }


def test_the_golden_file_has_what_webhooks_become() -> None:
    """Every sample webhook's chain and announcements, as JSON and as Avro."""
    become_now = {encoding: become("json", encoding) for encoding in FORMATS}
    if os.environ.get(REWRITE):
        GOLDEN.write_bytes(orjson.dumps(become_now, option=orjson.OPT_INDENT_2) + b"\n")
    assert become_now == orjson.loads(GOLDEN.read_bytes())
    posted = [name for name, one in become_now["json"].items() if one["announced"]]
    assert "charge.succeeded" in posted


@pytest.mark.parametrize("told_as", FORMATS)
def test_avro_webhooks_become_the_same(told_as: OutboxFormat) -> None:
    """The encoding that an event came in changes neither a byte nor an id of what it becomes."""
    assert become("avro", told_as) == orjson.loads(GOLDEN.read_bytes())[told_as]
