"""Records that a topic does not take as they are, and what is written in place of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import KafkaError, Message

from worker.codecs.dead_letters import record_bytes, without_timestamp
from worker.core.ports import Announcement

TOO_LARGE: Final = KafkaError.MSG_SIZE_TOO_LARGE
BAD_TIME: Final = KafkaError.INVALID_TIMESTAMP
"""A record's own time is too far from the broker's (`message.timestamp.after.max.ms`)."""

CLOCKS_MS: Final = 60_000

RecordName = tuple[str, bytes | None, int]


class RefusedRecords:
    """What was refused of the transaction under way, which is then written again.

    record_bytes_max: by topic the largest record that it takes, where that is known.
    times: by topic how many milliseconds before and after now a record's own time may be, where
    that is known: of a batch with one that is refused, the client says so of all.
    """

    def __init__(
        self, record_bytes_max: Mapping[str, int], times: Mapping[str, tuple[int, int]]
    ) -> None:
        self._record_bytes_max = record_bytes_max
        self._times = times
        self._refused: dict[int, set[RecordName]] = {TOO_LARGE: set(), BAD_TIME: set()}

    def instead_of(self, announcement: Announcement) -> Announcement:
        """What to write: the record as it is, or what its topic takes of it."""
        name, written = _name(announcement), announcement
        limit = self._record_bytes_max.get(announcement.topic)
        large = limit is not None and record_bytes(announcement) > limit
        if announcement.otherwise is not None and (large or name in self._refused[TOO_LARGE]):
            written = announcement.otherwise()
        if name in self._refused[BAD_TIME] or self._far(written):
            written = without_timestamp(written)
        return written

    def _far(self, announcement: Announcement) -> bool:
        """Is its time known to be refused? Clocks may differ by `CLOCKS_MS`."""
        window = self._times.get(announcement.topic)
        if window is None or not announcement.timestamp_ms:
            return False
        late_ms = time.time_ns() // 1_000_000 - announcement.timestamp_ms
        before, after = window
        return late_ms > before - CLOCKS_MS or -late_ms > after - CLOCKS_MS

    def note(self, announcement: Announcement, error: KafkaError) -> bool:
        """Remember why it was refused; False where nothing else can be written in its place."""
        names = self._refused.get(error.code())
        if names is None or _name(announcement) in names:
            return False
        names.add(_name(announcement))
        return True

    def watcher(self, announcement: Announcement) -> Callable[[KafkaError | None, Message], None]:
        """Notes what the broker says of the record."""

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self.note(announcement, error)

        return delivered

    def clear(self) -> None:
        """The transaction is in: none of them comes again."""
        for names in self._refused.values():
            names.clear()


def _name(announcement: Announcement) -> RecordName:
    """What identifies a refused record when all are written again after the abort."""
    return announcement.topic, announcement.key, hash(announcement.value)
