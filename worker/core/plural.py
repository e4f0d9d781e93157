"""How many of a thing, in words."""

from __future__ import annotations


def count_of(number: int, noun: str, nouns: str = "") -> str:
    """`1 record`, `2,000 records`.

    nouns: the plural, where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
