"""Portions: a slice of records is bounded by count and by bytes, and nothing is left out."""

from __future__ import annotations

import random

import pytest

from worker.core.assignment import Assignment
from worker.core.ports import Record
from worker.jobs.archive.records import ArchivedRecord
from worker.stages.portions import BYTES_MAX, RECORDS_MAX, portions

STAY = Assignment("in", 0, "payments", base=1 << 40, until=100, opened=True)


def taken(*sizes: int) -> list[tuple[Record, Assignment]]:
    """Records whose values have these sizes; none for a size below zero."""
    return [
        (ArchivedRecord("in", 0, at, None, None if size < 0 else bytes(size)), STAY)
        for at, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ((), []),
        ((-1,), [1]),
        ((100,) * RECORDS_MAX, [RECORDS_MAX]),
        ((100,) * (RECORDS_MAX + 1), [RECORDS_MAX, 1]),
        ((BYTES_MAX, 1), [1, 1]),
        ((BYTES_MAX // 2, BYTES_MAX // 2, 1), [2, 1]),
        ((980_000,) * 3, [1, 1, 1]),
        ((1, 980_000, 1, 1), [1, 1, 2]),
    ],
)
def test_a_portion_keeps_both_limits(sizes: tuple[int, ...], counts: list[int]) -> None:
    """One record beyond the limit of bytes is a portion of its own."""
    assert [len(portion) for portion in portions(taken(*sizes))] == counts


@pytest.mark.parametrize("seed", range(50))
def test_portions_are_all_of_it_in_order(seed: int) -> None:
    """Whatever the sizes are, and no portion is over a limit that it could have kept."""
    rng = random.Random(seed)
    records = taken(*(rng.choice((-1, 0, 10, 5000, 200_000, 980_000)) for _ in range(200)))
    found = list(portions(records))
    assert [one for portion in found for one in portion] == records
    for portion in found:
        size = sum(len(record.value() or b"") for record, _ in portion)
        assert 1 <= len(portion) <= RECORDS_MAX
        assert size <= BYTES_MAX or len(portion) == 1
