"""From a letter back to its original record.

Only headers that the worker wrote are believed: it writes its own last, so they are read from the
end. A producer's headers can neither choose a redrive's topic nor a parked record's origin.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import sha256
from typing import Final, NamedTuple

import orjson

from worker.codecs.dead_letters import (
    BLOCK,
    CONNECT,
    REASON_HEADER,
    SHA256_HEADER,
    TIMESTAMP_HEADER,
    dated_ms,
    timestamp_ms,
)
from worker.codecs.headers import headers_of
from worker.core.event import ATTEMPT_MAX
from worker.core.iso_times import iso_second
from worker.core.ports import Headers, Record, RecordPosition

INT64_DIGITS: Final = 19
PARTITION_MAX: Final = (1 << 31) - 1
OFFSET_MAX: Final = (1 << 63) - 1
INT64: Final = re.compile(rb"-?\d{1,19}")


class OriginalRecord(NamedTuple):
    """The record as its producer wrote it.

    at: its topic, partition and offset.
    timestamp_ms: its own, milliseconds since 1970; 0 where it has none.
    """

    at: RecordPosition
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


class RecordElsewhere(NamedTuple):
    """The letter does not hold its record, which must be read from its topic.

    at: its topic, partition and offset.
    digest: SHA-256 of its value in hex; empty for a rejection, which names the event instead.
    """

    at: RecordPosition
    digest: str
    event_id: str


class UnusableLetter(NamedTuple):
    """Why a letter cannot be redriven."""

    why: str


class RejectedRecord(NamedTuple):
    """A rejection.

    leg: the one that the ledger refused, empty where it did not say.
    at: the record that was rejected.
    """

    event_id: str
    event_type: str
    transaction: str
    leg: str
    reason: str
    attempt: int
    at: RecordPosition


class _Carried(NamedTuple):
    """One layer of headers that the worker added.

    at: the record's topic, partition and offset.
    own: its headers without the layer.
    added: the layer, by name.
    """

    at: RecordPosition
    own: Headers
    added: dict[str, bytes]


def original_of(
    record: Record, *, parked: Collection[str]
) -> OriginalRecord | RecordElsewhere | UnusableLetter:
    """The record in a dead letter or a parked event. parked: the topics where events wait."""
    outer = _taken_off(headers_of(record))
    if outer is None:
        return UnusableLetter("its headers do not say where it came from")
    inner = outer
    while inner.at.topic in parked:
        below = _taken_off(inner.own)
        if below is None:
            break
        inner = below
    digest = outer.added.get(SHA256_HEADER)
    if digest is not None:
        return RecordElsewhere(inner.at, digest.decode(errors="replace"), "")
    if inner.at.topic in parked:
        return UnusableLetter("its headers do not say where it was parked from")
    own_ms = _number(inner.added.get(TIMESTAMP_HEADER)) or timestamp_ms(record)
    return OriginalRecord(inner.at, record.key(), record.value(), inner.own, own_ms)


def read_back(
    letter: RecordElsewhere, found: Record | None, *, parked: Collection[str]
) -> OriginalRecord | UnusableLetter:
    """The record that was read for a letter which does not hold it."""
    if found is None:
        return UnusableLetter(f"the record is gone: {letter.at} is not in its topic any more")
    if letter.digest and sha256(found.value() or b"").hexdigest() != letter.digest:
        return UnusableLetter(f"{letter.at} holds another record: its SHA-256 differs")
    if letter.at.topic not in parked:
        return OriginalRecord(
            letter.at, found.key(), found.value(), headers_of(found), timestamp_ms(found)
        )
    back = original_of(found, parked=parked)
    return (
        UnusableLetter("its parked copy does not hold it either")
        if isinstance(back, RecordElsewhere)
        else back
    )


def rejection(record: Record) -> RejectedRecord | None:
    """The rejection in a record of the rejected topic; None where it is none."""
    try:
        fields = orjson.loads(record.value() or b"")
        return RejectedRecord(
            str(fields["event_id"]),
            str(fields["event_type"]),
            str(fields["transaction"]),
            str(fields["leg"]),
            str(fields["reason"]),
            _whole(fields["attempt"], ATTEMPT_MAX),
            RecordPosition(
                str(fields["topic"]),
                _whole(fields["partition"], PARTITION_MAX),
                _whole(fields["offset"], OFFSET_MAX),
            ),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def _whole(number: object, largest: int) -> int:
    """A whole number from 0 on that the worker can have written.

    Raises:
        ValueError: it is none.
    """
    if type(number) is not int or not 0 <= number <= largest:
        raise ValueError("no whole number, or out of its range")
    return number


def reason_of(record: Record) -> str:
    """Why a carried record is a letter: the newest header that says so."""
    headers = dict(headers_of(record))
    return (headers.get(REASON_HEADER) or b"").decode(errors="replace")


def time_of(record: Record) -> str:
    """A record's own time in ISO 8601 with seconds, see `dated_ms`; empty where it has none."""
    return iso_second(dated_ms(record) // 1000) if timestamp_ms(record) else ""


def _number(digits: bytes | None) -> int:
    """A signed whole number of 64 bits; 0 for anything else."""
    found = INT64.fullmatch(digits or b"")
    return int(found[0]) if found else 0


def _taken_off(headers: Headers) -> _Carried | None:
    """The last block of headers that the worker added, and what was there before it."""
    names = tuple(name for name, _ in headers)
    for start in range(len(names) - len(BLOCK), -1, -1):
        if names[start : start + len(BLOCK)] == BLOCK:
            added = {name: value or b"" for name, value in headers[start:]}
            topic = added[f"{CONNECT}.topic"].decode(errors="replace")
            numbers = [added[f"{CONNECT}.{part}"] for part in ("partition", "offset")]
            if not all(digits.isdigit() and len(digits) <= INT64_DIGITS for digits in numbers):
                return None
            return _Carried(RecordPosition(topic, *map(int, numbers)), headers[:start], added)
    return None
