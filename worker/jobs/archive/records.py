"""One archived record, in the shape of a consumed Kafka record."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.core.ports import Headers, Record

NO_TIMESTAMP = 0
CREATE_TIME = 1


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    """A record out of a file. `worker.core.ports.Record` is its shape.

    has_position: whether the archive has the record's position; if not, partition is 0 and offset
        counts the topic's records in the order in which they were read.
    """

    topic_name: str
    partition_number: int
    offset_number: int
    key_bytes: bytes | None
    value_bytes: bytes | None
    header_list: Headers = field(default_factory=list)
    timestamp_ms: int = 0
    has_position: bool = True

    def topic(self) -> str:
        """The topic's name."""
        return self.topic_name

    def partition(self) -> int:
        """The partition's number."""
        return self.partition_number

    def offset(self) -> int:
        """The record's offset in its partition."""
        return self.offset_number

    def key(self) -> bytes | None:
        """The key's bytes."""
        return self.key_bytes

    def value(self) -> bytes | None:
        """The value's bytes."""
        return self.value_bytes

    def headers(self) -> Headers | None:
        """The headers in order."""
        return self.header_list or None

    def timestamp(self) -> tuple[int, int]:
        """(type, milliseconds since 1970); type 0 means the record has none."""
        return (CREATE_TIME, self.timestamp_ms) if self.timestamp_ms else (NO_TIMESTAMP, 0)


def has_position(record: Record) -> bool:
    """Is it known where in Kafka the record was?"""
    return record.has_position if isinstance(record, ArchivedRecord) else True
