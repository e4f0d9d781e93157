"""Every field of an announcement, worked out again from the ledger's row and the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.codecs.decode import Decoder
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.outbox_reader import announced_fields
from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.ids import position_base
from worker.core.outcome import OutcomeKind
from worker.core.translate import Translator
from worker.core.wire import Transfer
from worker.jobs.archive.records import ArchivedRecord
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.decode import EventReader
from worker.stages.item import Item
from worker.stages.post.poster import Poster

RULES = """
version: 1
ledgers:
  usd: {id: 840, scale: 2}
  jpy: {id: 392, scale: 0}
accounts:
  bank: {title: Bank, code: 1, type: asset}
  losses: {title: Losses, code: 2, type: expense}
  shortfall_control: {title: Control, code: 4, type: asset}
  wallet:
    title: Wallet
    code: 3
    type: liability
    per: customer
    flags: [debits_must_not_exceed_credits]
transactions:
  charge:
    on: charge
    idempotency_key: data.object.id
    idempotency_time: data.object.at
    currency: data.object.currency
    transfers:
      gross:
        for_each: data.object.parts
        debit: bank
        credit: wallet[data.object.customer]
        amount: item
        code: 1
  loss:
    on: loss
    currency: data.object.currency
    transfers:
      loss:
        debit: wallet[data.object.customer]
        credit: bank
        amount: sum(data.object.parts)
        shortfall: losses
        code: 2
  hold:
    on: hold
    idempotency_key: data.object.id
    idempotency_time: data.object.at
    currency: data.object.currency
    transfers:
      short: {debit: bank, credit: losses, amount: 7, code: 3, pending: true, timeout: 3600}
      long: {debit: bank, credit: losses, amount: 9, code: 4, pending: true}
  take:
    on: take
    currency: data.object.currency
    transfers:
      taken:
        post: {transaction: hold, leg: short, key: data.object.id, time: data.object.at}
"""
CODES = {"bank": 1, "losses": 2, "wallet": 3, "shortfall_control": 4}
NAMES = {code: name for name, code in CODES.items()}
CURRENCIES = {840: ("usd", 2), 392: ("jpy", 0)}
RULES_BY_FACT = {"charge": "charge/{id}", "hold": "hold/{id}"}
EPOCH_NS = 1_800_000_000_000_000_000
MARGIN_NS = 1_234_567

objects = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["ch_1", 'ü"1', "x" * 70]),
        "at": st.sampled_from([0, 1_767_225_600]) | st.integers(0, 253_402_300_799),
        "currency": st.sampled_from(["usd", "jpy"]),
        "customer": st.sampled_from(["cus_1", "cus_2", 'ç"', "k" * 40]),
        "parts": st.lists(st.integers(1, 10**12), min_size=1, max_size=3),
    }
)
sent = st.tuples(
    st.sampled_from(["charge", "loss", "hold", "take"]),
    objects,
    st.integers(0, 253_402_300_799),
    st.sampled_from([("stripe.payments", 0), ("wallet.commands", 11)]),
    st.integers(0, (1 << 40) - 1),
)


def iso(nanoseconds: int, *, digits: int) -> str:
    at = datetime.fromtimestamp(nanoseconds // 10**9, UTC).replace(tzinfo=None).isoformat()
    micro = f".{nanoseconds % 10**9 // 1000:06d}" if digits else ""
    return f"{at}{micro}Z"


def hexadecimal(number: int) -> str:
    return number.to_bytes(16, "big").hex()


def account(ledger: EmbeddedLedger, side: str, number: int) -> dict[str, object]:
    """What the account that the ledger holds says of itself."""
    [found] = ledger.lookup_accounts([number])
    raw = (
        found.user_data_128.to_bytes(16, "little")
        + found.user_data_64.to_bytes(8, "little")
        + found.user_data_32.to_bytes(4, "little")
    )
    return {
        f"{side}_account_id": hexadecimal(number),
        f"{side}_account": NAMES[found.code],
        f"{side}_key": raw.rstrip(b"\0").decode() if raw[0] or not any(raw) else raw[1:].hex(),
    }


def stored_key(key: str) -> str:
    """A family key as far as the ledger holds it: over 28 bytes it has a hash only."""
    raw = key.encode()
    if key.startswith("#"):
        return key[1:]
    return key if len(raw) <= 28 else blake2b(raw, digest_size=27).hexdigest()


def expected(
    ledger: EmbeddedLedger, row: Transfer, event: Mapping[str, Any], record: ArchivedRecord
) -> dict[str, object]:
    """The fields of an announcement, but for the names of its rule's leg."""
    stored = event["data"]["object"]
    named = event["type"] in RULES_BY_FACT
    currency, scale = CURRENCIES[row.ledger]
    return {
        "transfer_id": hexadecimal(row.id),
        "pending_id": hexadecimal(row.pending_id) if row.pending_id else "",
        "amount": str(row.amount),
        "transaction": event["type"],
        "leg_number": row.user_data_32 // 65_536,
        "leg_count": row.user_data_32 % 65_536,
        "kind": {2: "pending", 4: "post", 8: "void"}.get(row.flags & 0b1110, "posted"),
        "currency": currency,
        "scale": scale,
        "ledger": row.ledger,
        "code": row.code,
        "flags": row.flags,
        **account(ledger, "debit", row.debit_account_id),
        **account(ledger, "credit", row.credit_account_id),
        "event_id": event["id"],
        "event_type": event["type"],
        "event_created": iso(event["created"] * 10**9, digits=0),
        "attempt": 0,
        "posted_at": iso(row.timestamp, digits=6),
        "ledger_timestamp": str(row.timestamp),
        "fact": RULES_BY_FACT[event["type"]].format(**stored) if named else f"event/{event['id']}",
        "fact_at": iso((stored["at"] if named else event["created"]) * 10**9, digits=0),
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "expires_at": iso(row.timestamp + row.timeout * 10**9, digits=6) if row.timeout else "",
    }


@pytest.fixture(name="rules", scope="module")
def _rules(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return Translator(load(path))


@settings(deadline=None, max_examples=60)
@given(encoding=st.sampled_from(["json", "avro"]), traffic=st.lists(sent, min_size=1, max_size=12))
def test_every_field_is_the_ledgers_or_the_records(
    rules: Translator, encoding: Any, traffic: Sequence[Any]
) -> None:
    """Posted by any record of any partition, each announced field is as worked out again."""
    clock = iter(range(EPOCH_NS, EPOCH_NS + 10**15, MARGIN_NS))
    ledger = EmbeddedLedger(now_ns=lambda: next(clock))
    reader, poster = EventReader(Decoder(), rules), Poster(ledger, rules, parked_max=0)
    encoder = OutboxEncoder(
        encoding=encoding, schema_id=4, topic="out", source="/t", rulebook_digest="0"
    )
    for number, (kind, stored, created, (topic, partition), offset) in enumerate(
        record for each in traffic for record in ([("hold", *each[1:]), each][each[0] != "take" :])
    ):
        event = {"id": f"evt_{number}", "type": kind, "created": created}
        event |= {"data": {"object": stored}}
        record = ArchivedRecord(topic, partition, offset, None, orjson.dumps(event), [])
        base = position_base(group="g", topic=topic, partition=partition)
        stay = Assignment(topic, partition, "", base, opened=True)
        [decoded] = reader.decode([record], [""])
        asked, _ = reader.translate(decoded, record, role="")
        [outcome] = poster.post([Item(record, stay, offset, 0, "", asked)])
        if outcome.kind is not OutcomeKind.POSTED:
            continue
        assert isinstance(asked, Chain)
        for written in encoder.encode(asked, 0, outcome.legs, record):
            announced = dict(announced_fields(ArchivedRecord("out", 0, 0, None, written.value, [])))
            [row] = ledger.lookup_transfers([int(announced["transfer_id"], 16)])
            leg = announced.pop("leg")
            for side in ("debit_key", "credit_key"):
                announced[side] = stored_key(announced[side])
            assert announced == expected(ledger, row, event, record)
            assert leg.partition(".")[0] in {"gross", "loss", "short", "long", "taken"}
            assert row.user_data_64 == base + offset
            fact = blake2b(announced["fact"].encode(), digest_size=16).digest()
            assert row.user_data_128 == int.from_bytes(fact, "little")
