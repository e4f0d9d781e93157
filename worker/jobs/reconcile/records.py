"""How reports and tables name a record: by its position, else by a hash of its bytes."""

from __future__ import annotations

from hashlib import blake2b

from worker.core.ports import Record, position_of
from worker.jobs.archive.records import has_position


def origin_of(record: Record) -> str:
    """A dead letter's name for a record: its position, or its bytes where that is unknown."""
    return str(position_of(record)) if has_position(record) else hash_of(record)


def hash_of(record: Record) -> str:
    """The name of a record whose position is unknown: its bytes."""
    return "value:" + blake2b(record.value() or b"", digest_size=16).hexdigest()
