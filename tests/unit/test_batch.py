"""Cutting a batch into requests: order, the ledger's limit, and what may be submitted yet."""

from __future__ import annotations

from random import Random

import pytest

from worker.core.assignment import Assignment
from worker.core.chain import AccountRef, Chain, Leg, leg_spec
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
    batch = Batch(Limits(1000, LEGS_MAX, 1 << 20))
    for number in range(chance.randint(1, 30)):
        asked: Chain | Dead = chain(number, chance.randint(1, 5))
        if settling and number % 4 == 0:
            asked = chain(number, 2, settles=True)
        if chance.random() < 0.1:
            asked = Dead(Reason.NO_RULE, "")
        stay = chance.choice(stays)
        batch.add(Item(ArchivedRecord("t", 0, number, None, b"{}"), stay, number, 2, "", asked))
    return batch


@pytest.mark.parametrize("settling", [False, True], ids=["plain", "settling"])
def test_requests_keep_every_partitions_order_and_the_limits(*, settling: bool) -> None:
    """Cut after cut nothing is lost, doubled, out of order, too much, or beyond `until`."""
    chance = Random(3)
    for _ in range(300):
        batch = batch_of(chance, settling=settling)
        left = list(batch.items)
        while now := batch.cut():
            assert sum(item.legs for item in now) <= LEGS_MAX
            assert all(item.assignment.may_submit(item.offset) for item in now)
            for stay in {id(item.assignment): item.assignment for item in left}.values():
                waiting = [item for item in left if item.assignment is stay]
                taken = [item for item in now if item.assignment is stay]
                assert taken == waiting[: len(taken)]
            left = [item for item in left if item not in now]
            assert batch.items == left
        assert all(not one.assignment.may_submit(one.offset) for one in _firsts(left))


def _firsts(items: list[Item]) -> list[Item]:
    """The first of each partition."""
    return list({id(item.assignment): item for item in reversed(items)}.values())


def test_a_full_request_is_filled_to_the_limit() -> None:
    """Where nothing waits, the request takes all that fits before the first that does not."""
    batch = Batch(Limits(1000, LEGS_MAX, 1 << 20))
    stay = Assignment("t", 0, "", 0, until=1000)
    for number, legs in enumerate([5, 5, 3, 1]):
        batch.add(
            Item(
                ArchivedRecord("t", 0, number, None, b"{}"),
                stay,
                number,
                2,
                "",
                chain(number, legs),
            )
        )
    assert [item.offset for item in batch.cut()] == [0, 1]
    assert [item.offset for item in batch.cut()] == [2, 3]
