"""Topics of a feed in memory, whose transactions fail as a test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from worker.core.errors import Aborted, Unsettled
from worker.core.ports import Announcement, Headers, Record


class Stored(NamedTuple):
    """One record; it has the shape of `Record`."""

    announcement: Announcement
    number: int

    def topic(self) -> str:
        return self.announcement.topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def key(self) -> bytes | None:
        return self.announcement.key

    def value(self) -> bytes | None:
        return self.announcement.value

    def headers(self) -> Headers | None:
        return []

    def timestamp(self) -> tuple[int, int]:
        return 1, self.announcement.timestamp_ms


class Crash(BaseException):
    """The process is gone: nothing of it goes on."""


@dataclass
class MemoryTopics:
    """One broker's topics.

    fails: what the next transactions come to, empty for well: `aborted` (not written), `unsettled`
    (written, and nobody says so), `lost` (not written, and nobody says so), `crash before` or
    `crash after` it is written.
    """

    checkpoint_topic: str = "feed"
    records: dict[str, list[Stored]] = field(default_factory=dict)
    fails: list[str] = field(default_factory=list)
    transactions: int = 0

    def append(self, record: Announcement) -> None:
        stored = self.records.setdefault(record.topic, [])
        stored.append(Stored(record, len(stored)))

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [orjson.loads(record.value() or b"") for record in self.records.get(topic, [])]

    def session(self) -> MemorySession:
        return MemorySession(self)


class MemorySession:
    """One process's view of the topics."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics
        self._ends: dict[str, int] = {}

    def checkpoints(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for record in self._topics.records.get(self._topics.checkpoint_topic, []):
            name, value = (record.key() or b"").decode(), record.value()
            if value is None:
                found.pop(name, None)
            else:
                found[name] = orjson.loads(value)
        return found

    def fresh(self, topic: str, since: int) -> Iterator[Record]:
        stored = self._topics.records.get(topic, [])
        start = self._ends.get(topic)
        self._ends[topic] = len(stored)
        if start is None:
            late = (at for at, one in enumerate(stored) if one.timestamp()[1] >= since * 1_000)
            start = next(late, len(stored))
        yield from stored[start:]

    def write(self, records: Sequence[Announcement]) -> None:
        self._topics.transactions += 1
        fails = self._topics.fails.pop(0) if self._topics.fails else ""
        if fails == "crash before":
            raise Crash
        if fails == "aborted":
            raise Aborted(fails)
        if fails == "lost":
            raise Unsettled(fails)
        for record in records:
            self._topics.append(record)
        if fails == "unsettled":
            raise Unsettled(fails)
        if fails == "crash after":
            raise Crash

    def forget(self) -> None:
        self._ends = {}
