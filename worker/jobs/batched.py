"""Cuts what comes one by one into lists of a certain length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`; the last one may be shorter (Python 3.12 has it)."""
    left = iter(items)
    while portion := list(islice(left, size)):
        yield portion
