"""A replay: planned from topics or archives, or applied by the ordinary worker up to its bounds.

The invariant: a plan writes nothing anywhere. Applied, each record goes through the worker's own
loop in a group of the replay's own, never at or beyond what the live group has committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from worker.codecs.letters import rejection
from worker.commands.run import Stop, work
from worker.config.settings import Settings
from worker.core.ports import Commit, Ledger, Place, Record, UsageError
from worker.core.translate import Translator
from worker.jobs.archive.files import read_archives
from worker.jobs.live.compose import Variant, Worker, open_worker
from worker.jobs.progress import Progress
from worker.jobs.replay.bounded_source import BoundedSource
from worker.jobs.replay.planner import Plan, Planner
from worker.jobs.replay.range import Moment, bounds, topics_of
from worker.jobs.shard import ALL, Part
from worker.kafka.decoding import open_decoder
from worker.kafka.job_offsets import Standing
from worker.kafka.topic_reader import Range, Topics
from worker.ledger.books import open_books
from worker.ledger.scan import newest_timestamp
from worker.stages.decode import EventReader
from worker.stages.partitions import Input
from worker.stages.post.ledger_status import Standings
from worker.stages.post.repost_guard import Guarded


@dataclass(frozen=True, slots=True)
class Replay:
    """What a person asked for. topic: of events in archives that name none."""

    start: Moment
    end: Moment
    topics: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    topic: str = ""
    part: Part = ALL
    name: str = ""
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it was made of; no ranges for archives."""

    plan: Plan
    ranges: Mapping[Place, Range] = field(default_factory=dict)


# Plan


def plan(settings: Settings, asked: Replay, *, progress: Progress) -> Planned:
    """Say what applying it would post.

    Raises:
        UsageError: records of the range are gone, an archive is broken, or an option is wrong.
        DependencyUnavailable: the broker or the ledger does not answer.
    """
    topics_of(settings.topics.inputs, asked.topics)  # said before anything is read
    with ExitStack() as stack:
        books = stack.enter_context(open_books(settings))
        newest_timestamp(books.ledger)  # a ledger that is down is said before anything is read
        topics = None if asked.files else _opened(stack, settings)
        ranges = _ranges(settings, asked, topics) if topics else {}
        planner = Planner(
            reader=EventReader(open_decoder(settings), Translator(books.rulebook)),
            standings=Standings(books.ledger, Translator(books.rulebook)),
            roles={topic: role for role, topic in settings.topics.inputs.items()},
            rejected=set(_rejected(settings, asked, topics)),
        )
        total = sum(one.end - one.start for one in ranges.values())
        records = topics.read(ranges) if topics else _archived(settings, asked)
        return Planned(planner.read(progress.over(records, "events", total=total)), ranges)


def _opened(stack: ExitStack, settings: Settings) -> Topics:
    topics = Topics(settings)
    stack.callback(topics.close)
    return topics


def _ranges(settings: Settings, asked: Replay, topics: Topics) -> dict[Place, Range]:
    return bounds(
        topics,
        group=settings.kafka.group_id,
        names=topics_of(settings.topics.inputs, asked.topics),
        start=asked.start,
        end=asked.end,
        part=asked.part,
    )


def _rejected(settings: Settings, asked: Replay, topics: Topics | None) -> Iterator[str]:
    """The events that the ledger refused, as far as their topic still tells."""
    name = settings.topics.rejected
    records: Iterable[Record] = (
        topics.read(topics.whole([name]))
        if topics
        else (one for one in read_archives(asked.files, topic=asked.topic) if one.topic() == name)
    )
    for record in records:
        told = rejection(record)
        if told is not None:
            yield told.event_id


def _archived(settings: Settings, asked: Replay) -> Iterator[Record]:
    """The events of the archives, between the two times; offsets mean the archive's own."""
    names = set(topics_of(settings.topics.inputs, asked.topics))
    found = False
    for record in read_archives(asked.files, topic=asked.topic):
        if record.topic() in names:
            found = True
            if _within(record, asked):
                yield record
    if not found:
        raise UsageError(f"no record of these files is of {', '.join(sorted(names))}")


def _within(record: Record, asked: Replay) -> bool:
    place, offset = (record.topic(), record.partition()), record.offset()
    at_ms = record.timestamp()[1]
    if asked.start.offsets and offset < asked.start.offsets.get(place, offset + 1):
        return False
    if asked.end.offsets and offset >= asked.end.offsets.get(place, 0):
        return False
    if asked.end.time_ms and at_ms >= asked.end.time_ms:
        return False
    return at_ms >= asked.start.time_ms


# Apply


def name_of(asked: Replay, started_from: str) -> str:
    """The replay's name: given, or one that the same range always has."""
    told = "\0".join([started_from, *asked.topics, f"{asked.part.number}/{asked.part.of}"])
    name = asked.name or blake2b(told.encode(), digest_size=4).hexdigest()
    return name if asked.part.of == 1 else f"{name}-{asked.part.number}"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the records. whole: everything up to the bounds; else it was told to stop."""

    group: str
    ranges: Mapping[Place, Range]
    outcomes: Mapping[str, int]
    whole: bool


def apply(  # noqa: PLR0913 - what, under which name, and what tests bring along
    settings: Settings,
    asked: Replay,
    *,
    started_from: str,
    stop: Stop,
    ledger: Ledger | None = None,
    embedded_broker: bool = False,
) -> Applied:
    """Run the worker over the range, in a group of the replay's own.

    ledger: one that is open already. embedded_broker: see `open_worker`.

    Raises:
        UsageError: the group stands somewhere and is not to be resumed, or as for a plan.
        DependencyUnavailable: a broker or the ledger did not answer in time.
    """
    group = f"{settings.kafka.group_id}-replay-{name_of(asked, started_from)}"
    with ExitStack() as stack:
        ranges = _ranges(settings, asked, _opened(stack, settings))
    if not ranges:
        return Applied(group, ranges, {}, whole=True)
    _set_out(settings, group, ranges, resume=asked.resume or not asked.name)
    own = _own(settings, group)
    ends = {place: one.end for place, one in ranges.items()}
    with open_worker(
        own,
        ledger=ledger,
        embedded_broker=embedded_broker,
        variant=_variant(ends),
        stopping_seconds=stop.seconds,
    ) as worker:
        reached = _Bounds(worker, ends)
        work(worker, stop=stop, done=reached)
        outcomes = dict(sorted(worker.observer.outcomes.items()))
        return Applied(group, ranges, outcomes, reached.reached)


def _own(settings: Settings, group: str) -> Settings:
    """Settings of a worker beside the live one: its own group and identity, and any free port."""
    kafka = settings.kafka.model_copy(
        update={"group_id": group, "transactional_id": group, "group_instance_id": ""}
    )
    http = settings.http.model_copy(update={"port": 0})
    return settings.model_copy(update={"kafka": kafka, "http": http})


def _set_out(
    settings: Settings, group: str, ranges: Mapping[Place, Range], *, resume: bool
) -> None:
    """Where the group begins; one that stands somewhere is resumed or refused."""
    standing = Standing(settings, group)
    try:
        stands = standing.committed(list(ranges))
        known = [place for place, offset in stands.items() if offset >= 0]
        if known and not resume:
            topic, partition = known[0]
            raise UsageError(
                f"the group {group} stands at {topic}/{partition}@{stands[known[0]]} already:"
                " --resume goes on there, another --name is another replay"
            )
        standing.commit(
            [Commit(*place, one.start, "") for place, one in ranges.items() if stands[place] < 0]
        )
    finally:
        standing.close()


def _variant(ends: Mapping[Place, int]) -> Variant:
    names = {topic for topic, _ in ends}

    def reads(settings: Settings) -> dict[str, Input]:
        """Inputs only: what the replay parks, the live workers take up."""
        return {
            topic: Input(role) for role, topic in settings.topics.inputs.items() if topic in names
        }

    return Variant(
        reads=reads,
        source=lambda source: BoundedSource(source, ends),
        posting=lambda posting, ledger, rules: Guarded(posting, Standings(ledger, rules)),
    )


class _Bounds:
    """Has the group committed every bound? Asked before each turn of the loop."""

    def __init__(self, worker: Worker, ends: Mapping[Place, int]) -> None:
        self._worker = worker
        self._ends = ends
        self.reached = False

    def __call__(self) -> bool:
        """Asks only when nothing is under way."""
        if not self._worker.pipeline.idle:
            return False
        self._worker.pipeline.commit_tails()
        self.reached = self._worker.source.reached(self._ends)
        return self.reached


def shown_ranges(ranges: Mapping[Place, Range]) -> Sequence[str]:
    """`stripe.payments/3@100-250`, the end left out."""
    return [
        f"{topic}/{partition}@{one.start}-{one.end}"
        for (topic, partition), one in sorted(ranges.items())
    ]
