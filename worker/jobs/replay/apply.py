"""Replay, applied: posts what the plan found, in a group of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.ports import Commit, Ledger, RecordPosition, TopicPartition
from worker.jobs.live.compose import Variant, Worker, open_worker
from worker.jobs.live.run import Stop, work
from worker.jobs.replay.bounded_source import BoundedSource
from worker.jobs.replay.known_letters import KnownLetters, UnlessKnown, read_known_letters
from worker.jobs.replay.plan import ReplayRequest, read_ranges
from worker.kafka.job_offsets import open_job_offsets
from worker.kafka.topic_reader import OffsetRange, open_topic_reader
from worker.stages.partitions import InputTopic
from worker.stages.post.ledger_status import LedgerStatus
from worker.stages.post.repost_guard import RepostGuard


def replay_name(request: ReplayRequest, started_from: str) -> str:
    """The replay's name: given, or one that the same range always has."""
    text = "\0".join([started_from, *request.topics, f"{request.part.number}/{request.part.of}"])
    name = request.name or blake2b(text.encode(), digest_size=4).hexdigest()
    return name if request.part.of == 1 else f"{name}-{request.part.number}"


@dataclass(frozen=True, slots=True)
class AppliedReplay:
    """What became of the records.

    whole: everything up to the bounds; else it was stopped.
    """

    group: str
    ranges: Mapping[TopicPartition, OffsetRange]
    outcomes: Mapping[str, int]
    whole: bool


def apply_replay(  # noqa: PLR0913 - what, under which name, and what tests bring along
    settings: Settings,
    request: ReplayRequest,
    *,
    started_from: str,
    stop: Stop,
    ledger: Ledger | None = None,
    embedded_broker: bool = False,
) -> AppliedReplay:
    """Run the worker over the range, in a group of the replay's own.

    ledger: one that is open already. embedded_broker: see `open_worker`.

    Raises:
        UsageError: the group has committed offsets and is not to be resumed, or as for a plan.
        DependencyUnavailable: a broker or the ledger did not answer in time.
    """
    group = f"{settings.kafka.group_id}-replay-{replay_name(request, started_from)}"
    with open_topic_reader(settings) as topics:
        ranges = read_ranges(settings, request, topics)
        if not ranges:
            return AppliedReplay(group, ranges, {}, whole=True)
        known = read_known_letters(settings, ranges, topics)
    _commit_starts(settings, group, ranges, resume=request.resume or not request.name)
    own = _own(settings, group)
    ends = {partition: offsets.end for partition, offsets in ranges.items()}
    with open_worker(
        own,
        ledger=ledger,
        embedded_broker=embedded_broker,
        variant=_variant(ends, known),
        stopping_seconds=stop.seconds,
    ) as worker:
        reached = _Bounds(worker, ends)
        work(worker, stop=stop, done=reached)
        outcomes = dict(sorted(worker.observer.outcomes.items()))
        return AppliedReplay(group, ranges, outcomes, reached.reached)


def _own(settings: Settings, group: str) -> Settings:
    """Settings of a worker beside the live one: its own group and identity, and any free port."""
    kafka = settings.kafka.model_copy(
        update={"group_id": group, "transactional_id": group, "group_instance_id": ""}
    )
    http = settings.http.model_copy(update={"port": 0})
    return settings.model_copy(update={"kafka": kafka, "http": http})


def _commit_starts(
    settings: Settings, group: str, ranges: Mapping[TopicPartition, OffsetRange], *, resume: bool
) -> None:
    """Where the group begins; one with committed offsets is resumed or refused."""
    with open_job_offsets(settings, group) as job_offsets:
        committed = job_offsets.committed(list(ranges))
        known = [partition for partition, offset in committed.items() if offset >= 0]
        if known and not resume:
            first = RecordPosition(*known[0], committed[known[0]])
            raise UsageError(
                f"the group {group} stands at {first} already:"
                " --resume goes on there, another --name is another replay"
            )
        job_offsets.commit(
            [
                Commit(*partition, offsets.start, "")
                for partition, offsets in ranges.items()
                if committed[partition] < 0
            ]
        )


def _variant(ends: Mapping[TopicPartition, int], known: KnownLetters) -> Variant:
    names = {topic for topic, _ in ends}

    def reads(settings: Settings) -> dict[str, InputTopic]:
        """Inputs only: what the replay parks, the live workers take up."""
        return {
            topic: InputTopic(role)
            for role, topic in settings.topics.inputs.items()
            if topic in names
        }

    return Variant(
        reads=reads,
        source=lambda source: BoundedSource(source, ends),
        posting=lambda posting, ledger, rules: RepostGuard(posting, LedgerStatus(ledger, rules)),
        writer=lambda writer: UnlessKnown(writer, known),
    )


class _Bounds:
    """Has the group committed every bound? Called before each round of the loop."""

    def __init__(self, worker: Worker, ends: Mapping[TopicPartition, int]) -> None:
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
