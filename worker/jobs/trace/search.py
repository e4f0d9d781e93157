"""Finds records in the worker's topics: by position, by what they contain, by time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, Literal, NamedTuple

from worker.codecs.dead_letters import CONNECT, timestamp_ms
from worker.codecs.headers import headers_of
from worker.codecs.letters import UnusableLetter, original_of, reason_of, rejection
from worker.codecs.outbox_reader import announced_fields
from worker.codecs.parked import parked_at_ms
from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.ids import hex_id
from worker.core.iso_times import MILLISECOND
from worker.core.ports import Record, RecordPosition, TopicPartition, position_of
from worker.core.wire import Transfer
from worker.jobs.progress import Progress
from worker.kafka.topic_reader import OffsetRange, TopicReader

WINDOWS_MS: Final = ((2_000, 60_000), (600_000, 3_600_000))
"""Where an announcement is looked for, before and after the ledger's time: near it, then wider,
because Kafka's clock may differ and an outage may lie between posting and announcing."""

LetterKind = Literal["dead", "rejected", "parked"]


class Letter(NamedTuple):
    """A dead letter, a rejection or a parked event.

    at: where the letter is. about: the record that it tells of.
    time_ms: of the letter, or for a parked event when it was parked; milliseconds since 1970.
    due_ms: when a parked event is tried again; 0 for others.
    taken_up: whether the group has read a parked event again.
    leg: the refused leg of a rejection, else empty.
    """

    kind: LetterKind
    at: RecordPosition
    about: RecordPosition
    event_id: str
    time_ms: int
    reason: str
    detail: str
    attempt: int = 0
    leg: str = ""
    due_ms: int = 0
    taken_up: bool = False


class TopicSearch:
    """Looks into the topics that one worker reads and writes."""

    def __init__(self, settings: Settings, reader: TopicReader, progress: Progress) -> None:
        topics = settings.topics
        self._partitions = there = reader.offsets.existing()
        self.roles = {topic: role for role, topic in topics.inputs.items() if topic in there}
        self.parked = [topic for topic in topics.parked_topics if topic in there]
        self.missing = [
            topic
            for topic in (*topics.inputs.values(), topics.outbox, topics.rejected, topics.dead)
            if topic not in there
        ]
        self._delays_ms = [1000 * seconds for seconds in topics.parked_delays_seconds]
        self._settings = settings
        self._reader = reader
        self._progress = progress

    def at(self, positions: Collection[RecordPosition]) -> dict[RecordPosition, Record]:
        """The records at these positions; what is gone is left out."""
        return self._reader.at(positions)

    def committed(self, at: RecordPosition) -> bool:
        """Has the worker's group committed this record?"""
        return at.offset < self._committed.get(at[:2], -1)

    @cached_property
    def _committed(self) -> Mapping[TopicPartition, int]:
        topics = [*self.roles, *self.parked]
        partitions = sorted(each for topic in topics for each in self._partitions[topic])
        return self._reader.offsets.committed(self._settings.kafka.group_id, partitions)

    def containing(
        self, texts: Iterable[str], *, since_ms: int, topics: Sequence[str]
    ) -> Iterator[Record]:
        """Records of these topics, from a time on, whose key or value contains one of the texts."""
        wanted = [form for text in texts for form in forms_of(text)]
        for record in self._records(topics, "input records", start_ms=since_ms):
            value, key = record.value() or b"", record.key() or b""
            if any(each in value or each in key for each in wanted):
                yield record

    def letters(self, *, since_ms: int) -> Iterator[tuple[Letter, Record]]:
        """Every letter from a time on, with its record."""
        topics = self._settings.topics
        names = [each for each in (topics.dead, topics.rejected) if each not in self.missing]
        for record in self._records([*names, *self.parked], "letters", start_ms=since_ms):
            letter = self.letter(record)
            if letter is not None:
                yield letter, record

    def letter(self, record: Record) -> Letter | None:
        """The letter in a record of a dead, rejected or parked topic; None where it is none."""
        at = position_of(record)
        if record.topic() == self._settings.topics.rejected:
            refused = rejection(record)
            if refused is None:
                return None
            return Letter(
                kind="rejected",
                at=at,
                about=refused.at,
                event_id=refused.event_id,
                time_ms=timestamp_ms(record),
                reason=refused.reason,
                detail="",
                attempt=refused.attempt,
                leg=refused.leg,
            )
        return self._carried(record, at)

    def _carried(self, record: Record, at: RecordPosition) -> Letter | None:
        carried = original_of(record, parked=self._settings.topics.parked_topics)
        if isinstance(carried, UnusableLetter):
            return None
        headers = dict(headers_of(record))
        detail = (headers.get(f"{CONNECT}.exception.message") or b"").decode(errors="replace")
        letter = Letter("dead", at, carried.at, "", timestamp_ms(record), reason_of(record), detail)
        if record.topic() not in self.parked:
            return letter
        began = parked_at_ms(record)
        delay = self._delays_ms[self._settings.topics.parked_topics.index(record.topic())]
        return letter._replace(
            kind="parked", time_ms=began, due_ms=began + delay, taken_up=self.committed(at)
        )

    def announcements(self, transfers: Sequence[Transfer]) -> Mapping[int, RecordPosition]:
        """Where these transfers stand on the outbox, by id; one not found is left out."""
        outbox = self._settings.topics.outbox
        wanted = {hex_id(each.id): each.id for each in transfers}
        found: dict[int, RecordPosition] = {}
        if outbox in self.missing:
            return found
        times = sorted(each.timestamp // MILLISECOND for each in transfers)
        for before, after in WINDOWS_MS:
            for first, last in _spans(times, before, after):
                for record in self._records([outbox], "", start_ms=first, end_ms=last):
                    number = wanted.get(_transfer_id(record))
                    if number is not None:
                        found[number] = position_of(record)
                    if len(found) == len(wanted):
                        return found
        return found

    def _records(
        self, topics: Sequence[str], label: str, *, start_ms: int, end_ms: int = 0
    ) -> Iterator[Record]:
        """What these topics hold from a time on, and before another (0: to the end seen now)."""
        offsets = self._reader.offsets
        bounds = offsets.bounds([each for topic in topics for each in self._partitions[topic]])
        found = offsets.by_time(bounds, start_ms=start_ms, end_ms=end_ms)
        ranges = {partition: OffsetRange(*bound) for partition, bound in found.items()}
        records = self._reader.read(ranges)
        total = sum(max(each.end - each.start, 0) for each in ranges.values())
        return self._progress.over(records, label, total=total)


def forms_of(text: str) -> set[bytes]:
    """A text as records have it: plain in Avro, and in JSON with what that escapes."""
    escaped = (json.dumps(text, ensure_ascii=each)[1:-1] for each in (True, False))
    return {form.encode() for form in (text, *escaped)}


def _transfer_id(record: Record) -> str:
    try:
        return str(announced_fields(record)["transfer_id"])
    except UsageError:  # junk on the outbox tells of no transfer
        return ""


def _spans(times_ms: Sequence[int], before: int, after: int) -> list[tuple[int, int]]:
    """Spans of time around some times, in order, joined where they touch."""
    spans: list[tuple[int, int]] = []
    for each in times_ms:
        if spans and each - before <= spans[-1][1]:
            spans[-1] = (spans[-1][0], each + after)
        else:
            spans.append((each - before, each + after))
    return spans
