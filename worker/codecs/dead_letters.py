"""Dead letters: the original record, with the reason in headers after its own.

Key, value, headers and timestamp are unchanged, but for a value that the settings redact or that is
too large. A letter that was redriven and died again keeps its earlier headers; the last of a name
is the newest. Header names are Kafka Connect's where it has them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from worker.codecs.headers import RULEBOOK_HEADER, headers_of
from worker.codecs.partial_record import PartialRecord
from worker.core.event import CREATED_MAX, Dead, Reason
from worker.core.ports import Announcement, Headers, Record

CONNECT: Final = "__connect.errors"
REASON_HEADER: Final = "ledger_worker.reason"
GROUP_HEADER: Final = "ledger_worker.group"
SHA256_HEADER: Final = "ledger_worker.value_sha256"
SIZE_HEADER: Final = "ledger_worker.value_bytes"
LEFT_OUT_HEADER: Final = "ledger_worker.left_out"
TIMESTAMP_HEADER: Final = "ledger_worker.timestamp_ms"
"""A record's own time, where its letter could not have it."""

HEADER_FRAME_BYTES: Final = 10
"""The lengths of a header's name and value, five bytes each at most."""

BLOCK: Final = (
    f"{CONNECT}.topic",
    f"{CONNECT}.partition",
    f"{CONNECT}.offset",
    f"{CONNECT}.stage",
    f"{CONNECT}.exception.class.name",
    f"{CONNECT}.exception.message",
    REASON_HEADER,
    GROUP_HEADER,
    RULEBOOK_HEADER,
)
"""The headers that follow a carried record's own, in this order; a redrive takes them off again."""

ENVELOPE_BYTES_MAX: Final = 65_536
"""The most that key and headers of a too large record may take together to be kept."""


def carry(record: Record, *, topic: str, headers: Headers) -> Announcement:
    """The record as it is on another topic, with headers after its own."""
    return Announcement(
        topic,
        record.key(),
        record.value(),
        [*(headers_of(record)), *headers],
        timestamp_ms(record),
    )


class DeadLetters:
    """Writes records off, for one consumer group under one rulebook."""

    def __init__(
        self, *, topic: str, group: str, rulebook_digest: str, redact: bool = False
    ) -> None:
        self._topic = topic
        self._redact = redact
        self._group = group
        self._rulebook_digest = rulebook_digest

    def letter(self, record: Record, dead: Dead, *, stage: str) -> Announcement:
        """The dead letter of a record. stage: where it died: decode, translate or post."""
        headers = self.headers(record, dead, stage)
        if self._redact and record.value():
            return self._redacted(record, headers)
        headers += _left_out(record)
        return carry(record, topic=self._topic, headers=headers)

    def _redacted(self, record: Record, headers: Headers) -> Announcement:
        """Without its value: card data can come in any field, so none of it is kept.

        The value is empty, not null; hash, size and position say which record it was, and where
        the record itself is for as long as its topic keeps it.
        """
        value = record.value() or b""
        marks: Headers = [*_marks(value), *_left_out(record, "value")]
        own = headers_of(record)
        return Announcement(
            self._topic, record.key(), b"", [*own, *headers, *marks], timestamp_ms(record)
        )

    def too_large(self, record: Record, dead: Dead, *, stage: str) -> Announcement:
        """The dead letter of a record that the broker refuses for its size.

        The value is empty (not null: compaction would take that for a deletion); hash, size and
        position say which record it was. Key and headers are kept unless they are what is large.
        dead: why the record was to be a dead letter in the first place.
        """
        value = record.value() or b""
        detail = f"the record is too large for the broker; it was {dead.reason}: {dead.detail}"
        headers = self.headers(record, Dead(Reason.TOO_LARGE, detail), stage)
        headers += _marks(value)
        key, own = record.key(), headers_of(record)
        if _size(key, own) > ENVELOPE_BYTES_MAX:
            key, own = None, []
            headers.append((LEFT_OUT_HEADER, b"key, headers"))
        else:
            headers += _left_out(record)
        return Announcement(self._topic, key, b"", [*own, *headers], timestamp_ms(record))

    def headers(self, record: Record, dead: Dead, stage: str) -> Headers:
        """Where the record was, what it died of, and who says so."""
        texts = (
            record.topic(),
            str(record.partition()),
            str(record.offset()),
            stage,
            f"ledger_worker.{dead.reason}",
            dead.detail,
            dead.reason.value,
            self._group,
            self._rulebook_digest,
        )
        return [(name, text.encode()) for name, text in zip(BLOCK, texts, strict=True)]


def _left_out(record: Record, *parts: str) -> Headers:
    """The header that names what of a record its letter does not hold; none where that is nothing.

    parts: what is left out beside headers that cannot be read.
    """
    names = [*parts, "headers"] if isinstance(record, PartialRecord) else list(parts)
    return [(LEFT_OUT_HEADER, ", ".join(names).encode())] if names else []


def _marks(value: bytes) -> Headers:
    """The reason why a value is absent."""
    return [
        (SHA256_HEADER, sha256(value).hexdigest().encode()),
        (SIZE_HEADER, b"%d" % len(value)),
    ]


def without_timestamp(announcement: Announcement) -> Announcement:
    """The same with the broker's time, where its topic refuses the record's own as too far away."""
    own_ms = b"%d" % announcement.timestamp_ms
    marks: Headers = [(TIMESTAMP_HEADER, own_ms), (LEFT_OUT_HEADER, b"timestamp")]
    return announcement._replace(headers=[*announcement.headers, *marks], timestamp_ms=0)


def record_bytes(announcement: Announcement) -> int:
    """What a record takes: its key, its value, and its headers, each with their lengths."""
    framing = HEADER_FRAME_BYTES * len(announcement.headers)
    envelope = _size(announcement.key, announcement.headers)
    return len(announcement.value or b"") + envelope + framing


def dated_ms(record: Record) -> int:
    """A record's own time as far as a date can say it, in milliseconds from 1970 to 9999.

    A producer may write any; what lies outside is the nearest. 0 where it has none.
    """
    return min(max(timestamp_ms(record), 0), CREATED_MAX * 1000)


def timestamp_ms(record: Record) -> int:
    """A record's own time in milliseconds since 1970; 0 where it has none."""
    kind, milliseconds = record.timestamp()
    return milliseconds if kind else 0


def _size(key: bytes | None, headers: Headers) -> int:
    texts = sum(len(name.encode()) + len(value or b"") for name, value in headers)
    return len(key or b"") + texts
