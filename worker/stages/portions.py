"""Portions: how many records are decoded before their bodies are let go.

A decoded body takes up to forty times its bytes (JSON of many empty objects), so a portion is
bounded by bytes as well: one body beyond `BYTES_MAX` is the most that is held at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from worker.core.assignment import Assignment
from worker.core.ports import Record

RECORDS_MAX: Final = 64
"""What is decoded is translated, and its memory free, before it gets cold."""

BYTES_MAX: Final = 262_144
"""Of the values of one portion; a larger record is a portion of its own."""

Taken = Sequence[tuple[Record, Assignment]]


def portions(taken: Taken) -> Iterator[Taken]:
    """All of it, in order, in slices within both limits. Mostly the first limit is met first."""
    for start in range(0, len(taken), RECORDS_MAX):
        portion = taken[start : start + RECORDS_MAX]
        sizes = [len(record.value() or b"") for record, _ in portion]
        if sum(sizes) <= BYTES_MAX:
            yield portion
        else:
            yield from _smaller(portion, sizes)


def _smaller(portion: Taken, sizes: Sequence[int]) -> Iterator[Taken]:
    first = total = 0
    for number, size in enumerate(sizes):
        if number > first and total + size > BYTES_MAX:
            yield portion[first:number]
            first, total = number, 0
        total += size
    yield portion[first:]
