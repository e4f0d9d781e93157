"""A server on a ledger in memory, to which the tests move money as the worker does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jobs.serve.money import Money
from tests.jobs.serve.served import Served, serve


@pytest.fixture
def money() -> Money:
    return Money()


@pytest.fixture
def served(money: Money) -> Iterator[Served]:
    with serve(money.ledger) as served:
        yield served
