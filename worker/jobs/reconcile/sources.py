"""The sides of a reconciliation: Kafka topics or archive files, and the ledger.

What the worker has not committed, or posted after the reading began, is in transit and no
difference. A group that has committed nothing is refused, because then everything would be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.ports import TopicPartition
from worker.jobs.archive.files import read_archives
from worker.jobs.progress import Progress
from worker.jobs.reconcile.staging import Staging
from worker.jobs.shard import ALL, Shard
from worker.ledger.books import NamedLedger
from worker.ledger.scan import all_transfers

if TYPE_CHECKING:
    from worker.kafka.topic_reader import OffsetRange, TopicReader

SLACK_SECONDS: Final = 86_400
"""How much earlier than the range reading begins: clocks differ, and a ledger's is not Stripe's."""

NANOSECONDS: Final = 1_000_000_000


@dataclass(slots=True)
class Reach:
    """How far the live group has come, by partition; empty for files, which are all of the past."""

    ends: dict[TopicPartition, int] = field(default_factory=dict)

    def committed(self, topic: str, partition: int, offset: int) -> bool:
        """Is this record behind the group?"""
        end = self.ends.get((topic, partition))
        return end is None or offset < end


def read_files(staging: Staging, paths: Iterable[Path], *, topic: str, progress: Progress) -> None:
    """Take the records of archive files: events and announcements, as their topics say.

    Raises:
        UsageError: a file is broken, or none holds an event.
    """
    for record in progress.over(read_archives(paths, topic=topic), "records"):
        staging.take(record)
    require_events(staging)


def require_events(staging: Staging) -> None:
    """Refuse to compare a ledger with nothing."""
    inputs = staging.settings.topics.inputs.values()
    if not any(staging.taken.get(topic) for topic in inputs):
        raise UsageError(
            f"there is no event to compare with: no record is of {', '.join(sorted(inputs))}"
        )


def start_ms_of(start_ns: int) -> int:
    """The time to read topics from; 0 is their beginning."""
    return max(0, start_ns // 1_000_000 - SLACK_SECONDS * 1000) if start_ns else 0


def reach_of(topics: TopicReader, settings: Settings) -> dict[TopicPartition, int]:
    """How far the live group is in every partition that it reads, parked events among them.

    Raises:
        UsageError: it has committed nothing.
    """
    names = list(settings.topics.inputs.values())
    offsets = topics.offsets
    inputs = offsets.partitions(names)
    partitions = inputs + offsets.partitions(offsets.parked(settings.topics.parked))
    committed = offsets.committed(settings.kafka.group_id, partitions)
    if all(committed[partition] < 0 for partition in inputs):
        raise UsageError(
            f"the group {settings.kafka.group_id} has committed nothing of"
            f" {', '.join(sorted(names))}: is kafka.group_id the live worker's?"
        )
    return {partition: max(committed[partition], 0) for partition in partitions}


def read_inputs(  # noqa: PLR0913 - where from, what of it, and where to
    staging: Staging,
    settings: Settings,
    reach: Reach,
    *,
    start_ns: int,
    part: Shard = ALL,
    progress: Progress,
) -> None:
    """Take the events of our partitions from Kafka, and learn how far the group has come.

    Raises:
        DependencyUnavailable: the broker does not answer, or a topic is not there.
        UsageError: records are gone, or the group has committed nothing.
    """
    with _topics(settings) as topics:
        names = list(settings.topics.inputs.values())
        ranges = _ours(topics.ranges(names, start_ms=start_ms_of(start_ns)), part)
        committed = reach_of(topics, settings)
        # What came after the ranges were taken is not read, whether it is committed or not.
        reach.ends |= committed | {
            partition: min(committed[partition], offsets.end)
            for partition, offsets in ranges.items()
        }
        _take(staging, topics, ranges, "events", progress)


def read_outputs(
    staging: Staging, settings: Settings, *, start_ns: int, part: Shard = ALL, progress: Progress
) -> None:
    """Take the announcements of our partitions from Kafka: outbox, rejected, dead and parked."""
    with _topics(settings) as topics:
        names = [settings.topics.outbox, settings.topics.rejected, settings.topics.dead]
        names += topics.offsets.parked(settings.topics.parked)
        ranges = _ours(topics.ranges(names, start_ms=start_ms_of(start_ns)), part)
        _take(staging, topics, ranges, "announcements", progress)


def _topics(settings: Settings) -> AbstractContextManager[TopicReader]:
    from worker.kafka.topic_reader import open_topic_reader  # noqa: PLC0415 - Kafka where it is read

    return open_topic_reader(settings)


def _ours(
    ranges: Mapping[TopicPartition, OffsetRange], part: Shard
) -> dict[TopicPartition, OffsetRange]:
    return {
        partition: ranges[partition]
        for index, partition in enumerate(sorted(ranges))
        if part.takes(index)
    }


def _take(
    staging: Staging,
    topics: TopicReader,
    ranges: Mapping[TopicPartition, OffsetRange],
    label: str,
    progress: Progress,
) -> None:
    staging.unchecked += topics.unchecked
    total = sum(offsets.end - offsets.start for offsets in ranges.values())
    for record in progress.over(topics.read(ranges), label, total=total):
        staging.take(record)


def read_ledger(
    staging: Staging, books: NamedLedger, *, start_ns: int, cut_ns: int, progress: Progress
) -> None:
    """Take the ledger's transfers up to the cut."""
    first = max(0, start_ns - SLACK_SECONDS * NANOSECONDS)
    transfers = all_transfers(books.ledger, start_ns=first, end_ns=cut_ns)
    for transfer in progress.over(transfers, "transfers"):
        staging.transfer_row(transfer)


def announcements_were_read(staging: Staging, taken: Mapping[str, int]) -> bool:
    """Do we know what was announced?"""
    return bool(taken.get(staging.settings.topics.outbox))
