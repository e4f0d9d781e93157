"""Posted legs as outbox records, quickly: what repeats is encoded once and joined.

The invariant: every value equals `outbox_fields.plain_value` byte for byte; a contract test
compares them. Caches are bounded and hold encoded constants only. No I/O.

`encode` runs for every transfer that is posted, so it is flat, and the benchmark guards it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import orjson

from worker.codecs.announcements import (
    AVRO_TYPE,
    JSON_TYPE,
    NANOSECONDS,
    TRACEPARENT,
    cloud_headers,
    iso_seconds,
)
from worker.codecs.avro import frame
from worker.codecs.outbox_fields import (
    Fields,
    Format,
    account_fields,
    event_fields,
    leg_fields,
)
from worker.core.chain import AccountRef, LegSpec, PostedLeg
from worker.core.event import Event
from worker.ports import Announcement

KEPT_MAX: Final = 50_000
"""The most encoded runs that each of the three caches keeps; a run is about 150 bytes."""

SHORT_BYTES: Final = 64
"""More than the longest part that is not in a run: an amount has 39 digits."""

POSTED: Final = "ledger.transfer.posted"

LegPlace = tuple[LegSpec, str, int, int, int, int, int, int]
Join = Callable[[bytes, bytes, bytes, bytes, bytes, bytes], bytes]
"""transfer_id, pending_id, amount, the runs between, posted_at, ledger_timestamp."""
Key = TypeVar("Key")


class OutboxEncoder:
    """Encodes posted legs; one per worker, because a rulebook's names are what it caches.

    encoding: `json` or `avro`. schema_id: of posted_transfer, for Avro's frame.
    source: CloudEvents' source, a URI reference. rulebook_digest: of the rulebook in force.
    kept_max: the size of each cache.
    """

    def __init__(  # noqa: PLR0913 - one argument per thing that is constant
        self,
        *,
        encoding: Format,
        schema_id: int,
        topic: str,
        source: str,
        rulebook_digest: str,
        kept_max: int = KEPT_MAX,
    ) -> None:
        self._topic = topic
        self._kept_max = kept_max
        self._run = json_run if encoding == "json" else avro_run
        self._join = _join_json if encoding == "json" else _avro_join(schema_id)
        content_type = JSON_TYPE if encoding == "json" else AVRO_TYPE
        self._fixed_headers = cloud_headers(
            kind=POSTED, source=source, content_type=content_type, rulebook=rulebook_digest
        )
        self._legs: dict[LegPlace, bytes] = {}
        self._debits: dict[AccountRef, bytes] = {}
        self._credits: dict[AccountRef, bytes] = {}
        self._event: Event | None = None
        self._attempt = 0
        self._event_run = b""
        self._key = b""

    def encode(
        self, event: Event, attempt: int, leg: PostedLeg, traceparent: bytes | None
    ) -> Announcement:
        """The outbox record of one leg; the legs of an event are best given one after another."""
        spec, currency, number, debit, credit, amount, pending, code, flags, timestamp, at, of = leg
        if event is not self._event or attempt != self._attempt:
            self._begin(event, attempt)
        place = (spec, currency.name, currency.ledger, currency.scale, code, flags, at, of)
        leg_run = self._legs.get(place) or self._new_leg(place, leg)
        debit_run = self._debits.get(debit) or self._new_account(self._debits, "debit", debit)
        credit_run = self._credits.get(credit) or self._new_account(self._credits, "credit", credit)
        transfer_id = b"%032x" % number
        seconds, rest = divmod(timestamp, NANOSECONDS)
        posted_at = f"{iso_seconds(seconds)}.{rest // 1000:06d}Z".encode()
        value = self._join(
            transfer_id,
            b"%032x" % pending if pending else b"",
            b"%d" % amount,
            leg_run + debit_run + credit_run + self._event_run,
            posted_at,
            b"%d" % timestamp,
        )
        headers = [("ce_id", transfer_id), ("ce_time", posted_at), *self._fixed_headers]
        if traceparent is not None:
            headers.append((TRACEPARENT, traceparent))
        return Announcement(self._topic, self._key, value, headers, 0)

    def _begin(self, event: Event, attempt: int) -> None:
        self._event, self._attempt = event, attempt
        self._event_run = self._run(event_fields(event, attempt))
        self._key = event.id.encode()

    def _new_leg(self, place: LegPlace, leg: PostedLeg) -> bytes:
        return _kept(self._legs, self._kept_max, place, self._run(leg_fields(leg)))

    def _new_account(self, cache: dict[AccountRef, bytes], side: str, account: AccountRef) -> bytes:
        return _kept(cache, self._kept_max, account, self._run(account_fields(side, account)))


def _kept(cache: dict[Key, bytes], limit: int, key: Key, run: bytes) -> bytes:
    """Keep an encoded run; a full cache starts over, which costs less than keeping an order."""
    if len(cache) >= limit:
        cache.clear()
    cache[key] = run
    return run


def json_run(fields: Fields) -> bytes:
    """Some fields of a JSON object, each followed by a comma."""
    return orjson.dumps(fields)[1:-1] + b","


def _join_json(  # noqa: PLR0913, PLR0917 - one argument per part, called in one place
    transfer_id: bytes,
    pending_id: bytes,
    amount: bytes,
    runs: bytes,
    posted_at: bytes,
    timestamp: bytes,
) -> bytes:
    return b"".join(
        (
            b'{"transfer_id":"',
            transfer_id,
            b'","pending_id":"',
            pending_id,
            b'","amount":"',
            amount,
            b'",',
            runs,
            b'"posted_at":"',
            posted_at,
            b'","ledger_timestamp":"',
            timestamp,
            b'"}',
        )
    )


def avro_run(fields: Fields) -> bytes:
    """Some fields of an Avro record: strings and ints, one after the other."""
    return b"".join(
        avro_long(value) if isinstance(value, int) else avro_string(value)
        for value in fields.values()
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
    encoded = text.encode()
    return avro_long(len(encoded)) + encoded


def _avro_join(schema_id: int) -> Join:
    begin = frame(schema_id)
    sizes = tuple(avro_long(size) for size in range(SHORT_BYTES))

    def join_avro(*parts: bytes) -> bytes:
        transfer_id, pending_id, amount, runs, posted_at, timestamp = parts
        return b"".join(
            (
                begin,
                sizes[len(transfer_id)],
                transfer_id,
                sizes[len(pending_id)],
                pending_id,
                sizes[len(amount)],
                amount,
                runs,
                sizes[len(posted_at)],
                posted_at,
                sizes[len(timestamp)],
                timestamp,
            )
        )

    return join_avro
