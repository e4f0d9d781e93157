"""How many of a thing, in words."""

from __future__ import annotations

import pytest

from worker.core.plural import count_of


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (0, ("record",), "0 records"),
        (1, ("record",), "1 record"),
        (2_000, ("record",), "2,000 records"),
        (1, ("entry", "entries"), "1 entry"),
        (3, ("entry", "entries"), "3 entries"),
    ],
)
def test_one_thing_is_not_many(number: int, nouns: tuple[str, ...], text: str) -> None:
    """The noun is singular for one thing alone, and thousands have commas."""
    assert count_of(number, *nouns) == text
