"""Every small history of catching up: all orders in which a few records and ends may be read.

Two or three partitions lag, with a few records of every split of the times among them. After each
step all that may go on does. What goes on must be the whole, sorted; nothing may wait for ever. An
abort puts every partition back to what had gone on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import pytest

from tests.unit.test_time_order import NOW_MS, stamped
from worker.core.assignment import Assignment
from worker.core.ports import TopicPartition
from worker.stages.time_order import Patience, TimeOrder

PARTITIONS: Sequence[TopicPartition] = (("a", 0), ("b", 0), ("c", 0))
FOREVER = 1e9

History = tuple[str, ...]
"""A step each: `a` reads the next record of that partition, or else its end; `!` is an abort."""

Make = Callable[[Patience, dict[TopicPartition, int]], TimeOrder]


def ordered(patience: Patience, ends: dict[TopicPartition, int]) -> TimeOrder:
    """The worker's own."""
    return TimeOrder(
        patience=patience,
        rank_of=lambda _: 0,
        lag=lambda partition, offset: ends[partition] - offset,
        passes=lambda partition: pytest.fail(f"{partition} was passed"),
    )


def hasty(patience: Patience, ends: dict[TopicPartition, int]) -> TimeOrder:
    """A rule that waits for nobody."""
    return ordered(Patience(FOREVER, patience.limit_seconds), ends)


def goes_on(logs: dict[TopicPartition, list[int]], history: History, make: Make) -> list[int]:
    """The times of what goes on, in order."""
    ends = {partition: len(times) for partition, times in logs.items()}
    order = make(Patience(0.5, FOREVER), ends)
    done = dict.fromkeys(logs, 0)
    read = dict.fromkeys(logs, 0)
    assignments = _assigned(order, logs)
    if make is hasty:  # it believes that all were read to their ends just now
        order.add([], dict.fromkeys(logs, 0), now=0, now_ms=NOW_MS)
    found: list[int] = []
    for now, step in enumerate(history, start=1):
        if step == "!":
            assignments, read = _assigned(order, logs), dict(done)
            continue
        partition = (step, 0)
        at = read[partition]
        records = [
            (stamped(partition, at, time_ms), assignments[partition])
            for time_ms in logs[partition][at : at + 1]
        ]
        read[partition] += len(records)
        told = {} if records else {partition: at}
        order.add(records, told, now=now, now_ms=NOW_MS)
        for record, _ in order.take(len(order)):
            found.append(record.timestamp()[1])
            done[record.topic(), record.partition()] += 1
    return found


def _assigned(
    order: TimeOrder, logs: dict[TopicPartition, list[int]]
) -> dict[TopicPartition, Assignment]:
    assignments = {each: Assignment(*each, "role", 0, opened=True) for each in logs}
    order.follow(assignments.values())
    return assignments


def splits(partitions: int, records: int) -> Iterator[dict[TopicPartition, list[int]]]:
    """Every way to have so many records, of the times 1, 2, …, in so many partitions."""
    for owners in product(PARTITIONS[:partitions], repeat=records):
        logs: dict[TopicPartition, list[int]] = {each: [] for each in PARTITIONS[:partitions]}
        for time_ms, owner in enumerate(owners, start=1):
            logs[owner].append(time_ms)
        yield logs


def histories(logs: dict[TopicPartition, list[int]], *, aborts: int) -> Iterator[History]:
    """Every order of reads and ends, with an abort anywhere; and then all that is left to read."""
    rest = tuple(topic for topic, _ in logs) * (sum(map(len, logs.values())) + 2)

    def grow(made: History, left: dict[str, int], aborts_left: int) -> Iterator[History]:
        if not any(left.values()):
            yield made + rest
            return
        for topic, count in left.items():
            if count:
                yield from grow((*made, topic), {**left, topic: count - 1}, aborts_left)
        if aborts_left and made:
            yield from grow((*made, "!"), left, aborts_left - 1)

    yield from grow((), {topic: len(times) + 1 for (topic, _), times in logs.items()}, aborts)


SCOPES = {"two partitions, an abort": (2, 4, 1), "three partitions": (3, 3, 0)}


@pytest.mark.parametrize("name", SCOPES)
def test_what_goes_on_is_the_whole_in_order(name: str) -> None:
    """In every history within the scope."""
    partitions, records, aborts = SCOPES[name]
    tried = 0
    for logs in splits(partitions, records):
        for history in histories(logs, aborts=aborts):
            assert goes_on(logs, history, ordered) == list(range(1, records + 1)), (logs, history)
            tried += 1
    assert tried > 1000


@pytest.mark.parametrize("name", SCOPES)
def test_a_rule_that_waits_for_nobody_is_found(name: str) -> None:
    """The search is worth something: some history shows it."""
    partitions, records, aborts = SCOPES[name]
    assert any(
        goes_on(logs, history, hasty) != list(range(1, records + 1))
        for logs in splits(partitions, records)
        for history in histories(logs, aborts=aborts)
    )
