"""A day of generated traffic, posted and announced without a broker, for tests to look at.

The records go through the worker's own decoder, rules, poster and writer; the topics are
lists.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from worker.codecs.dead_letters import DeadLetters
from worker.codecs.decode import Decoder
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.parked import ParkedEvents
from worker.codecs.rejected import RejectedEncoder
from worker.config.settings import PACKAGED_RULEBOOK, Settings
from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.ids import position_base
from worker.core.ports import Record
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.scene import Generated
from worker.jobs.generate.traffic import generate
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.announce import AnnouncementWriter
from worker.stages.decode import EventReader
from worker.stages.item import Item
from worker.stages.post.poster import Poster

PARTITIONS = 3
BATCH = 200
GROUP = "ledger-worker"


class LedgerTime:
    """A ledger's clock that a test moves."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns


@dataclass(slots=True)
class Played:
    """What is in the topics and in the ledger after the traffic. records: by topic."""

    ledger: EmbeddedLedger
    ledger_file: Path
    clock: LedgerTime
    records: dict[str, list[ArchivedRecord]] = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[str] = field(default_factory=Counter)
    ends: Counter[tuple[str, int]] = field(default_factory=Counter)

    def archive(self, path: Path, *topics: str) -> Path:
        """The records of these topics, or of all, as a file of JSON lines."""
        chosen = topics or tuple(self.records)
        lines = [line_of(record) for topic in chosen for record in self.records[topic]]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path


def line_of(record: Record) -> dict[str, Any]:
    """One line of an archive."""
    line: dict[str, Any] = {
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[1],
    }
    for name, raw in (("key", record.key()), ("value", record.value())):
        if raw is not None:
            line[f"{name}_base64"] = b64encode(raw).decode()
    line["headers"] = [
        [name, None, b64encode(value).decode()] if value is not None else [name, None]
        for name, value in record.headers() or ()
    ]
    return line


def play(  # noqa: PLR0913 - how much, and what tests choose
    events: int,
    *,
    seed: int,
    folder: Path,
    keep: Callable[[Generated], bool] = lambda _: True,
    also: Callable[[Played], Iterable[Generated]] = lambda _: (),
    rules: Path = PACKAGED_RULEBOOK,
) -> Played:
    """Generate, post and announce so many records.

    keep: which of these are played. also: what follows them, made from the topics they are in.
    rules: the rulebook's file.
    """
    settings = Settings()
    clock = LedgerTime(1_767_225_600 * 10**9)
    path = folder / "ledger.file"
    played = Played(EmbeddedLedger(path=path, now_ns=clock), path, clock)
    rulebook = load(rules)
    chosen = [one for one in generate(events, seed, roles=settings.topics.inputs) if keep(one)]
    inputs = [(one.role, place(played, settings, one)) for one in chosen]
    inputs += [(one.role, place(played, settings, one)) for one in also(played)]
    reader = EventReader(Decoder(), Translator(rulebook))
    poster = Poster(played.ledger, Translator(rulebook), parked_max=0)
    writer = announcing(settings, rulebook.digest)
    assignments: dict[tuple[str, int], Assignment] = {}
    for start in range(0, len(inputs), BATCH):
        chunk = inputs[start : start + BATCH]
        items = read_items(reader, chunk, assignments)
        clock.now_ns = (1_767_225_600 + start * 4) * 10**9
        settle(played, poster, writer, items)
    return played


def place(played: Played, settings: Settings, one: Generated) -> ArchivedRecord:
    """A record at the end of the partition that its key belongs to."""
    topic, partition = settings.topics.inputs[one.role], crc32(one.key) % PARTITIONS
    offset = played.ends[topic, partition]
    played.ends[topic, partition] += 1
    at_ms = 1_767_225_600_000 + offset
    made = ArchivedRecord(topic, partition, offset, one.key, json_value(one), [], at_ms)
    played.records[topic].append(made)
    return made


def read_items(
    reader: EventReader,
    chunk: Sequence[tuple[str, ArchivedRecord]],
    assignments: dict[tuple[str, int], Assignment],
) -> list[Item]:
    """Records as the pipeline hands them to the poster."""
    found = reader.decode([record for _, record in chunk], [role for role, _ in chunk])
    items = []
    for (role, record), event in zip(chunk, found, strict=True):
        home = (record.topic(), record.partition())
        base = position_base(group=GROUP, topic=home[0], partition=home[1])
        assignment = assignments.setdefault(home, Assignment(*home, role, base, opened=True))
        translated, attempts = reader.translate(event, record, role=role)
        size = len(record.value() or b"")
        items.append(Item(record, assignment, record.offset(), size, role, translated, attempts))
    return items


def settle(
    played: Played, poster: Poster, writer: AnnouncementWriter, items: Sequence[Item]
) -> None:
    """Post items together, but none with a chain that it waits for; announce them."""
    for together in apart(items):
        outcomes = poster.post(together)
        played.outcomes.update(outcome.kind.value for outcome in outcomes)
        for one in writer.write(together, outcomes):
            offset = len(played.records[one.topic])
            headers = list(one.headers)
            played.records[one.topic].append(
                ArchivedRecord(one.topic, 0, offset, one.key, one.value, headers)
            )


def apart(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The items in order, cut before each one that waits for another chain."""
    together: list[Item] = []
    for item in items:
        translated = item.translated
        if isinstance(translated, Chain) and (
            translated.needs or any(leg.pending_ids for leg in translated.legs)
        ):
            yield together
            together = []
        together.append(item)
    yield together


def announcing(settings: Settings, digest: str) -> AnnouncementWriter:
    """The worker's own writer."""
    topics = settings.topics
    dead = DeadLetters(topic=topics.dead, group=GROUP, rulebook_digest=digest)
    return AnnouncementWriter(
        outbox=OutboxEncoder(
            encoding="json", schema_id=4, topic=topics.outbox, source="/t", rulebook_digest=digest
        ),
        rejected=RejectedEncoder(topic=topics.rejected, source="/t", rulebook_digest=digest),
        parked=ParkedEvents(topics=[], dead=dead, now_ms=lambda: 0),
        dead=dead,
    )
