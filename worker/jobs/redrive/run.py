"""Redrive: reads letters, chooses, and writes the chosen records with the job's own offsets.

The records of a portion and its offsets are one Kafka transaction, so an interrupted redrive
resumes without losing or repeating anything. Each filter has offsets of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.ports import Announcement, Commit, Record, TopicPartition
from worker.jobs.batched import batched
from worker.jobs.progress import Progress
from worker.jobs.redrive.select import LetterSelection, RedriveRequest, Selected
from worker.kafka.connection import connection_of
from worker.kafka.job_lock import JobLock
from worker.kafka.job_offsets import open_job_offsets
from worker.kafka.job_transactions import JobTransactions, open_job_transactions
from worker.kafka.registry import open_decoder
from worker.kafka.topic_reader import OffsetRange, TopicReader, count_offsets, open_topic_reader
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

PORTION: Final = 200
"""Letters between two transactions; a letter may have some megabytes."""

SHOWN_MAX: Final = 1_000_000
"""Chosen records that a result names; all are counted, and all that cannot go are named."""


@dataclass(slots=True)
class RedriveResult:
    """What a redrive did, or would do. reasons: of all letters that were read."""

    group: str
    read: int = 0
    chosen: int = 0
    redriven: int = 0
    records: list[Selected] = field(default_factory=list)
    lost: list[Selected] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, choices: Iterable[Selected]) -> None:
        """Count a portion."""
        for choice in choices:
            self.chosen += 1
            if choice.record is None:
                self.lost.append(choice)
                continue
            self.redriven += 1
            if len(self.records) < SHOWN_MAX:
                self.records.append(choice._replace(record=None))


def group_of(settings: Settings, request: RedriveRequest) -> str:
    """The group that keeps how far this redrive is; each filter is a redrive of its own."""
    text = f"{request.where.text}\0{request.new_attempt}".encode()
    digest = blake2b(text, digest_size=4).hexdigest()
    return f"{settings.kafka.group_id}-redrive-{request.kind}-{digest}"


def redrive(
    settings: Settings,
    request: RedriveRequest,
    *,
    progress: Progress,
    embedded_broker: bool = False,
) -> RedriveResult:
    """Send the chosen letters' records through again, or say what would be sent.

    embedded_broker: it forgets offsets that come in a transaction, so they are committed again.

    Raises:
        DependencyUnavailable: Kafka did not go on; running it again resumes.
        UsageError: the filter does not fit the letters' fields, or another redrive is under way.
    """
    with ExitStack() as stack:
        job = _Job(settings, request, stack, embedded_broker=embedded_broker)
        lookups = stack.enter_context(open_topic_reader(settings))
        choosing = _choosing(settings, request, lookups)
        return job.run(choosing, progress)


def _choosing(settings: Settings, request: RedriveRequest, lookups: TopicReader) -> LetterSelection:
    return LetterSelection(
        request=request,
        reader=EventReader(
            open_decoder(settings),
            translator_of(settings, load(settings.rulebook)),
            settings.topics.inputs,
        ),
        roles=settings.topics.roles,
        parked=lookups.offsets.parked(settings.topics.parked),
        read_at=lookups.at,
    )


class _Job:
    """One redrive under way."""

    def __init__(
        self,
        settings: Settings,
        request: RedriveRequest,
        stack: ExitStack,
        *,
        embedded_broker: bool,
    ) -> None:
        self._request = request
        self._group = group_of(settings, request)
        self._letters = stack.enter_context(open_topic_reader(settings))
        self._topics = _letter_topics(settings, request, self._letters)
        self._transactions: JobTransactions | None = None
        self._lock: JobLock | None = None
        if request.dry_run:
            self._offsets = stack.enter_context(open_job_offsets(settings, self._group))
            return
        name = f"{settings.kafka.group_id}-redrive"
        lock = JobLock(
            connection_of(settings),
            group=f"{name}-lock",
            topic=settings.topics.dead,
            job="redrive",
        )
        self._lock = stack.enter_context(closing(lock))
        # Before the offsets are read: it ends what a process that was killed left open.
        self._transactions = stack.enter_context(
            open_job_transactions(
                settings, self._group, transactional_id=name, embedded_broker=embedded_broker
            )
        )
        self._offsets = self._transactions.offsets

    def run(self, choosing: LetterSelection, progress: Progress) -> RedriveResult:
        """Portion by portion."""
        result = RedriveResult(self._group)
        all_there = self._letters.whole(self._topics)
        if self._request.new_attempt and self._request.kind == "rejected":
            for record in progress.over(self._letters.read(all_there), "attempts"):
                choosing.learn(record)
        left = self._left(all_there)
        earlier = {
            partition: OffsetRange(offsets.start, left[partition].start)
            for partition, offsets in all_there.items()
        }
        for record in progress.over(self._letters.read(earlier), "earlier letters"):
            choosing.took(record)
        total = count_offsets(left)
        records = progress.over(self._letters.read(left), "letters", total=total)
        for portion in batched(records, PORTION):
            if self._lock is not None:
                self._lock.keep()
            choices = choosing.choose(portion)
            self._write([choice.record for choice in choices if choice.record], _after(portion))
            result.read += len(portion)
            result.add(choices)
        self._write([], {partition: offsets.end for partition, offsets in left.items()})
        result.reasons = choosing.reasons
        return result

    def _left(
        self, there: Mapping[TopicPartition, OffsetRange]
    ) -> dict[TopicPartition, OffsetRange]:
        """What the group has not read yet; all of it when it is to be read again."""
        if self._request.again:
            self._write([], {partition: offsets.start for partition, offsets in there.items()})
            return dict(there)
        committed = self._offsets.committed(list(there))
        return {
            partition: OffsetRange(
                min(max(offsets.start, committed[partition]), offsets.end), offsets.end
            )
            for partition, offsets in there.items()
        }

    def _write(
        self, records: Sequence[Announcement], offsets: Mapping[TopicPartition, int]
    ) -> None:
        if self._transactions is not None and offsets:
            commits = [Commit(*partition, offset, "") for partition, offset in offsets.items()]
            self._transactions.write(records, commits)


def _letter_topics(settings: Settings, request: RedriveRequest, topics: TopicReader) -> list[str]:
    match request.kind:
        case "dead":
            return [settings.topics.dead]
        case "rejected":
            return [settings.topics.rejected]
        case "parked":
            return topics.offsets.parked(settings.topics.parked)


def _after(portion: Iterable[Record]) -> dict[TopicPartition, int]:
    """The offsets after these records."""
    return {(record.topic(), record.partition()): record.offset() + 1 for record in portion}
