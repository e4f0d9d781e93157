"""The fields of an announcement, and how reports name a record."""

from __future__ import annotations

from hashlib import blake2b

from worker.codecs.outbox_reader import place_of
from worker.core.ports import Record
from worker.jobs.archive.records import is_placed


def origin_of(record: Record) -> str:
    """A dead letter's name for a record: its position, or its bytes where that is unknown."""
    return place_of(record) if is_placed(record) else hash_of(record)


def hash_of(record: Record) -> str:
    """The name of a record whose position is unknown: its bytes."""
    return "value:" + blake2b(record.value() or b"", digest_size=16).hexdigest()
