"""A replay: planned from topics or archives, or applied by the ordinary worker up to its bounds.

It runs in a group of its own, and never at or beyond what the live group has committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from worker.codecs.letters import rejection
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.errors import UsageError
from worker.core.ports import Record, TopicPartition, newest_timestamp
from worker.jobs.archive.files import read_archives
from worker.jobs.progress import Progress
from worker.jobs.replay.planner import ReplayPlan, ReplayPlanner
from worker.jobs.replay.range import Moment, bounds, topics_of
from worker.jobs.shard import ALL, Shard
from worker.kafka.registry import open_decoder
from worker.kafka.topic_reader import OffsetRange, TopicReader, count_offsets, open_topic_reader
from worker.ledger.books import open_named_ledger
from worker.stages.decode import EventReader
from worker.stages.post.ledger_status import LedgerStatus


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What a person requested.

    topic: of events in archives that name none.
    """

    start: Moment
    end: Moment
    topics: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    topic: str = ""
    part: Shard = ALL
    name: str = ""
    resume: bool = False


@dataclass(frozen=True, slots=True)
class PlannedReplay:
    """A plan, and what it was made of; no ranges for archives."""

    plan: ReplayPlan
    ranges: Mapping[TopicPartition, OffsetRange] = field(default_factory=dict)


# Plan


def plan_replay(settings: Settings, request: ReplayRequest, *, progress: Progress) -> PlannedReplay:
    """Say what applying it would post.

    Raises:
        UsageError: records of the range are gone, an archive is broken, or an option is wrong.
        DependencyUnavailable: the broker or the ledger does not answer.
    """
    topics_of(settings.topics.inputs, request.topics)  # said before anything is read
    with ExitStack() as stack:
        books = stack.enter_context(open_named_ledger(settings))
        newest_timestamp(books.ledger)  # a ledger that is down is said before anything is read
        topics = None if request.files else stack.enter_context(open_topic_reader(settings))
        ranges = read_ranges(settings, request, topics) if topics else {}
        translator = translator_of(settings, books.rulebook)
        planner = ReplayPlanner(
            reader=EventReader(open_decoder(settings), translator, settings.topics.inputs),
            ledger_status=LedgerStatus(books.ledger, translator),
            roles=settings.topics.roles,
            rejected=set(_rejected(settings, request, topics)),
        )
        total = count_offsets(ranges)
        records = topics.read(ranges) if topics else _archived(settings, request)
        return PlannedReplay(planner.read(progress.over(records, "events", total=total)), ranges)


def read_ranges(
    settings: Settings, request: ReplayRequest, topics: TopicReader
) -> dict[TopicPartition, OffsetRange]:
    """The offsets that the replay reads: the requested ones below what the group committed."""
    return bounds(
        topics,
        group=settings.kafka.group_id,
        names=topics_of(settings.topics.inputs, request.topics),
        start=request.start,
        end=request.end,
        part=request.part,
    )


def _rejected(
    settings: Settings, request: ReplayRequest, topics: TopicReader | None
) -> Iterator[str]:
    """The events that the ledger refused, as far as their topic still has them."""
    name = settings.topics.rejected
    records: Iterable[Record] = (
        topics.read(topics.whole([name]))
        if topics
        else (
            record
            for record in read_archives(request.files, topic=request.topic)
            if record.topic() == name
        )
    )
    for record in records:
        refused = rejection(record)
        if refused is not None:
            yield refused.event_id


def _archived(settings: Settings, request: ReplayRequest) -> Iterator[Record]:
    """The events of the archives, between the two times; offsets mean the archive's own."""
    names = set(topics_of(settings.topics.inputs, request.topics))
    found = False
    for record in read_archives(request.files, topic=request.topic):
        if record.topic() in names:
            found = True
            if _within(record, request):
                yield record
    if not found:
        raise UsageError(f"no record of these files is of {', '.join(sorted(names))}")


def _within(record: Record, request: ReplayRequest) -> bool:
    partition, offset = (record.topic(), record.partition()), record.offset()
    at_ms = record.timestamp()[1]
    if request.start.offsets and offset < request.start.offsets.get(partition, offset + 1):
        return False
    if request.end.offsets and offset >= request.end.offsets.get(partition, 0):
        return False
    if request.end.time_ms and at_ms >= request.end.time_ms:
        return False
    return at_ms >= request.start.time_ms


# Apply


def shown_ranges(ranges: Mapping[TopicPartition, OffsetRange]) -> Sequence[str]:
    """`stripe.payments/3@100-250`, the end left out."""
    return [
        f"{topic}/{partition}@{offsets.start}-{offsets.end}"
        for (topic, partition), offsets in sorted(ranges.items())
    ]
