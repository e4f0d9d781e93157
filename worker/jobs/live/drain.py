"""When a drain is complete: inputs read to their end, due parked events posted, all committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.codecs.parked import parked_at_ms
from worker.config.settings import Settings
from worker.core.ports import TopicPartition
from worker.jobs.live.compose import Worker
from worker.kafka.job_offsets import open_job_offsets
from worker.kafka.topic_reader import OffsetRange, TopicReader


def drain_check(worker: Worker, reader: TopicReader) -> Callable[[], bool]:
    """Has the group committed everything that there was when the drain began?

    The group, not this process: several drain together, and all of them stop.
    """
    inputs = set(worker.settings.topics.inputs.values())
    ends: dict[TopicPartition, int] = {
        partition: end
        for partition, (low, end) in worker.source.watermarks().items()
        if end > low and partition[0] in inputs
    }
    ends |= due_ends(worker.settings, reader, worker.now_ms())

    def drained() -> bool:
        if not worker.pipeline.idle:
            return False
        worker.pipeline.commit_tails()
        return worker.source.reached(ends)

    return drained


def due_ends(settings: Settings, reader: TopicReader, now_ms: int) -> Mapping[TopicPartition, int]:
    """The offset behind the last due record of each parked partition; none where nothing is due.

    A partition's records become due in their order, near enough: the first that is not ends it.
    """
    topics = settings.topics
    delays = dict(zip(topics.parked_topics, topics.parked_delays_seconds, strict=True))
    found = {}
    for partition, uncommitted in _uncommitted(settings, reader).items():
        delay_ms = delays[partition[0]] * 1000
        for record in reader.read({partition: uncommitted}):
            if parked_at_ms(record) + delay_ms > now_ms:
                break
            found[partition] = record.offset() + 1
    return found


def _uncommitted(settings: Settings, reader: TopicReader) -> dict[TopicPartition, OffsetRange]:
    """What the parked topics hold beyond the group's commits."""
    ranges = reader.whole(settings.topics.parked_topics)
    holding = {partition: whole for partition, whole in ranges.items() if whole.end > whole.start}
    if not holding:
        return {}
    with open_job_offsets(settings, settings.kafka.group_id) as job_offsets:
        committed = job_offsets.committed(list(holding))
    return {
        partition: OffsetRange(max(whole.start, min(committed[partition], whole.end)), whole.end)
        for partition, whole in holding.items()
    }
