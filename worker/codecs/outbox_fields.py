"""The outbox record's fields, in the order of `schemas/posted_transfer.avsc`.

`plain_value` encodes them the obvious way, as the reference for the fast encoder in `outbox.py`.
"""

from __future__ import annotations

from typing import Literal

import orjson

from worker.codecs.avro import packaged_schema, write_framed
from worker.core.chain import AccountRef, Chain
from worker.core.event import Event
from worker.core.ids import TIME_SHIFT, announced_key, hex_id
from worker.core.iso_times import NANOSECONDS, iso_second, iso_time
from worker.core.outcome import PostedLeg
from worker.core.ports import Record
from worker.core.wire import Transfer

OutboxFormat = Literal["json", "avro"]
OutboxFields = dict[str, str | int]

SCHEMA_NAME = "posted_transfer"


def posted_fields(chain: Chain, attempt: int, leg: PostedLeg, record: Record) -> OutboxFields:
    """Every field of the announcement, in order. record: the one that posted the leg."""
    return {
        "transfer_id": hex_id(leg.id),
        "pending_id": hex_id(leg.pending_id) if leg.pending_id else "",
        "amount": str(leg.amount),
        **leg_fields(leg),
        **account_fields("debit", leg.debit),
        **account_fields("credit", leg.credit),
        **event_fields(chain.event, attempt),
        "posted_at": iso_time(leg.timestamp),
        "ledger_timestamp": str(leg.timestamp),
        "fact": chain.key,
        "fact_at": iso_second(fact_seconds(leg.id)),
        **source_fields(record.topic(), record.partition()),
        "offset": record.offset(),
        "expires_at": expiry(leg) if leg.timeout else "",
    }


def fact_seconds(transfer_id: int) -> int:
    """When the fact happened, in seconds since 1970: the milliseconds in a transfer's id."""
    return (transfer_id >> TIME_SHIFT) // 1000


def expiry(leg: PostedLeg | Transfer) -> str:
    """When the ledger gives a reservation back, in ISO 8601; it makes no transfer then."""
    return iso_time(leg.timestamp + leg.timeout * NANOSECONDS)


def source_fields(topic: str, partition: int) -> OutboxFields:
    """Where the record that posted a leg is, but for its offset."""
    return {"topic": topic, "partition": partition}


def leg_fields(leg: PostedLeg) -> OutboxFields:
    """What is the same whenever the same leg of the rulebook is posted at the same number."""
    return {
        "transaction": leg.spec.transaction,
        "leg": leg.spec.name,
        "leg_number": leg.leg_number,
        "leg_count": leg.leg_count,
        "kind": leg.spec.kind,
        "currency": leg.currency.name,
        "scale": leg.currency.scale,
        "ledger": leg.currency.ledger,
        "code": leg.code,
        "flags": leg.flags,
    }


def account_fields(side: str, account: AccountRef) -> OutboxFields:
    """What says who was debited or credited."""
    return {
        f"{side}_account_id": hex_id(account.id),
        f"{side}_account": account.name,
        f"{side}_key": announced_key(account.key),
    }


def event_fields(event: Event, attempt: int) -> OutboxFields:
    """What the legs of one event share."""
    return {
        "event_id": event.id,
        "event_type": event.type,
        "event_created": iso_second(event.created),
        "attempt": attempt,
    }


def plain_value(fields: OutboxFields, *, encoding: OutboxFormat, schema_id: int) -> bytes:
    """An outbox record's bytes: compact JSON, or framed Avro."""
    if encoding == "json":
        return orjson.dumps(fields)
    return write_framed(fields, schema=packaged_schema(SCHEMA_NAME), schema_id=schema_id)
