"""Outages of any length: what is refused after them is what a worker that was never down refuses.

Money comes on one topic, and is spent on another right after. The world that was never down has one
topic with one partition, and reads each event as it comes.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from tests.simulation.test_simulation import announced, audit, event
from tests.simulation.world import Rates, SimulatedCluster
from worker.core.ports import TopicPartition

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "40"))
CALM = Rates(0, 0, 0, 0)
STEP_MS = 10
START_MS = 1_700_000_000_000


def spending(rng: random.Random, events: int) -> list[tuple[str, bytes]]:
    """The topic and the event of each; most payments are funded by the event before, some never."""
    made: list[tuple[str, bytes]] = []
    for number in range(events):
        who, other = rng.sample("abcdef", 2)
        amount = rng.randint(1, 60)
        if rng.random() < 0.45:
            made.append(("events", event("fund", number, to=who, amount=amount, fee=0)))
        else:
            move: dict[str, Any] = {"from": who, "to": other, "amount": amount}
            made.append(("urgent", event("move", number, **move)))
    return made


def refused(world: SimulatedCluster) -> set[bytes]:
    """The events that were refused, whatever partition they came on."""
    found = set()
    for one in announced(world, "rejected"):
        topic, partition, offset = one["of"].split("/")
        found.add(world.kafka.logs[topic, int(partition)][int(offset)].content)
    return found


def never_down(made: list[tuple[str, bytes]]) -> set[bytes]:
    """What is refused of these when they are read as they come."""
    world = SimulatedCluster(1, [("events", 0)], workers=1, rates=CALM)
    for _, content in made:
        world.kafka.append(("events", 0), content)
    world.settle(100_000)
    return refused(world)


def stop_all(world: SimulatedCluster) -> None:
    """Every worker is down."""
    for name in list(world.alive):
        world.kill(name)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_after_an_outage_the_same_is_refused_as_without_it(seed: int) -> None:
    """Backlogs on topics of different partitions; aborts and kills while they are read."""
    rng = random.Random(seed)
    places: list[TopicPartition] = [
        (topic, number) for topic in ("events", "urgent") for number in range(rng.randint(1, 4))
    ]
    rates = Rates(abort=0.05, crash=0.01, balance=0, expel=0.01)
    world = SimulatedCluster(seed, places, workers=1, rates=rates, events_max=rng.randint(2, 12))
    _with_outages(world, rng, places)


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_several_workers_refuse_what_one_does(seed: int, workers: int) -> None:
    """One of them catches up for all; rebalances, and kills of any of them, meanwhile."""
    rng = random.Random(seed)
    places: list[TopicPartition] = [
        (topic, number) for topic in ("events", "urgent") for number in range(rng.randint(1, 4))
    ]
    rates = Rates(abort=0.02, crash=0.002, balance=0.005, expel=0)
    world = SimulatedCluster(seed, places, workers=workers, rates=rates, hand_over=True)
    world.kafka.sticky = 0.8
    _with_outages(world, rng, places)


def _with_outages(
    world: SimulatedCluster, rng: random.Random, places: list[TopicPartition]
) -> None:
    """Everything is produced while no worker runs; some outages come before the last is over."""
    made = spending(rng, 90)
    stretches = [made[:20], made[20:60], made[60:]]
    time_ms = START_MS
    for stretch in stretches:
        stop_all(world)
        for topic, content in stretch:
            place = rng.choice([each for each in places if each[0] == topic])
            time_ms += STEP_MS
            world.kafka.append(place, content, time_ms=time_ms)
        for _ in range(rng.randint(0, 200)):  # the next outage may come before all is caught up
            world.advance()
    world.settle()
    audit(world)
    assert refused(world) == never_down(made)
