"""A record as Kafka's client gives it, with what a test says of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.core.ports import Headers, TopicPartition


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """One record of a partition.

    kind: of its time; 0 is none.
    """

    place: TopicPartition
    at: int
    content: bytes
    attached: Headers = field(default_factory=list)
    time_ms: int = 0
    kind: int = 1

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.content

    def headers(self) -> Headers | None:
        return self.attached

    def timestamp(self) -> tuple[int, int]:
        return self.kind, self.time_ms
