"""Every record that was read is in exactly one of three states, whatever comes in which order."""

from __future__ import annotations

import random
from concurrent.futures import Future
from typing import cast

import pytest

from worker.core.assignment import Assignment
from worker.core.event import Skipped
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.ports import Record
from worker.stages.batch import Limits
from worker.stages.in_flight import InFlight
from worker.stages.item import Item

ROUNDS = 300
ASSIGNMENT = Assignment("events", 0, "events", 0, until=10**9, opened=True)


def item(offset: int) -> Item:
    return Item(cast("Record", None), ASSIGNMENT, offset, 1, "events", Skipped("ignored"))


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_doubled_between_the_states(seed: int) -> None:
    """What is in hand is what was read and not settled, oldest first; one batch posts at a time."""
    rng = random.Random(seed)
    in_flight = InFlight(Limits(events_max=5, legs_max=9, bytes_max=100))
    read = settled = 0
    for now in range(ROUNDS):
        if (room := in_flight.filling.room) > 0:
            count = rng.randint(0, room)
            in_flight.fill([item(offset) for offset in range(read, read + count)], now)
            read += count
        if in_flight.posting is None and in_flight.filling.items and not in_flight.announcing:
            items = in_flight.cut(now)
            in_flight.submitted(items, Future(), now)
        assert in_flight.answered() is None
        if in_flight.posting is not None and rng.random() < 0.5:
            outcomes = [Outcome(OutcomeKind.IGNORED)] * len(in_flight.posting.items)
            in_flight.posting.outcomes.set_result(outcomes)
            assert in_flight.wait(0)
            answered = in_flight.answered()
            assert answered is not None
            assert in_flight.announcing == answered.items
        assert [one.offset for one in in_flight.items()] == list(range(settled, read))
        if in_flight.announcing and rng.random() < 0.7:
            settled += len(in_flight.announcing)
            in_flight.announced()
    assert settled > ROUNDS / 4


def test_while_the_ledger_has_a_batch_waiting_says_so() -> None:
    """Nothing at the ledger is nothing to wait for; a batch there is, until it is answered."""
    in_flight = InFlight(Limits(events_max=5, legs_max=9, bytes_max=100))
    assert in_flight.wait(0)
    in_flight.fill([item(0)], 1.0)
    in_flight.submitted(in_flight.cut(2.0), Future(), 2.0)
    assert not in_flight.wait(0)
    assert in_flight.posting is not None
    assert in_flight.posting.since == in_flight.filling_since == 2.0
