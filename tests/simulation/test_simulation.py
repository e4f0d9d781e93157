"""Many seeded histories, audited by code that shares nothing with the worker's decisions."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tests.simulation.world import PARKED, Rates, SimulatedCluster
from worker.core.errors import Aborted
from worker.core.ports import Announcement, Announcer
from worker.pipeline import Pipeline

PLACES = [("events", 0), ("events", 1), ("events", 2)]
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "40"))
BASE = 1_700_000_000


def event(kind: str, number: int, **content: Any) -> bytes:
    """One event of the simulation's rulebook."""
    body = {"currency": "usd", **content}
    envelope = {"id": f"evt_{number}", "type": kind, "created": BASE + number, "data": {}}
    envelope["data"] = {"object": body}
    return json.dumps(envelope).encode()


def traffic(rng: random.Random, events: int, *, disorder: bool = True) -> list[bytes]:
    """Money comes in, moves, is reserved, settled or released; some of it twice or in disorder."""
    made: list[bytes] = []
    holds: list[dict[str, Any]] = []
    for number in range(events):
        who, other = rng.sample("abcd", 2)
        amount = rng.randint(1, 60)
        match rng.randrange(8):
            case 0 | 1:
                made.append(event("fund", number, to=who, amount=amount, fee=rng.randint(0, 3)))
            case 2 | 3:
                made.append(event("move", number, **{"from": who, "to": other, "amount": amount}))
            case 4:
                hold = {"id": f"h{number}", "created": BASE + number, "from": who, "amount": amount}
                holds.append(hold)
                made.append(event("reserve", number, **hold))
            case 5 if holds:
                kind = rng.choice(["settle", "release"])
                made.append(event(kind, number, **rng.choice(holds)))
            case 6:
                made.append(event("take_back", number, **{"from": who, "amount": amount}))
            case _:
                made.append(rng.choice([b"\xff\xfe", b"{}", event("fund", number, to=who)]))
    twice = [rng.choice(made) for _ in range(events // 4)]
    made.extend(twice)
    if disorder and rng.random() < 0.5:
        start = rng.randrange(len(made))
        window = made[start : start + 10]
        rng.shuffle(window)
        made[start : start + 10] = window
    return made


def announced(world: SimulatedCluster, topic: str) -> list[dict[str, Any]]:
    """What read-committed readers of a topic see."""
    return [json.loads(one.value or b"") for one in world.kafka.announced if one.topic == topic]


def audit(world: SimulatedCluster) -> None:
    """Promises 1 to 4, read from the ledger and the announcements alone."""
    transfers = world.transfers()
    chains = Counter(held.user_data_128 for held in transfers)
    for held in transfers:
        assert chains[held.user_data_128] == held.user_data_32 & 0xFFFF, "a chain is partial"
    seen = Counter(one["id"] for one in announced(world, "posted"))
    assert seen == Counter(held.id for held in transfers), "not announced exactly once"
    by_id = {held.id: held for held in transfers}
    for one in announced(world, "posted"):
        held = by_id[one["id"]]
        assert (one["at"], one["amount"]) == (held.timestamp, held.amount)
    debits = sum(account.debits_posted for account in world.accounts())
    credits_ = sum(account.credits_posted for account in world.accounts())
    assert debits == credits_


def every_event_is_told(world: SimulatedCluster) -> None:
    """Promise 2: each event that can be read is posted, rejected or a dead letter."""
    told = {one["of"] for topic in ("rejected", "dead") for one in announced(world, topic)}
    told_ids = set()
    for place, log in world.kafka.logs.items():
        for record in log:
            if f"{place[0]}/{place[1]}/{record.at}" in told:
                told_ids.add(record.content)
    posted = {one["of"] for one in announced(world, "posted")}
    for place, log in world.kafka.logs.items():
        for record in log:
            if f"{place[0]}/{place[1]}/{record.at}" in posted:
                told_ids.add(record.content)
    missing = {
        record.content
        for log in world.kafka.logs.values()
        for record in log
        if record.content not in told_ids
    }
    assert not missing, f"seed {world.seed}: {len(missing)} events came to nothing: {missing}"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_histories_keep_the_promises(seed: int) -> None:
    """Whatever crashes, aborts or moves: all or none, announced exactly once, nothing forgotten."""
    world = SimulatedCluster(seed, PLACES, rates=Rates(), late_offsets=0.5)
    rng = random.Random(seed)
    waiting = traffic(rng, 60)
    with capture_logs() as logged:
        for _ in range(1500):
            if waiting and rng.random() < 0.3:
                world.kafka.append(rng.choice(PLACES), waiting.pop(0))
            world.advance()
        for content in waiting:
            world.kafka.append(rng.choice(PLACES), content)
        world.settle()
    audit(world)
    every_event_is_told(world)
    assert not logged, "a client that does what it is told is not suspected"


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_a_client_that_was_not_placed_passes_nothing_over(seed: int) -> None:
    """After an abort it says that it reads from the commit, and goes on behind what was aborted."""
    world = SimulatedCluster(seed, PLACES, rates=Rates(abort=0.2, crash=0), lost_seeks=0.1)
    rng = random.Random(seed)
    for content in traffic(rng, 60):
        world.kafka.append(rng.choice(PLACES), content)
    for _ in range(1500):
        world.advance()
    world.settle()
    audit(world)
    every_event_is_told(world)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_a_new_group_changes_nothing(seed: int) -> None:
    """Replaying everything from offset 0 adds no transfer and no outbox record."""
    world = SimulatedCluster(seed, PLACES, rates=Rates(0, 0, 0, 0))
    rng = random.Random(seed)
    for content in traffic(rng, 60, disorder=False):
        # One partition: a settlement that overtakes its reservation is a dead letter at first and
        # finds it at the replay.
        world.kafka.append(PLACES[0], content)
    world.settle()
    before, posted = world.transfers(), len(announced(world, "posted"))
    world.kafka.new_group()
    world.settle()
    assert world.transfers() == before
    assert len(announced(world, "posted")) == posted


HOLD = {"id": "h1", "created": BASE + 1, "from": "a", "amount": 5}


def outcomes(world: SimulatedCluster) -> dict[str, int]:
    """How often each outcome was committed."""
    return world.observer.outcomes


def test_a_late_predecessor_is_waited_for() -> None:
    """A settlement that overtakes its reservation is parked, and posted when that has come."""
    world = SimulatedCluster(1, PLACES, rates=Rates(0, 0, 0, 0))
    world.kafka.append(PLACES[0], event("fund", 0, to="a", amount=50, fee=0))
    world.kafka.append(PLACES[1], event("settle", 2, **HOLD))
    while not outcomes(world).get("parked"):
        world.advance()
    world.kafka.append(PLACES[2], event("reserve", 1, **HOLD))
    world.settle()
    audit(world)
    assert outcomes(world)["posted"] == 3
    assert "dead" not in outcomes(world)


def test_waiting_has_an_end() -> None:
    """What never comes is waited for at every delay, then the event is a dead letter."""
    world = SimulatedCluster(1, PLACES, rates=Rates(0, 0, 0, 0))
    world.kafka.append(PLACES[0], event("settle", 2, **HOLD))
    started = world.time
    world.settle()
    assert outcomes(world) == {"parked": len(PARKED), "dead": 1}
    assert (world.time - started) * 1000 >= sum(PARKED.values())
    [last] = announced(world, "dead")
    assert last["of"] == "parked.2/0/0"


def test_a_parked_event_holds_up_nobody() -> None:
    """While one event waits, later events of the other topics and of its own are posted."""
    world = SimulatedCluster(1, PLACES, rates=Rates(0, 0, 0, 0))
    world.kafka.append(PLACES[0], event("settle", 2, **HOLD))
    for number in range(3, 9):
        world.kafka.append(PLACES[0], event("fund", number, to="a", amount=50, fee=0))
    while outcomes(world).get("posted", 0) < 6:
        world.advance()
    assert outcomes(world)["parked"] == 1
    assert "dead" not in outcomes(world)


def test_an_abort_wakes_who_sleeps() -> None:
    """A parked event that was posted is announced after an abort without waiting for the next one.

    Its neighbour is not due yet, so its partition sleeps; with the longest delay that is for days.
    """
    world = SimulatedCluster(1, PLACES[:1], workers=1, rates=Rates(0, 0, 0, 0))
    hold, later = HOLD, {**HOLD, "id": "h2", "created": BASE + 9}
    world.kafka.append(PLACES[0], event("fund", 0, to="a", amount=50, fee=0))
    world.kafka.append(PLACES[0], event("settle", 2, **hold))
    while outcomes(world).get("parked", 0) < 1:
        world.advance()
    due = world.time + PARKED["parked.1"] / 1000
    while world.time < due - 0.03:
        world.advance()
    world.kafka.append(PLACES[0], event("reserve", 1, **hold))
    world.kafka.append(PLACES[0], event("settle", 10, **later))
    ((pipeline, _),) = world.alive.values()
    whole = pipeline._announcer
    aborted_at: list[float] = []

    def announce(announcements: Iterable[Announcement], *rest: Any) -> None:
        written = list(announcements)
        if any(b'"parked.1/' in (one.value or b"") for one in written) and not aborted_at:
            aborted_at.append(world.time)
            raise Aborted("asked for")
        whole.announce(written, *rest)

    pipeline._announcer = cast("Announcer", SimpleNamespace(announce=announce))
    while not any(one["of"] == "parked.1/0/0" for one in announced(world, "posted")):
        world.advance()
    assert outcomes(world)["parked"] == 2
    assert world.time - aborted_at[0] < 0.1
    audit(world)


def test_urgent_topics_go_first_among_what_is_equally_old_only() -> None:
    """A backlog is taken in the order of its timestamps, whatever the priorities of its topics."""
    urgent, other = ("urgent", 0), ("events", 0)
    world = SimulatedCluster(1, [urgent, other], workers=1, rates=Rates(0, 0, 0, 0), events_max=3)
    for number in range(100):
        fund = event("fund", number, to="a", amount=number + 1, fee=0)
        world.kafka.append(urgent if number % 4 else other, fund, time_ms=1 + number // 2)
    world.settle()
    audit(world)
    posted = sorted(world.transfers(), key=lambda stored: stored.timestamp)
    assert [stored.amount - 1 for stored in posted] == sorted(
        range(100), key=lambda number: (number // 2, not number % 4, number)
    )


@pytest.mark.parametrize("more", [1, 3, 4, 9])
def test_only_a_full_batch_goes_ahead_of_an_announcement(more: int) -> None:
    """A small one is submitted after it, and takes along what came meanwhile."""
    full = 4
    calm = Rates(0, 0, 0, 0)
    world = SimulatedCluster(1, PLACES[:1], workers=1, rates=calm, events_max=full)
    world.start()
    ((pipeline, thread),) = world.alive.values()
    for number in range(full + more):
        world.kafka.append(PLACES[0], event("fund", number, to="a", amount=1, fee=0))
    steps(pipeline, 20)
    thread.run_one()  # the first question of a group: how new is the ledger
    steps(pipeline, 20)
    assert len(thread.waiting) == 1
    thread.run_one()
    world.time += 1  # it has waited long enough for company
    pipeline.step()
    assert pipeline.settled == full
    assert len(thread.waiting) == (1 if more >= full else 0)
    pipeline.step()
    assert len(thread.waiting) == 1


def steps(pipeline: Pipeline, count: int) -> None:
    """So many turns of the loop, while the ledger does nothing."""
    for _ in range(count):
        pipeline.step()


def test_the_next_records_are_translated_while_the_broker_commits() -> None:
    """Between the transaction's end asked for and heard of, what a poll gives becomes ready."""
    full, polled = 4, 3
    world = SimulatedCluster(1, PLACES[:1], workers=1, rates=Rates(0, 0, 0, 0), events_max=full)
    world.start()
    ((pipeline, thread),) = world.alive.values()
    for number in range(3 * full):
        world.kafka.append(PLACES[0], event("fund", number, to="a", amount=1, fee=0))
    steps(pipeline, 20)
    thread.run_one()  # how new is the ledger
    while pipeline._in_flight.posting is None or not pipeline._in_flight.filling.full:
        pipeline.step()
    thread.run_one()
    whole, ready = pipeline._announcer, []

    def announce(*given: Any) -> None:
        ready.append(len(pipeline._in_flight.filling.items))
        given[-1]()
        ready.append(len(pipeline._in_flight.filling.items))
        whole.announce(*given)

    pipeline._announcer = cast("Announcer", SimpleNamespace(announce=announce))
    cast("Any", pipeline._source).rng = SimpleNamespace(randint=lambda *_: polled)
    pipeline.step()
    assert ready == [0, polled]
    cast("Any", pipeline._source).rng = world.rng
    world.settle()
    audit(world)


def test_no_more_is_taken_than_was_asked_for() -> None:
    """Also when some of it waits for the broker, some for the ledger, and some for its batch."""
    limit = 10
    calm = Rates(0, 0, 0, 0)
    world = SimulatedCluster(1, PLACES[:1], workers=1, rates=calm, events_max=4, events_limit=limit)
    world.start()
    ((pipeline, _),) = world.alive.values()
    for number in range(3 * limit):
        world.kafka.append(PLACES[0], event("fund", number, to="a", amount=1, fee=0))
    for _ in range(2_000):
        world.advance()
        assert pipeline.settled <= limit
    assert pipeline.settled == limit
    assert world.kafka.commits[PLACES[0]][0] == limit


def test_what_a_failed_commit_took_away_is_not_announced() -> None:
    """The ledger has answered a batch, and the commit that lets the next one go on is aborted.

    Then the answered records are read again, so that announcing them now would do it twice.
    """
    world = SimulatedCluster(1, PLACES[:1], workers=1, rates=Rates(0, 0, 0, 0), events_max=4)
    world.start()
    ((pipeline, thread),) = world.alive.values()
    for number in range(8):
        world.kafka.append(PLACES[0], event("fund", number, to="a", amount=1, fee=0))
    steps(pipeline, 20)
    thread.run_one()  # how new is the ledger
    steps(pipeline, 20)
    thread.run_one()
    (stay,) = (one for one in pipeline.partitions.all() if one.topic == PLACES[0][0])
    stay.until = 3  # the next batch lies beyond what may be submitted
    whole = pipeline._announcer

    def abort_once(*given: Any) -> None:
        del given
        pipeline._announcer = whole
        raise Aborted("asked for")

    pipeline._announcer = cast("Announcer", SimpleNamespace(announce=abort_once))
    pipeline.step()
    assert world.kafka.announced == []
    assert (
        list(pipeline._in_flight.items()) == []
    )  # all of it is read again, nothing sent as it was
    world.settle()
    audit(world)
    assert len(announced(world, "posted")) == 8
