"""The range of offsets that is replayed of each partition.

It ends before the live group's committed offset; an offset that its topic no longer has is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.core.errors import UsageError
from worker.core.iso_times import MILLISECOND
from worker.core.ports import TopicPartition
from worker.jobs.shard import ALL, Shard
from worker.jobs.times import nanoseconds
from worker.kafka.topic_reader import OffsetRange, TopicReader

_OFFSET: Final = re.compile(r"([\w.-]+)/(\d{1,9})@(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Moment:
    """`--from` or `--to` as given: a time in milliseconds, or an offset for each partition."""

    time_ms: int = 0
    offsets: Mapping[TopicPartition, int] = field(default_factory=dict)


def moment(text: str, *, option: str) -> Moment:
    """A time, or offsets as `topic/partition@offset`, commas between.

    Raises:
        UsageError: it is neither.
    """
    parts = [part.strip() for part in text.split(",")]
    found = [_OFFSET.fullmatch(part) for part in parts]
    if any("@" in part for part in parts):
        offsets: dict[TopicPartition, int] = {}
        for part, match in zip(parts, found, strict=True):
            if match is None:
                raise UsageError(
                    f"{option}: {part!r} is no offset: write stripe.payments/3@1234, commas between"
                )
            offsets[match[1], int(match[2])] = int(match[3])
        return Moment(offsets=offsets)
    return Moment(time_ms=nanoseconds(text, option=option) // MILLISECOND)


def topics_of(inputs: Mapping[str, str], chosen: Sequence[str]) -> list[str]:
    """The input topics to replay; roles and topic names are both understood.

    Raises:
        UsageError: one is no input.
    """
    if not chosen:
        return sorted(inputs.values())
    found = {inputs.get(name, name) for name in chosen}
    astray = sorted(found - set(inputs.values()))
    if astray:
        known = ", ".join(sorted(inputs.values()))
        raise UsageError(f"--topics: {astray[0]} is no input topic; there are {known}")
    return sorted(found)


def bounds(  # noqa: PLR0913 - two ends, and what may be read
    topics: TopicReader,
    *,
    group: str,
    names: Sequence[str],
    start: Moment,
    end: Moment,
    part: Shard = ALL,
) -> dict[TopicPartition, OffsetRange]:
    """The range of each partition; those without anything to replay are left out.

    Raises:
        UsageError: records of the range are gone, the live group has committed nothing, or an
            offset names a partition that there is not.
        DependencyUnavailable: the broker does not answer.
    """
    whole = topics.whole(names)
    starts = _starts(topics, names, whole, start)
    ends = {partition: offsets.end for partition, offsets in whole.items()}
    if end.time_ms:
        ends = topics.offsets.at_time(ends, end.time_ms)
    elif end.offsets:
        _refuse_unknown(end.offsets, whole, "--to")
        ends = {
            partition: min(end.offsets.get(partition, 0), ends[partition]) for partition in whole
        }
    committed = topics.offsets.committed(group, list(whole))
    if all(offsets < 0 for offsets in committed.values()):
        raise UsageError(
            f"the group {group} has committed nothing of {', '.join(names)}: everything is the live"
            " worker's to post (ledger-worker run), nothing is a replay's"
        )
    return {
        partition: OffsetRange(starts[partition], stop)
        for index, partition in enumerate(sorted(whole))
        if part.takes(index)
        and partition in starts
        and (stop := min(ends[partition], max(committed[partition], 0))) > starts[partition]
    }


def _starts(
    topics: TopicReader,
    names: Sequence[str],
    whole: Mapping[TopicPartition, OffsetRange],
    start: Moment,
) -> dict[TopicPartition, int]:
    if not start.offsets:
        found = topics.ranges(names, start_ms=start.time_ms)
        return {partition: offsets.start for partition, offsets in found.items()}
    _refuse_unknown(start.offsets, whole, "--from")
    for (topic, partition), offset in start.offsets.items():
        low = whole[topic, partition].start
        if offset < low:
            raise UsageError(
                f"offsets {offset} to {low - 1} of {topic}/{partition} are gone: begin at {low},"
                " or read archives with --from-files"
            )
    return dict(start.offsets)


def _refuse_unknown(
    offsets: Mapping[TopicPartition, int], whole: Mapping[TopicPartition, OffsetRange], option: str
) -> None:
    for topic, partition in offsets:
        if (topic, partition) not in whole:
            raise UsageError(f"{option}: there is no {topic}/{partition} among the topics replayed")
