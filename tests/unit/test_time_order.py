"""In which order what was read is taken: bounds at the bound, and every small history at random."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tests.records import FakeRecord
from worker.core.assignment import Assignment
from worker.core.ports import TopicPartition
from worker.stages.time_order import (
    AheadLimits,
    OwnedRecord,
    Patience,
    TimeOrder,
    timestamps_ms,
)

NOW_MS = 1_000_000
SKEW, LIMIT = 1.0, 1000.0
RANKS = {"commands": 0, "payments": 1}
PAY, MORE, COMMANDS = ("payments", 0), ("payments", 1), ("commands", 0)


def stamped(of: TopicPartition, at: int, time_ms: int, kind: int = 1) -> FakeRecord:
    """A record with a time of its own; kind 0 is none."""
    return FakeRecord(of, at, b"{}", time_ms=time_ms, kind=kind)


@dataclass
class World:
    """Some partitions, opened, of which a test says what was read and what the broker has."""

    which: tuple[TopicPartition, ...]
    now: float = 0.0
    broker: dict[TopicPartition, int] = field(default_factory=dict)
    passed: list[TopicPartition] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    limits: AheadLimits = field(default_factory=AheadLimits)

    def __post_init__(self) -> None:
        self.assignments = {each: Assignment(*each, "role", 0, opened=True) for each in self.which}
        self.order = TimeOrder(
            patience=Patience(SKEW, LIMIT),
            rank_of=RANKS.__getitem__,
            lag=lambda partition, offset: self.broker.get(partition, 0) - offset,
            passes=self.passed.append,
            ahead=self.limits,
        )
        self.order.follow(self.assignments.values())

    def read(self, of: TopicPartition, *times_ms: int, end: bool = False, kind: int = 1) -> None:
        """Records of these times come from one partition, and perhaps its end."""
        at = self.offsets.get(of, 0)
        records: list[OwnedRecord] = [
            (stamped(of, at + number, time_ms, kind), self.assignments[of])
            for number, time_ms in enumerate(times_ms)
        ]
        self.offsets[of] = at + len(times_ms)
        self.broker[of] = max(self.broker.get(of, 0), self.offsets[of])
        ends = {of: self.offsets[of]} if end else {}
        self.order.add(records, ends, now=self.now, now_ms=NOW_MS)

    def more(self, of: TopicPartition, records: int = 1) -> None:
        """The broker has so many that were not read."""
        self.broker[of] = self.offsets.get(of, 0) + records

    def taken(self, records_max: int = 1000) -> list[int]:
        """The times of what is taken now."""
        self.order.add([], {}, now=self.now, now_ms=NOW_MS)
        return [record.timestamp()[1] for record, _ in self.order.take(records_max)]


def test_the_oldest_of_all_partitions_comes_first() -> None:
    """Whatever was read first."""
    world = World((PAY, COMMANDS))
    world.read(COMMANDS, 2, 4, 6, end=True)
    world.read(PAY, 1, 3, 5, end=True)
    assert world.taken() == [1, 2, 3, 4, 5, 6]


def test_nothing_is_taken_before_what_a_lagging_partition_may_bring() -> None:
    """Up to the newest that is known of it, and no further, until it is read to its end."""
    world = World((PAY, COMMANDS))
    world.read(COMMANDS, 2, 4, 6, end=True)
    assert world.taken() == []
    assert world.order.waits_for == [PAY]
    world.more(PAY, 4)
    world.read(PAY, 1, 3)
    world.more(PAY, 1)
    assert world.taken() == [1, 2, 3]
    assert world.order.waits_for == [PAY]
    world.read(PAY, 5, end=True)
    assert world.taken() == [4, 5, 6]
    assert world.order.waits_for == []


def test_a_partition_that_does_not_lag_holds_up_nobody() -> None:
    """It was read to its end, or the broker has nothing more of it, at most `skew_seconds` ago."""
    world = World((PAY, COMMANDS))
    world.read(PAY, 1, end=True)
    world.read(COMMANDS, 2, end=True)
    assert world.taken() == [1, 2]
    world.now = 100  # both idle since: nothing is unread
    world.read(COMMANDS, 3)
    assert world.taken() == [3]
    world.more(PAY)
    world.now += SKEW
    world.read(COMMANDS, 4)
    assert world.taken() == [4]  # its record may be on its way for so long
    world.now += 0.1
    world.read(COMMANDS, 5)
    world.more(COMMANDS)
    assert world.taken() == []
    assert world.order.waits_for == [PAY]


def test_offsets_that_hold_no_record_are_no_lag() -> None:
    """A marker stands behind the last record: the client says that it is at the end."""
    world = World((PAY, COMMANDS))
    world.broker[PAY] = 2
    world.read(PAY, 1, end=True)
    world.read(COMMANDS, 2, end=True)
    world.broker[PAY] = 2
    world.now = 50
    world.read(COMMANDS, 3)
    assert world.taken() == [1, 2, 3]


def test_after_a_pause_ends_are_known_anew() -> None:
    """What came meanwhile may be older than what is read first."""
    world = World((PAY, COMMANDS))
    world.read(PAY, 1, end=True)
    world.read(COMMANDS, 2, end=True)
    assert world.taken() == [1, 2]
    world.order.paused()
    world.now = 60
    world.more(PAY, 1)
    world.read(COMMANDS, 11, end=True)
    assert world.taken() == []
    world.read(PAY, 10, end=True)
    assert world.taken() == [10, 11]


def test_a_silent_partition_is_passed_at_its_limit_and_told_once() -> None:
    """Until it brings something again."""
    world = World((PAY, COMMANDS))
    world.read(COMMANDS, 2, end=True)
    world.now = LIMIT
    assert world.taken() == []
    world.now = LIMIT + 0.1
    assert world.taken() == [2]
    assert world.passed == [PAY]
    world.read(COMMANDS, 3, end=True)
    assert world.taken() == [3]
    assert world.passed == [PAY]
    world.more(PAY, 5)
    world.read(PAY, 1)
    world.more(PAY, 5)
    assert world.taken() == [1]
    world.read(COMMANDS, 4, end=True)
    assert world.taken() == []


def test_priority_decides_among_what_is_equally_old_only() -> None:
    """Commands are more urgent, and wait for what is older."""
    world = World((PAY, COMMANDS))
    world.read(PAY, 1, 2, 2, end=True)
    world.read(COMMANDS, 2, 3, end=True)
    taken = world.order.take(10)
    assert [(record.topic(), record.timestamp()[1]) for record, _ in taken] == [
        ("payments", 1),
        ("commands", 2),
        ("payments", 2),
        ("payments", 2),
        ("commands", 3),
    ]


@pytest.mark.parametrize(
    ("stamps", "kind", "times"),
    [
        ([5, 6, 7], 1, [5, 6, 7]),
        ([5, 4, 7], 1, [4, 4, 7]),
        ([5, 900_000, 7], 1, [5, 7, 7]),
        ([5, NOW_MS + 1, 7], 1, [5, 5, 7]),
        ([NOW_MS + 1, NOW_MS + 2], 1, [3, 3]),
        ([5, 1, 7], 1, [3, 3, 7]),
        ([5, -1, 7], 1, [5, 5, 7]),
        ([5, 6], 0, [3, 3]),
        ([NOW_MS], 1, [NOW_MS]),
        ([], 1, []),
    ],
)
def test_a_timestamp_that_is_astray_holds_up_nothing(
    stamps: list[int], kind: int, times: list[int]
) -> None:
    """Far behind, far ahead, of the future or missing: the neighbours say when it was."""
    records = [stamped(PAY, number, stamp, kind) for number, stamp in enumerate(stamps)]
    assert timestamps_ms(records, latest=3, now_ms=NOW_MS) == times


def test_the_order_within_a_partition_is_never_changed() -> None:
    """Even where its timestamps fall."""
    world = World((PAY,))
    world.read(PAY, 9, 1, 8, 2, end=True)
    assert world.taken() == [9, 1, 8, 2]


def test_what_was_read_for_others_is_dropped() -> None:
    """A partition that left, or opened anew, is another assignment."""
    world = World((PAY, COMMANDS))
    world.read(PAY, 1, end=True)
    world.read(COMMANDS, 2, 3, end=True)
    world.assignments[PAY] = Assignment(*PAY, "role", 0, opened=True)
    world.order.follow(world.assignments.values())
    assert [record.offset() for record, _ in world.order.first()] == [0]
    assert world.taken() == [2, 3]
    assert len(world.order) == 0


def test_parked_records_wait_for_nobody() -> None:
    """Nor does anybody wait for them: their time is another one."""
    world = World((PAY, COMMANDS))
    parked = Assignment("parked", 0, "", 0, opened=True, delay_ms=1000)
    world.order.follow([*world.assignments.values(), parked])
    record = stamped(("parked", 0), 0, 1)
    world.order.add([(record, parked)], {}, now=0, now_ms=NOW_MS)
    assert world.order.take(10) == [(record, parked)]
    world.read(PAY, 1, end=True)
    world.read(COMMANDS, 2, end=True)
    assert world.taken() == [1, 2]


@pytest.mark.parametrize("limits", [AheadLimits(8, 1, 1 << 20), AheadLimits(1 << 20, 1, 16)])
def test_who_reads_far_ahead_is_to_be_paused(limits: AheadLimits) -> None:
    """Until half of it is taken; bytes count as records do."""
    world = World((PAY, COMMANDS), limits=limits)
    world.read(COMMANDS, 1, 2, 3)
    assert world.order.ahead() == frozenset()
    world.read(COMMANDS, 4)
    assert world.order.ahead() == {COMMANDS}
    world.more(PAY, 3)
    world.read(PAY, 2)
    world.more(PAY, 2)
    assert world.taken() == [1, 2, 2]
    assert world.order.ahead() == {COMMANDS}
    world.read(PAY, 3)
    world.more(PAY, 1)
    assert world.taken() == [3, 3]
    assert world.order.ahead() == frozenset()


def test_a_share_has_its_least() -> None:
    """However many partitions there are."""
    world = World((PAY, COMMANDS), limits=AheadLimits(2, 3, 1 << 20))
    world.read(COMMANDS, 1, 2)
    assert world.order.ahead() == frozenset()
    world.read(COMMANDS, 3)
    assert world.order.ahead() == {COMMANDS}


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_read_first_the_order_is_that_of_the_timestamps(seed: int) -> None:
    """Backlogs of any size, portions of any size: what is taken is the sorted whole."""
    rng = random.Random(seed)
    which = tuple((topic, number) for topic in RANKS for number in range(rng.randint(1, 3)))
    world = World(which)
    backlog: dict[TopicPartition, list[int]] = {each: [] for each in which}
    for time_ms in sorted(rng.sample(range(1, 10_000), rng.randint(1, 120))):
        backlog[rng.choice(which)].append(time_ms)
    expected = sorted(time_ms for times in backlog.values() for time_ms in times)
    for each, times in backlog.items():
        world.broker[each] = len(times)
    taken: list[int] = []
    while len(taken) < len(expected):
        world.now += rng.random()
        each = rng.choice(which)
        count = rng.randint(0, 9)
        portion, backlog[each] = backlog[each][:count], backlog[each][count:]
        world.read(each, *portion, end=not backlog[each] and rng.random() < 0.5)
        taken += world.taken(rng.randint(0, 20))
    assert taken == expected
    assert world.passed == []
