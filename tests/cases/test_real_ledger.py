"""The cases on a real TigerBeetle server: the books end there as they do on the embedded ledger."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.cases.test_cases import CASES, bodies
from tests.cases.told import Told, decoded
from tests.servers.tigerbeetle import TigerBeetleUnavailable, tigerbeetle_server
from worker.core.errors import UsageError
from worker.core.ports import Ledger
from worker.ledger.open import open_ledger

pytestmark = pytest.mark.tigerbeetle

DEADLINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A server of their own: the cases share accounts, and each is measured by what it adds."""
    try:
        with tigerbeetle_server(data_dir=tmp_path_factory.mktemp("cases")) as address:
            opened = open_ledger(addresses=address, cluster_id=0, deadline_seconds=DEADLINE_SECONDS)
            yield opened
            opened.close()
    except (TigerBeetleUnavailable, UsageError) as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("case", CASES)
def test_a_case_ends_as_on_the_embedded_ledger(ledger: Ledger, case: str) -> None:
    """In some order, each account moves by the same amount on both."""
    order = decoded(bodies(case))
    Random(case).shuffle(order)
    embedded = Told().tell_all(order)
    real = Told(ledger=ledger)
    before = real.totals()
    for event in order:
        real.tell(event)
    real.tell_waiting()
    after = real.totals()
    moved = {name: after.get(name, 0) - before.get(name, 0) for name in {*before, *after}}
    assert {name: amount for name, amount in moved.items() if amount} == embedded.totals()
    assert (real.dead, real.rejected) == (embedded.dead, embedded.rejected)
