"""Who waits, who stands by and who comes back, after an outage that several workers have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.core.ports import GroupLook, TopicPartition
from worker.stages.catching_up import (
    IN_VAIN_LIMITS,
    LONG_PAUSE_SECONDS,
    CatchingUp,
    HandOver,
    Phase,
)

FIRST, SECOND, THIRD = ("a", 0), ("a", 1), ("b", 0)
LOOK, LIMIT = 1.0, 10.0


@dataclass
class Group:
    """The group's offsets, and whether this worker reads the inputs."""

    committed: dict[TopicPartition, int] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    reading: bool = True

    @property
    def input_partitions(self) -> Sequence[TopicPartition]:
        return [SECOND, FIRST, THIRD]

    def look(self) -> GroupLook | None:
        return GroupLook(dict(self.committed), dict(self.ends))

    def read_inputs(self, *, reading: bool) -> None:
        self.reading = reading


class World:
    """One worker of a group in which every partition has ten records."""

    def __init__(self) -> None:
        self.group = Group(
            dict.fromkeys((FIRST, SECOND, THIRD), 0), dict.fromkeys((FIRST, SECOND, THIRD), 10)
        )
        self.worker = CatchingUp(self.group, HandOver(LOOK, LIMIT))
        self.now = 0.0

    def step(self, *mine: TopicPartition, seconds: float = LOOK) -> bool:
        self.now += seconds
        return self.worker.step(mine, self.now)

    def steps(self, count: int, *mine: TopicPartition) -> None:
        for _ in range(count):
            self.step(*mine)

    @property
    def phase(self) -> Phase:
        return self.worker._phase

    def standing_by(self) -> World:
        """It has handed over."""
        self.steps(4, SECOND)
        assert self.phase is Phase.STANDING_BY
        return self


def test_who_has_all_partitions_waits_for_nobody() -> None:
    """The only worker of a group, at every start."""
    world = World()
    for _ in range(5):
        assert not world.step(FIRST, SECOND, THIRD)
        assert not world.worker.holding


def test_who_has_the_first_partition_waits_for_the_others() -> None:
    """What is in hand is read anew, once; it goes on when it has everything."""
    world = World()
    assert world.step(FIRST)
    assert world.worker.holding
    for _ in range(5):
        assert not world.step(FIRST)
    assert not world.step(FIRST, SECOND)
    assert world.worker.holding
    assert not world.step(FIRST, SECOND, THIRD)
    assert not world.worker.holding
    assert world.group.reading
    assert world.step(FIRST, SECOND)  # another one came: it may get what is older


def test_the_others_hand_over_after_two_looks() -> None:
    """Also who has nothing that lags, and each keeps its parked topics."""
    world = World()
    world.group.committed[SECOND] = 10
    assert world.step(SECOND)
    world.steps(2, SECOND)
    assert not world.worker.holding
    assert not world.group.reading


def test_nobody_waits_where_the_others_do_not_lag() -> None:
    """One worker was away, the others were not: it catches up beside them."""
    world = World()
    world.step(SECOND)
    world.group.committed |= {FIRST: 10, THIRD: 10}
    world.group.ends |= {FIRST: 12, THIRD: 12}  # what has come since the look before
    world.step(SECOND)
    world.group.committed |= {FIRST: 12, THIRD: 12}
    world.step(SECOND)
    assert world.phase is Phase.SHARING
    assert world.group.reading
    assert not world.worker.watching


def test_waiting_for_the_others_has_an_end() -> None:
    """One that hangs hands nothing over; after the limit each reads its own."""
    world = World()
    world.step(FIRST)
    world.steps(int(LIMIT) - 1, FIRST)
    assert world.worker.holding
    world.step(FIRST)
    assert world.phase is Phase.SHARING
    assert not world.step(FIRST)


def test_it_comes_back_when_nothing_lags() -> None:
    """And does not hand over again before the next outage."""
    world = World().standing_by()
    world.group.committed[FIRST] = 5
    world.steps(3)
    assert not world.group.reading
    world.group.committed = dict.fromkeys((FIRST, SECOND, THIRD), 10)
    world.steps(2)
    assert world.group.reading
    assert not world.step(SECOND)
    assert not world.worker.watching
    world.worker.paused(LONG_PAUSE_SECONDS - 0.1)
    assert not world.step(SECOND)
    world.worker.paused(LONG_PAUSE_SECONDS)
    assert world.step(SECOND)


def test_it_comes_back_when_nobody_works_on_it() -> None:
    """Who caught up died: another is found. The second time in vain each reads its own."""
    world = World().standing_by()
    world.steps(int(LIMIT) + 2)
    assert world.group.reading
    assert world.step(SECOND)
    world.steps(3, SECOND)
    assert not world.group.reading
    world.steps(int(LIMIT) + 2)
    assert world.group.reading
    assert not world.step(SECOND)


def test_it_comes_back_once_where_an_end_holds_no_record() -> None:
    """A marker stands there, which nobody commits; what else there is moves."""
    world = World().standing_by()
    world.group.committed |= {FIRST: 10, THIRD: 9}
    for _ in range(int(LIMIT) + 3):
        world.group.committed[SECOND] += 1
        world.group.ends[SECOND] = world.group.committed[SECOND] + 1
        world.step()
    assert world.group.reading
    assert not world.step(SECOND)


def test_it_comes_back_where_one_is_not_fast_enough() -> None:
    """What comes is more than what one worker posts."""
    world = World().standing_by()
    for _ in range(3 * IN_VAIN_LIMITS * int(LIMIT)):
        world.group.committed[FIRST] += 1
        world.group.ends[FIRST] += 2
        world.step()
    assert world.group.reading
    assert not world.step(SECOND)


def test_nothing_is_done_where_no_other_worker_can_be_meant() -> None:
    """A replay has a group of its own."""
    worker = CatchingUp(None, HandOver(LOOK, LIMIT))
    assert not worker.watching
    assert not worker.step([FIRST], 1.0)
