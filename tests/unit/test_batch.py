"""Cutting a batch into requests: order, the ledger's limit, and what may be submitted yet."""

from __future__ import annotations

from random import Random

import pytest

from worker.core.assignment import Assignment
from worker.core.chain import AccountRef, Chain, Leg, Need, Needs, Sought, leg_spec
from worker.core.event import Dead, Event, Reason
from worker.core.money import Currency
from worker.jobs.archive.records import ArchivedRecord
from worker.stages.batch import Batch, Limits
from worker.stages.item import Item

LEGS_MAX = 12
USD = Currency("usd", 840, 2)
SPEC = leg_spec(transaction="move", leg="step", code=1)
ONE, OTHER = (AccountRef(number, "wallet", str(number), 840, 1, 0) for number in (1, 2))


def chain(number: int, legs: int, *, settles: bool = False) -> Chain:
    """A chain of so many legs; settles: its last one posts a transfer of an earlier request."""
    made = [Leg(SPEC, USD, number * 100 + leg, ONE, OTHER, 5) for leg in range(legs)]
    if settles:
        made[-1] = made[-1]._replace(debit=None, credit=None, pending_ids=(1 << 100,))
    event = Event(f"evt_{number}", "move", 1, {})
    return Chain(event, "move", f"event/evt_{number}", number, 0, tuple(made), sync=False)


def batch_of(chance: Random, *, settling: bool) -> Batch:
    """Items of three partitions as they come, some dead, some long, one partition held back."""
    stays = [Assignment("t", number, "", number << 40, until=1000) for number in range(3)]
    stays[2].until = chance.choice([-1, 5, 1000])
    of = batch()
    for number in range(chance.randint(1, 30)):
        asked: Chain | Dead = chain(number, chance.randint(1, 5))
        if settling and number % 4 == 0:
            asked = chain(number, 2, settles=True)
        if chance.random() < 0.1:
            asked = Dead(Reason.NO_RULE, "")
        of.add(item(number, asked, chance.choice(stays)))
    return of


@pytest.mark.parametrize("settling", [False, True], ids=["plain", "settling"])
def test_requests_keep_every_partitions_order_and_the_limits(*, settling: bool) -> None:
    """Cut after cut nothing is lost, doubled, out of order, too much, or beyond `until`."""
    chance = Random(3)
    for _ in range(300):
        of = batch_of(chance, settling=settling)
        left = list(of.items)
        while now := of.cut():
            assert sum(one.legs for one in now) <= LEGS_MAX
            assert all(one.assignment.may_submit(one.offset) for one in now)
            for partition in {id(one.assignment): one.assignment for one in left}.values():
                waiting = [one for one in left if one.assignment is partition]
                taken = [one for one in now if one.assignment is partition]
                assert taken == waiting[: len(taken)]
            left = [one for one in left if one not in now]
            assert of.items == left
            counts_are_of_what_is_in_it(of)
        firsts = _firsts(left)
        assert not left or any(not one.assignment.may_submit(one.offset) for one in firsts)


def counts_are_of_what_is_in_it(of: Batch) -> None:
    """Legs, bytes and urgency are those of the items that are left."""
    assert of.legs == sum(one.legs for one in of.items)
    assert of.size_bytes == sum(one.size_bytes for one in of.items)
    assert of.room == of.limits.events_max - len(of.items)
    assert of.urgent == any(
        one.attempts > 0 or (isinstance(one.translated, Chain) and one.translated.sync)
        for one in of.items
    )


def test_what_went_makes_nothing_urgent() -> None:
    """The redriven item goes with the first request, or with its partition."""
    kept, lost = stay(), stay(1)
    of = batch(item(0, chain(0, 1), kept, attempts=1), item(1, chain(1, 2), kept))
    counts_are_of_what_is_in_it(of)
    assert of.urgent
    of.cut()
    counts_are_of_what_is_in_it(of)
    assert [one.offset for one in of.items] == [1]
    of.add(item(5, chain(2, 1), lost, attempts=1))
    assert of.urgent
    of.drop_lost([kept])
    counts_are_of_what_is_in_it(of)
    assert not of.urgent
    of.add(item(6, chain(3, 1)._replace(sync=True), kept))
    assert of.urgent
    counts_are_of_what_is_in_it(of)


def _firsts(items: list[Item]) -> list[Item]:
    """The first of each partition."""
    return list({id(item.assignment): item for item in reversed(items)}.values())


def item(offset: int, asked: Chain | Dead, stay: Assignment, *, attempts: int = 0) -> Item:
    """One record of a partition, of two bytes."""
    record = ArchivedRecord("t", stay.partition, offset, None, b"{}")
    return Item(record, stay, offset, 2, "", asked, attempts)


def stay(partition: int = 0) -> Assignment:
    """A partition of which all may be submitted."""
    return Assignment("t", partition, "", partition << 40, until=1000)


def batch(*items: Item, **limits: int) -> Batch:
    """These items, in a batch with room."""
    made = Batch(
        Limits(**{"events_max": 1000, "legs_max": LEGS_MAX, "bytes_max": 1 << 20, **limits})
    )
    made.extend(items)
    return made


def cuts(of: Batch) -> list[list[int]]:
    """The offsets of each request, until nothing more can be taken."""
    found: list[list[int]] = []
    while now := of.cut():
        found.append([one.offset for one in now])
    return found


def test_a_redriven_event_ends_its_request() -> None:
    """Its attempts take a request each, and what stands behind it must not overtake them."""
    here, there = stay(), stay(1)
    redriven = item(2, chain(2, 1), here, attempts=1)
    of = batch(
        item(1, chain(1, 1), here),
        redriven,
        item(3, chain(3, 1), here),
        item(4, chain(4, 1), there),
    )
    assert of.urgent
    assert cuts(of) == [[1, 2], [3, 4]]


def test_what_is_lost_goes_with_the_last_partition_too() -> None:
    """No item of a partition that is no longer ours is kept, and the counts follow."""
    here, there = stay(), stay(1)
    of = batch(item(1, chain(1, 2), here), item(2, chain(2, 3), there))
    of.drop_lost([there])
    assert ([one.offset for one in of.items], of.legs, of.size_bytes) == ([2], 3, 2)
    of.drop_lost([stay(1)])
    assert (of.items, of.legs, of.size_bytes, of.urgent) == ([], 0, 0, False)


@pytest.mark.parametrize(
    ("limits", "full"),
    [
        ({"events_max": 2}, True),
        ({"events_max": 3}, False),
        ({"legs_max": 4}, True),
        ({"legs_max": 5}, False),
        ({"bytes_max": 4}, True),
        ({"bytes_max": 5}, False),
    ],
)
def test_a_batch_is_full_at_each_of_its_limits(limits: dict[str, int], *, full: bool) -> None:
    """At the limit, and not one before it."""
    of = batch(item(1, chain(1, 2), stay()), item(2, chain(2, 2), stay()), **limits)
    assert of.full is full
    assert of.room == limits.get("events_max", 1000) - 2


def test_a_settlement_waits_for_the_request_after_its_reservation() -> None:
    """The pending transfer and what posts it never share a request; others go on meanwhile."""
    here, there = stay(), stay(1)
    reserving = chain(1, 1)
    pending = reserving.legs[0]._replace(
        spec=leg_spec(transaction="move", leg="step", kind="pending", code=1), id=1 << 100
    )
    of = batch(
        item(1, reserving._replace(legs=(pending,)), here),
        item(2, chain(2, 2, settles=True), there),
        item(3, chain(3, 1), there),
        item(4, chain(4, 1), here),
    )
    assert cuts(of) == [[1, 4], [2, 3]]


@pytest.mark.parametrize("waits_for", ["reservation", "origin"])
def test_what_is_waited_for_is_the_first_of_its_copies(waits_for: str) -> None:
    """A redelivery behind who waits makes no circle: the first one comes in the request before."""
    here = stay()
    if waits_for == "reservation":
        reserving = chain(1, 1)
        spec = leg_spec(transaction="move", leg="step", kind="pending", code=1)
        first = reserving._replace(legs=(reserving.legs[0]._replace(spec=spec, id=1 << 100),))
        second = chain(2, 2, settles=True)
    else:
        first = chain(1, 1)
        need = Need((Sought("move", first.tag, b"", ()),), None, optional=False, text="origin")
        second = chain(2, 1)._replace(needs=Needs(need, None, ()))
    of = batch(item(1, first, here), item(2, second, here), item(3, first, here))
    assert cuts(of) == [[1], [2, 3]]


def test_a_wait_that_runs_in_a_circle_ends() -> None:
    """A settlement in front of its own reservation goes on without: the ledger is asked."""
    here = stay()
    reserving = chain(2, 1)
    pending = reserving.legs[0]._replace(
        spec=leg_spec(transaction="move", leg="step", kind="pending", code=1), id=1 << 100
    )
    of = batch(
        item(1, chain(1, 2, settles=True), here),
        item(2, reserving._replace(legs=(pending,)), here),
    )
    assert cuts(of) == [[1, 2]]


def test_nothing_of_a_partition_passes_what_may_not_be_submitted() -> None:
    """`until` holds up what comes after it too: a commit comes first, and nothing is overtaken."""
    here, there = stay(), stay(1)
    here.until = 2
    of = batch(
        item(1, chain(1, 1), here),
        item(2, chain(2, 1), here),
        item(3, chain(3, 1), here),
        item(9, chain(9, 1), there),
    )
    assert cuts(of) == [[1, 2]]
    assert [one.offset for one in of.items] == [3, 9]


def test_a_full_request_is_filled_to_the_limit() -> None:
    """Where nothing waits, the request takes all that fits before the first that does not."""
    here = stay()
    of = batch(*(item(at, chain(at, legs), here) for at, legs in enumerate([5, 5, 3, 1])))
    assert cuts(of) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ([1] * LEGS_MAX,             [LEGS_MAX]),
        ([1] * (LEGS_MAX + 1),       [LEGS_MAX, 1]),
        ([LEGS_MAX],                 [1]),
        ([LEGS_MAX, 1],              [1, 1]),
        ([1, LEGS_MAX],              [1, 1]),
        ([LEGS_MAX - 1, 1, 1],       [2, 1]),
        ([5, 5, 5, 5, 5],            [2, 2, 1]),
    ],
)  # fmt: skip
def test_each_request_is_as_full_as_it_can_be(chains: list[int], expected: list[int]) -> None:
    """A chain that just fits goes along, where nothing waits as where something does."""
    for settles in (False, True):
        here = stay()
        items = [
            item(number, chain(number, legs, settles=settles), here)
            for number, legs in enumerate(chains)
        ]
        assert [len(now) for now in cuts(batch(*items))] == expected
