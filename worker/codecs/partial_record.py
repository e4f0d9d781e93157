"""A consumed record of which a part cannot be read, as far as it can be carried."""

from __future__ import annotations

from worker.core.ports import Headers, Record


class PartialRecord:
    """A record without the headers whose names are not UTF-8. Kafka's client cannot give those.

    It is never an event: what its producer meant is not known as a whole.
    """

    def __init__(self, record: Record, headers: Headers) -> None:
        self._record = record
        self._headers = headers

    def topic(self) -> str:
        """The topic's name."""
        return self._record.topic()

    def partition(self) -> int:
        """The partition's number."""
        return self._record.partition()

    def offset(self) -> int:
        """The record's offset in its partition."""
        return self._record.offset()

    def key(self) -> bytes | None:
        """The key's bytes."""
        return self._record.key()

    def value(self) -> bytes | None:
        """The value's bytes."""
        return self._record.value()

    def headers(self) -> Headers | None:
        """The headers that can be carried, in order."""
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        """(type, milliseconds since 1970); type 0 means the record has none."""
        return self._record.timestamp()
