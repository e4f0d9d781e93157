"""Follows what the worker writes: outcomes as they come, until somebody has seen enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from worker.core.ports import Record, TopicPartition
from worker.kafka.topic_reader import OffsetRange, TopicReader

LOOK_SECONDS: Final = 0.5
"""Between two looks whether there is more."""


def follow(
    reader: TopicReader,
    topics: Sequence[str],
    *,
    start_ms: int,
    stopped: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Record]:
    """Every record of these topics that comes until `stopped`.

    start_ms: from this time on; 0: from now on.
    """
    partitions = reader.offsets.partitions(topics)
    bounds = reader.offsets.bounds(partitions)
    following: dict[TopicPartition, int] = {name: end for name, (_, end) in bounds.items()}
    if start_ms:
        found = reader.offsets.by_time(bounds, start_ms=start_ms)
        following = {name: start for name, (start, _) in found.items()}
    while not stopped():
        bounds = reader.offsets.bounds(partitions)
        ranges = {
            name: OffsetRange(max(following[name], first), end)
            for name, (first, end) in bounds.items()
        }
        for record in reader.read(ranges):
            yield record
            if stopped():
                return
        following |= {name: max(following[name], each.end) for name, each in ranges.items()}
        sleep(LOOK_SECONDS)
