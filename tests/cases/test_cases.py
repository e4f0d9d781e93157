"""Stripe's odd sequences, from public reports: in every order of their events the books end right.

A folder is a case: its events in the order of their file names, and `expected.json`: the balances
at the end, each on its account's own side with keys added up, and the types that must be dead.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cases.orders import every_end
from tests.cases.told import TRANSLATOR, Told, decoded
from worker.core.chain import Chain

FOLDER = Path(__file__).parent
CASES = sorted(path.name for path in FOLDER.iterdir() if (path / "expected.json").exists())
AVRO_ORDERS = 20


def bodies(case: str) -> list[dict[str, Any]]:
    """The case's events as Stripe delivers them."""
    paths = sorted((FOLDER / case).glob("[0-9]*.json"))
    return [json.loads(path.read_text()) for path in paths]


def judged(case: str, told: Told) -> None:
    """The end of one order."""
    expected = json.loads((FOLDER / case / "expected.json").read_text())
    assert told.totals() == expected["balances"]
    assert [kind for kind, _ in told.dead] == expected["dead"]
    assert not told.rejected
    assert not told.waiting


@pytest.mark.parametrize("case", CASES)
def test_every_order(case: str) -> None:
    """All orders up to seven events, else 500 of them: clearing is right after each event."""
    assert every_end(decoded(bodies(case)), lambda told: judged(case, told)) > 0


@pytest.mark.parametrize("case", CASES)
def test_from_avro(case: str) -> None:
    """From Avro an event becomes the same chain, and the books end the same."""
    pairs = zip(decoded(bodies(case)), decoded(bodies(case), avro=True), strict=True)
    for event, same in pairs:
        role = "settlements" if event.type.startswith("balance_transaction") else "payments"
        one, other = (TRANSLATOR.translate(each, role=role) for each in (event, same))
        if isinstance(one, Chain) and isinstance(other, Chain):
            assert (one.key, one.legs) == (other.key, other.legs)
        else:
            assert one == other
    for seed in range(AVRO_ORDERS):
        order = decoded(bodies(case), avro=True)
        Random(seed).shuffle(order)
        judged(case, Told().tell_all(order))


@pytest.mark.parametrize("case", CASES)
def test_told_twice(case: str) -> None:
    """Every event told once more, under an id of its own, adds nothing."""
    again = [body | {"id": f"{body['id']}_again"} for body in bodies(case)]
    for seed in range(5):
        order = decoded([*bodies(case), *again])
        Random(seed).shuffle(order)
        told = Told().tell_all(order)
        expected = json.loads((FOLDER / case / "expected.json").read_text())
        assert told.totals() == expected["balances"]
