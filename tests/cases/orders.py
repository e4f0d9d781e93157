"""Every order of some events, told by the states that they pass: orders that meet go on as one.

Two orders meet where the ledger holds the same transfers, the same events were told and the same
wait: nothing that comes later can tell them apart. So all 5,040 orders of seven events are some
hundred steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.cases.told import TRANSLATOR, Told
from worker.core.event import Event
from worker.core.translate import Translator
from worker.core.wire import QueryFilter

ALL_ORDERS_MAX = 7
"""Of so many events every order is told; of more, some hundred seeded ones."""
SEEDED = 500

State = tuple[frozenset[int], frozenset[tuple[int, int, int, int]], frozenset[str]]


def every_end(
    events: Sequence[Event],
    judge: Callable[[Told], None],
    *,
    translator: Translator = TRANSLATOR,
) -> int:
    """Judges the end of every order of the events; returns how many ends differ."""
    if len(events) > ALL_ORDERS_MAX:
        return _seeded(events, judge, translator)
    paths: dict[State, tuple[int, ...]] = {(frozenset(), frozenset(), frozenset()): ()}
    for _ in events:
        onward: dict[State, tuple[int, ...]] = {}
        for path in paths.values():
            for number in range(len(events)):
                if number not in path:
                    steps = (*path, number)
                    told = _after(events, steps, translator)
                    onward.setdefault(_state(told, steps), steps)
        paths = onward
    for path in paths.values():
        told = _after(events, path, translator)
        told.tell_waiting()
        told.check()
        judge(told)
    return len(paths)


def _after(events: Sequence[Event], steps: tuple[int, ...], translator: Translator) -> Told:
    told = Told(translator=translator)
    for number in steps:
        told.tell(events[number])
    told.check()
    return told


def _state(told: Told, steps: tuple[int, ...]) -> State:
    transfers = frozenset(
        (each.id, each.debit_account_id, each.credit_account_id, each.amount)
        for each in told.ledger.query_transfers(QueryFilter())
    )
    return frozenset(steps), transfers, frozenset(event.id for event in told.waiting)


def _seeded(events: Sequence[Event], judge: Callable[[Told], None], translator: Translator) -> int:
    ends = set()
    for seed in range(SEEDED):
        order = list(events)
        Random(seed).shuffle(order)
        told = Told(translator=translator).tell_all(order)
        judge(told)
        ends.add(_state(told, ())[1])
    return len(ends)
