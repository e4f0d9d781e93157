"""Posted legs as outbox records, quickly: what repeats is encoded once and joined.

Every value equals `outbox_fields.plain_value`. `encode` runs for every posted transfer, so it is
flat.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import orjson

from worker.codecs.avro import frame
from worker.codecs.headers import (
    AVRO_TYPE,
    JSON_TYPE,
    TRACEPARENT,
    cloud_headers,
    headers_of,
    traceparent,
)
from worker.codecs.outbox_fields import (
    OutboxFields,
    OutboxFormat,
    account_fields,
    event_fields,
    expiry,
    fact_seconds,
    leg_fields,
    source_fields,
)
from worker.core.chain import AccountRef, Chain, LegSpec, new
from worker.core.event import Event
from worker.core.ids import announced_key, hex_id
from worker.core.iso_times import iso_second, iso_time
from worker.core.money import Currency
from worker.core.outcome import PostedLeg
from worker.core.ports import Announcement, Record

KEPT_MAX: Final = 50_000
"""The most encoded runs that each of the caches keeps; a run is about 150 bytes."""

SHORT_BYTES: Final = 64
"""More than the longest part that is not in a run: an amount has 39 digits."""

ID_DIGITS: Final = 32
TIME_BYTES: Final = len("2026-01-31T23:59:59.000000Z")
SECOND_BYTES: Final = len("2026-01-31T23:59:59Z")

POSTED: Final = "ledger.transfer.posted"

FixedFields = tuple[LegSpec, Currency, int, int, int, int]
EventKind = tuple[str, int, int]
TopicPartition = tuple[str, int]
Key = TypeVar("Key")


class OutboxEncoder:
    """Encodes posted legs, with caches for one rulebook's names.

    encoding: `json` or `avro`.
    schema_id: of posted_transfer, for Avro's frame.
    source: CloudEvents' source, a URI reference.
    rulebook_digest: of the rulebook in force.
    kept_max: the size of each cache.
    """

    def __init__(  # noqa: PLR0913 - one argument per thing that is constant
        self,
        *,
        encoding: OutboxFormat,
        schema_id: int,
        topic: str,
        source: str,
        rulebook_digest: str,
        kept_max: int = KEPT_MAX,
    ) -> None:
        self._topic = topic
        self._kept_max = kept_max
        self._run = json_run if encoding == "json" else avro_run
        self._account_run = _json_account if encoding == "json" else _avro_account
        self._between = _between_json() if encoding == "json" else _between_avro(schema_id)
        self._event_id = _json_event_id if encoding == "json" else _avro_event_id
        self._fact = _json_fact if encoding == "json" else _avro_fact
        self._offset = _json_offset if encoding == "json" else avro_long
        self._expiry = _json_expiry if encoding == "json" else avro_string
        self._no_expiry = self._expiry("")
        content_type = JSON_TYPE if encoding == "json" else AVRO_TYPE
        self._fixed_headers = cloud_headers(
            kind=POSTED, source=source, content_type=content_type, rulebook=rulebook_digest
        )
        self._legs: dict[FixedFields, bytes] = {}
        self._debits: dict[AccountRef, bytes] = {}
        # Avro writes no field's name, so an account looks the same on both sides.
        self._credits: dict[AccountRef, bytes] = {} if encoding == "json" else self._debits
        self._events: dict[EventKind, bytes] = {}
        self._partitions: dict[TopicPartition, bytes] = {}
        self._posted_us = -1
        self._posted_at = b""

    def encode(
        self, chain: Chain, attempt: int, legs: Sequence[PostedLeg], record: Record
    ) -> list[Announcement]:
        """The outbox records of a chain's legs, in order.

        attempt: under which the chain was posted.
        legs: at least one.
        record: the one that posted the chain, or by which it is announced.
        """
        event, topic, fixed = chain.event, self._topic, self._fixed_headers
        begin, before_pending, before_amount, after_amount, before_time, before_stamp, after = (
            self._between
        )
        headers = headers_of(record)
        trace = traceparent(headers) if headers else None
        if trace is not None:
            fixed = [*fixed, (TRACEPARENT, trace)]
        key = event.id.encode()
        kind = (event.type, event.created, attempt)
        event_run = self._event_id(event.id, key) + (
            self._events.get(kind) or self._new_event(kind, event)
        )
        source = (record.topic(), record.partition())
        event_end = b"".join(
            (
                after,
                self._fact(chain.key, iso_second(fact_seconds(legs[0].id))),
                self._partitions.get(source) or self._new_partition(source),
                self._offset(record.offset()),
            )
        )
        last_end = event_end + self._no_expiry
        written = []
        for leg in legs:
            # fmt: off
            (
                spec, currency, number, debit, credit, amount, pending, code, flags, stamp, at, of,
                timeout,
            ) = leg
            # fmt: on
            fixed_fields = (spec, currency, code, flags, at, of)
            leg_run = self._legs.get(fixed_fields) or self._new_leg(fixed_fields, leg)
            debited = self._debits.get(debit) or self._new_account(self._debits, "debit", debit)
            credited = self._credits.get(credit) or self._new_account(
                self._credits, "credit", credit
            )
            if stamp // 1000 != self._posted_us:
                self._posted_us = stamp // 1000
                self._posted_at = iso_time(stamp).encode()
            posted_at = self._posted_at
            transfer_id = hexlify(number.to_bytes(16, "big"))
            pending_id = hexlify(pending.to_bytes(16, "big")) if pending else b""
            digits = b"%d" % amount
            time = b"%d" % stamp
            end = event_end + self._expiry(expiry(leg)) if timeout else last_end
            # fmt: off
            value = b"".join((
                begin, transfer_id,
                before_pending[len(pending_id)], pending_id,
                before_amount[len(digits)], digits,
                after_amount, leg_run, debited, credited, event_run,
                before_time, posted_at,
                before_stamp[len(time)], time,
                end,
            ))
            # fmt: on
            own = [("ce_id", transfer_id), ("ce_time", posted_at), *fixed]
            written.append(new(Announcement, (topic, key, value, own, 0, None)))
        return written

    def _new_event(self, kind: EventKind, event: Event) -> bytes:
        """What follows the id in an event's fields: thousands were made in the same second."""
        fields = event_fields(event, kind[2])
        del fields["event_id"]
        return _kept(self._events, self._kept_max, kind, self._run(fields))

    def _new_leg(self, fixed_fields: FixedFields, leg: PostedLeg) -> bytes:
        return _kept(self._legs, self._kept_max, fixed_fields, self._run(leg_fields(leg)))

    def _new_partition(self, source: TopicPartition) -> bytes:
        return _kept(self._partitions, self._kept_max, source, self._run(source_fields(*source)))

    def _new_account(self, cache: dict[AccountRef, bytes], side: str, account: AccountRef) -> bytes:
        return _kept(cache, self._kept_max, account, self._account_run(side, account))


def _kept(cache: dict[Key, bytes], limit: int, key: Key, run: bytes) -> bytes:
    """Keep an encoded run; a full cache starts over, which costs less than keeping an order."""
    if len(cache) >= limit:
        cache.clear()
    cache[key] = run
    return run


def json_run(fields: OutboxFields) -> bytes:
    """Some fields of a JSON object, each followed by a comma."""
    return orjson.dumps(fields)[1:-1] + b","


def _json_event_id(event_id: str, _: bytes) -> bytes:
    """The first of an event's fields; orjson quotes what needs it."""
    return b'"event_id":' + orjson.dumps(event_id) + b","


def _avro_event_id(_: str, encoded: bytes) -> bytes:
    return avro_bytes(encoded)


def _json_fact(fact: str, fact_at: str) -> bytes:
    return b'"fact":' + orjson.dumps(fact) + b',"fact_at":"' + fact_at.encode() + b'",'


def _avro_fact(fact: str, fact_at: str) -> bytes:
    return avro_string(fact) + _SIZES[SECOND_BYTES] + fact_at.encode()


def _json_offset(offset: int) -> bytes:
    return b'"offset":%d,' % offset


def _json_expiry(expires_at: str) -> bytes:
    return b'"expires_at":"' + expires_at.encode() + b'"}'


def _json_account(side: str, account: AccountRef) -> bytes:
    return json_run(account_fields(side, account))


def _avro_account(_: str, account: AccountRef) -> bytes:
    """The fields of an account; with very many wallets nearly every leg has a new one."""
    return b"".join(
        map(avro_string, (hex_id(account.id), account.name, announced_key(account.key)))
    )


class Between(NamedTuple):
    """What is between the parts of a record that differ from leg to leg.

    A tuple gives it by the length of the part that follows.
    """

    begin: bytes
    before_pending: tuple[bytes, ...]
    before_amount: tuple[bytes, ...]
    after_amount: bytes
    before_time: bytes
    before_stamp: tuple[bytes, ...]
    after_stamp: bytes


def _between_json() -> Between:
    return Between(
        begin=b'{"transfer_id":"',
        before_pending=(b'","pending_id":"',) * SHORT_BYTES,
        before_amount=(b'","amount":"',) * SHORT_BYTES,
        after_amount=b'",',
        before_time=b'"posted_at":"',
        before_stamp=(b'","ledger_timestamp":"',) * SHORT_BYTES,
        after_stamp=b'",',
    )


def _between_avro(schema_id: int) -> Between:
    """Avro writes the length before each text, and nothing else."""
    sizes = _SIZES
    return Between(
        begin=frame(schema_id) + sizes[ID_DIGITS],
        before_pending=sizes,
        before_amount=sizes,
        after_amount=b"",
        before_time=sizes[TIME_BYTES],
        before_stamp=sizes,
        after_stamp=b"",
    )


def avro_run(fields: OutboxFields) -> bytes:
    """Some fields of an Avro record: strings and ints, one after the other."""
    return b"".join(
        [
            avro_string(value) if isinstance(value, str) else avro_long(value)
            for value in fields.values()
        ]
    )


def avro_long(number: int) -> bytes:
    """A whole number that is not negative: zigzag, seven bits a byte, lowest first."""
    raw = number << 1
    encoded = bytearray()
    while raw > 0x7F:  # noqa: PLR2004 - what seven bits hold
        encoded.append(raw & 0x7F | 0x80)
        raw >>= 7
    encoded.append(raw)
    return bytes(encoded)


def avro_string(text: str) -> bytes:
    """A string: its length in bytes, then its UTF-8."""
    return avro_bytes(text.encode())


def avro_bytes(encoded: bytes) -> bytes:
    """What follows its length."""
    size = len(encoded)
    return (_SIZES[size] if size < SHORT_BYTES else avro_long(size)) + encoded


_SIZES: Final = tuple(map(avro_long, range(SHORT_BYTES)))
