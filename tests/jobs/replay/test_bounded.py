"""A bounded source hands nothing on from its bound, and tells the bound as the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.core.assignment import Opening
from worker.core.ports import Polled, TopicPartition
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.replay.bounded_source import BoundedSource

HERE: TopicPartition = ("a", 0)
OTHER: TopicPartition = ("b", 0)


@dataclass
class ScriptedSource:
    """A source that gives what it was told to, and remembers what was asked of it."""

    polls: list[Polled]
    paused: set[TopicPartition] = field(default_factory=set)
    joined: bool = True
    waiting_seconds: float = 0.0

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        del records_max, timeout_seconds
        return self.polls.pop(0)

    def opening(self, place: TopicPartition) -> Opening | None:
        del place
        return None

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        return not ends

    def watermarks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        return {}

    def lag(self, place: TopicPartition, offset: int) -> int | None:
        del place, offset
        return None

    def seek(self, place: TopicPartition, offset: int) -> bool:
        del place, offset
        return True

    def pause(self, places: Iterable[TopicPartition]) -> None:
        self.paused |= set(places)

    def resume(self, places: Iterable[TopicPartition]) -> None:
        self.paused -= set(places)

    def membership(self) -> object:
        return None

    def close(self) -> None:
        return None


def polled(
    *offsets: int, place: TopicPartition = HERE, ends: Mapping[TopicPartition, int] | None = None
) -> Polled:
    records = [ArchivedRecord(*place, offset, None, b"") for offset in offsets]
    return Polled(records, (), (), ends or {})


def test_records_from_the_bound_on_are_dropped() -> None:
    """The bound is told as the end, the partition rests, and resuming all does not wake it."""
    told = ScriptedSource([polled(3, 4, 5, 6)])
    source = BoundedSource(told, {HERE: 5})
    found = source.poll(records_max=10, timeout_seconds=0)
    assert [one.offset() for one in found.records] == [3, 4]
    assert found.ends == {HERE: 5}
    assert told.paused == {HERE}
    source.resume([HERE])
    assert told.paused == {HERE}


def test_an_end_after_the_bound_is_the_bound() -> None:
    """Where only transaction markers are left before the bound, it is reached all the same."""
    ends = [{HERE: 9}, {HERE: 5}, {HERE: 4}]
    source = BoundedSource(ScriptedSource([polled(ends=each) for each in ends]), {HERE: 5})
    for _ in range(2):
        assert source.poll(records_max=10, timeout_seconds=0).ends == {HERE: 5}
    assert source.poll(records_max=10, timeout_seconds=0).ends == {}


def test_after_an_abort_it_is_read_again() -> None:
    """Seeking back wakes the partition, and the bound holds as before."""
    told = ScriptedSource([polled(5), polled(4, 5)])
    source = BoundedSource(told, {HERE: 5})
    source.poll(records_max=10, timeout_seconds=0)
    source.seek(HERE, 3)
    assert told.paused == set()
    again = source.poll(records_max=10, timeout_seconds=0)
    assert [one.offset() for one in again.records] == [4]
    assert again.ends == {HERE: 5}


def test_a_partition_without_a_bound_is_not_read() -> None:
    """It belongs to another part of the job."""
    told = ScriptedSource([polled(0, 1, place=OTHER)])
    found = BoundedSource(told, {HERE: 5}).poll(records_max=10, timeout_seconds=0)
    assert found == Polled([], (), (), {OTHER: 0})  # nobody is to wait for it
    assert told.paused == {OTHER}
