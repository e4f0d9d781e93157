"""What the loop has under way: when it is idle, how long it waits, what it drops and finishes."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from tests.simulation.kafka import Crash
from tests.simulation.test_simulation import event
from tests.simulation.world import PARKED, Rates, SimulatedCluster
from worker.codecs.parked import PARKED_AT_HEADER, ROLE_HEADER
from worker.core.errors import Aborted
from worker.core.ports import Announcer, Headers, TopicPartition
from worker.stages.protocols import Posting

FIRST: Final = ("events", 0)
SECOND: Final = ("events", 1)
LINGER_SECONDS: Final = 0.02
"""Longer than a batch of the simulation waits for company."""


class Loop:
    """One worker that is stepped by hand, and what each poll brings of each partition."""

    def __init__(self, *partitions: TopicPartition, skew_seconds: float = 0.2) -> None:
        self.world = SimulatedCluster(
            1, list(partitions), workers=1, rates=Rates(0, 0, 0, 0), events_max=4,
            skew_seconds=skew_seconds,
        )  # fmt: skip
        self.world.start()
        ((self.pipeline, self.thread),) = self.world.alive.values()
        self.polled: Callable[[TopicPartition], int] = lambda _: 3
        self.source = cast("Any", self.pipeline._source)
        self.source.rng = SimpleNamespace(randint=self._polled, random=lambda: 0.0)

    def _polled(self, *_: int) -> int:
        awake = [each for each in sorted(self.source.positions) if each not in self.source.paused]
        self._asked = (getattr(self, "_asked", -1) + 1) % max(len(awake), 1)
        return self.polled(awake[self._asked])

    def open(self) -> None:
        """Until every partition is read from."""
        self.step(3)
        self.thread.run_one()  # how new is the ledger
        self.step(3)

    def fill(self) -> None:
        """Until the ledger works on a batch and the next one is full."""
        for _ in range(10):
            self.step()
        assert self.pipeline._in_flight.posting
        assert self.pipeline._in_flight.filling.full

    def finish(self) -> None:
        """Let the ledger answer until nothing is under way."""
        for _ in range(60):
            self.step(seconds=LINGER_SECONDS)
            self.thread.run_one()
        assert self.pipeline.idle

    def fund(self, partition: TopicPartition, *numbers: int) -> None:
        """Records that each post one transfer."""
        for number in numbers:
            self.world.kafka.append(partition, event("fund", number, to="a", amount=1, fee=0))

    def step(self, count: int = 1, *, seconds: float = 0.0) -> None:
        """So many rounds, after so long."""
        self.world.time += seconds
        for _ in range(count):
            self._asked = -1
            self.pipeline.step()

    def committed(self, partition: TopicPartition) -> int:
        """The group's offset."""
        return self.world.kafka.commits[partition][0]


@pytest.fixture
def loop() -> Loop:
    """Over one partition."""
    return Loop(FIRST)


def test_idle_is_who_has_nothing_under_way(loop: Loop) -> None:
    """Not while a partition opens, a batch fills, the ledger works, or an answer waits."""
    loop.step()
    assert not loop.pipeline.idle
    loop.open()
    assert loop.pipeline.idle
    loop.fund(FIRST, 1, 2)
    loop.step()
    assert not loop.thread.waiting
    assert not loop.pipeline.idle
    loop.step(seconds=LINGER_SECONDS)
    assert len(loop.thread.waiting) == 1
    assert not loop.pipeline.idle
    loop.thread.run_one()
    assert not loop.pipeline.idle
    loop.step()
    assert loop.pipeline.idle
    assert loop.pipeline.settled == 2


def test_records_that_wait_for_older_ones_are_under_way_and_their_wait_is_told() -> None:
    """One partition lags and brings nothing: what the other has read waits, from then on."""
    loop = Loop(FIRST, SECOND)
    loop.open()
    loop.step(seconds=1.0)
    assert loop.pipeline.idle
    assert loop.pipeline.waiting_seconds == 0.0
    loop.polled = lambda of: 3 if of == FIRST else 0
    loop.fund(FIRST, 1, 2, 3)
    loop.fund(SECOND, 4)
    loop.step(seconds=1.0)
    assert not loop.thread.waiting
    assert not loop.pipeline.idle
    assert loop.pipeline.waiting_seconds == 0.0
    loop.step(seconds=1.5)
    assert loop.pipeline.waiting_seconds == pytest.approx(1.5)
    loop.polled = lambda _: 3
    loop.step()
    assert loop.pipeline.waiting_seconds == 0.0


def test_the_very_end_is_committed_when_nothing_is_under_way() -> None:
    """An offset that holds no record is committed too, but not while a batch fills."""
    loop = Loop(FIRST, SECOND)
    loop.open()
    loop.step(seconds=1.0)
    loop.fund(FIRST, 1)
    loop.source.positions[FIRST] = 1  # as if a transaction's marker were there
    loop.fund(SECOND, 2)
    loop.step()
    assert not loop.pipeline.idle
    loop.pipeline.commit_tails()
    assert (loop.committed(FIRST), loop.committed(SECOND)) == (0, 0)
    loop.step(seconds=LINGER_SECONDS)
    loop.thread.run_one()
    loop.step()
    loop.pipeline.commit_tails()
    assert (loop.committed(FIRST), loop.committed(SECOND)) == (1, 1)


def test_the_last_batch_is_announced_if_the_ledger_answers_in_time(loop: Loop) -> None:
    """Who stops waits for it, and says whether the answer came; what fills is dropped."""
    loop.open()
    assert loop.pipeline.finish(0.0)
    loop.fund(FIRST, 1, 2)
    loop.step()
    loop.step(seconds=LINGER_SECONDS)
    assert not loop.pipeline.finish(0.0)
    assert loop.committed(FIRST) == 0
    loop.thread.run_one()
    assert loop.pipeline.finish(0.0)
    assert loop.committed(FIRST) == loop.pipeline.settled == 2
    assert len(loop.world.kafka.announced) == 2


def test_what_was_read_of_a_lost_partition_is_never_submitted() -> None:
    """Another member reads it from the commit on; what is here of the other partition goes on."""
    loop = Loop(FIRST, SECOND)
    loop.open()
    loop.step(seconds=1.0)
    loop.fund(FIRST, 1, 2)
    loop.fund(SECOND, 3)
    loop.step()
    assert len(list(loop.pipeline._in_flight.items())) == 3
    loop.source.revoke(FIRST)
    loop.step()
    (left,) = loop.pipeline._in_flight.items()
    assert (left.assignment.topic, left.assignment.partition) == SECOND
    loop.step(seconds=LINGER_SECONDS)
    loop.thread.run_one()
    assert len(loop.world.transfers()) == 1


def test_only_what_is_ours_at_the_answer_counts_as_settled() -> None:
    """A partition left while the ledger worked: its outcomes are neither announced nor counted."""
    loop = Loop(FIRST, SECOND)
    loop.open()
    loop.step(seconds=1.0)
    loop.fund(FIRST, 1, 2)
    loop.fund(SECOND, 3)
    loop.step()
    loop.step(seconds=LINGER_SECONDS)
    loop.source.revoke(FIRST)
    loop.thread.run_one()
    loop.step()
    told = [json.loads(each.value or b"")["of"] for each in loop.world.kafka.announced]
    assert told == ["events/1/0"]
    assert loop.pipeline.settled == 1
    assert loop.world.observer.outcomes == {"posted": 1}
    assert (loop.committed(FIRST), loop.committed(SECOND)) == (0, 1)


def test_what_the_ledger_s_thread_raises_stops_the_loop_before_it_is_asked_more(
    loop: Loop,
) -> None:
    """The next batch is full already, and is not submitted to a ledger that has just failed."""
    loop.open()
    loop.fund(FIRST, *range(12))

    def post(_: object) -> Any:
        raise Crash("asked for")

    loop.pipeline._posting = cast("Posting", SimpleNamespace(post=post))
    loop.fill()
    loop.thread.run_one()
    with pytest.raises(Crash):
        loop.pipeline.step()
    assert not loop.thread.waiting


def test_after_an_abort_everything_in_hand_comes_again_in_order(loop: Loop) -> None:
    """What was announced, what the ledger has and what fills are dropped, and expected again."""
    loop.open()
    loop.fund(FIRST, *range(12))
    pipeline = loop.pipeline
    loop.fill()
    whole = pipeline._announcer

    def abort(*_: Any) -> None:
        pipeline._announcer = whole
        raise Aborted("asked for")

    pipeline._announcer = cast("Announcer", SimpleNamespace(announce=abort))
    loop.thread.run_one()
    loop.step()
    assert not pipeline._in_flight.filling.items
    loop.step(3)
    (ours,) = (each for each in pipeline.partitions.all() if each.topic == FIRST[0])
    assert ours.opened
    loop.finish()
    assert loop.committed(FIRST) == 12
    told = [json.loads(each.value or b"")["of"] for each in loop.world.kafka.announced]
    assert told == [f"events/0/{number}" for number in range(12)]


@pytest.mark.parametrize(("early_ms", "taken"), [(0, 1), (1, 0)])
def test_a_parked_record_is_taken_at_the_millisecond_in_which_it_is_due(
    loop: Loop, early_ms: int, taken: int
) -> None:
    """And not before: then its partition sleeps."""
    loop.open()
    parked_ms = loop.world.wall_ms() - PARKED["parked.1"] + early_ms
    headers: Headers = [(ROLE_HEADER, b"events"), (PARKED_AT_HEADER, b"%d" % parked_ms)]
    fund = event("fund", 1, to="a", amount=1, fee=0)
    loop.world.kafka.append(("parked.1", 0), fund, headers)
    loop.step()
    assert len(list(loop.pipeline._in_flight.items())) == taken
    assert loop.pipeline.partitions.asleep() == [("parked.1", 0)] * (1 - taken)


def test_what_becomes_due_while_the_ledger_is_away_is_fetched_when_it_answers(loop: Loop) -> None:
    """A full worker polls only to stay in its group: waking a partition must not fill it more."""
    loop.open()
    loop.fund(FIRST, *range(12))
    loop.fill()
    loop.step()
    assert FIRST in loop.source.paused
    loop.pipeline._intake.resume([FIRST])
    assert FIRST in loop.source.paused
    loop.thread.run_one()
    loop.step(2)
    assert FIRST not in loop.source.paused
    loop.finish()
    assert loop.committed(FIRST) == 12
