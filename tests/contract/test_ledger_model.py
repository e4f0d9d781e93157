"""The embedded ledger against a real TigerBeetle server: the same random requests to both.

Every status, the order and identity of timestamps, and every lookup, query and balance are equal.
"""

from __future__ import annotations

import os
from itertools import count
from secrets import randbits

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from tests.contract.model import (
    NOW,
    ModelEvent,
    ModelRequest,
    Side,
    When,
    examples,
    filters,
    times_match,
    without_times,
)
from worker.core.ports import Ledger
from worker.core.wire import (
    Account,
    AccountFilter,
    QueryFilter,
    Transfer,
    TransferFlags,
)
from worker.ledger.embedded import EmbeddedLedger

EXAMPLES = int(os.environ.get("LEDGER_MODEL_EXAMPLES", "80"))
_bases = count(randbits(60) + 1)
START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000

now = When(NOW, 0)
T = TransferFlags


def clock() -> EmbeddedLedger:
    """An embedded ledger whose clock moves by a millisecond at each look."""
    ticks = count(START_NS, STEP_NS)
    return EmbeddedLedger(now_ns=lambda: next(ticks))


def requests(*rows: tuple[Account | Transfer, ...]) -> list[ModelRequest]:
    """Requests of rows that are not imported."""
    return [ModelRequest(tuple(ModelEvent(row, now) for row in batch)) for batch in rows]


SEED = requests(
    tuple(Account(id=n + 1, ledger=1, code=1, flags=8) for n in range(3)),
    (Transfer(1, 1, 2, 7, ledger=1, code=1, flags=T.PENDING),),
    (
        Transfer(2, amount=7, pending_id=1, flags=T.POST_PENDING_TRANSFER | T.LINKED),
        Transfer(3, 9, 2, 1, ledger=1, code=1),
        Transfer(4, amount=0, pending_id=1, flags=T.VOID_PENDING_TRANSFER),
    ),
)


@pytest.mark.tigerbeetle
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sent=examples(), asked=filters())
@example(sent=SEED, asked=[AccountFilter(1), QueryFilter(ledger=1, reversed=True)])
def test_the_embedded_ledger_answers_as_tigerbeetle_does(
    real_ledger: Ledger, sent: list[ModelRequest], asked: list[QueryFilter | AccountFilter]
) -> None:
    """Whatever is sent, both ledgers answer the same."""
    serial = next(_bases)
    base, number = serial << 64, serial * 4 % (1 << 31)
    real, model = Side(real_ledger, base, number), Side(clock(), base, number)
    for request in sent:
        wanted, found = real.send(request), model.send(request)
        note(f"{request}\n -> {[result.status for result in wanted]}")
        assert [result.status for result in found] == [result.status for result in wanted]
    answers = list(zip(real.all_held(), model.all_held(), strict=True))
    for query in asked:
        answers += zip(real.ask(query), model.ask(query), strict=True)
    for wanted_rows, found_rows in answers:
        assert without_times(found_rows) == without_times(wanted_rows)
        real.times += [row.timestamp for row in wanted_rows]
        model.times += [row.timestamp for row in found_rows]
    assert times_match(model.times, real.times)


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 9))
def test_times_are_compared_by_order(times: list[int], factor: int) -> None:
    """Stretched times match, and times with one moved past another do not."""
    assert times_match(times, [time * factor + 3 for time in times])
    assert not times_match([*times, 6, 7], [*times, 7, 6])
