"""Chance from a seed, the same for ever, and ids that look like Stripe's.

Only `random.Random.random()` is used, the one method whose sequence Python promises to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import Final, TypeVar

BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAIRS: Final = [first + second for first in BASE62 for second in BASE62]
SEED_CHARACTERS: Final = 12
NUMBER_CHARACTERS: Final = 6
TAIL_CHARACTERS: Final = 6

Item = TypeVar("Item")


class Chance:
    """A stream of choices made by one seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random  # noqa: S311 - traffic, not secrets
        hashed = blake2b(str(seed).encode(), digest_size=8).digest()
        self._seed_text = base62(int.from_bytes(hashed, "big"), SEED_CHARACTERS)[1:]
        self._numbered = 0

    def below(self, limit: int) -> int:
        """A whole number, 0…limit−1."""
        return int(self._random() * limit)

    def between(self, least: int, most: int) -> int:
        """A whole number, least…most."""
        return least + self.below(most - least + 1)

    def happens(self, per_mille: int) -> bool:
        """True so many times in a thousand."""
        return self._random() * 1000 < per_mille

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items, each as likely."""
        return items[self.below(len(items))]

    def pick_weighted(self, items: Sequence[tuple[Item, int]]) -> Item:
        """One of the items, by their weights."""
        left = self.below(sum(weight for _, weight in items))
        for item, weight in items:
            left -= weight
            if left < 0:
                return item
        raise ValueError("the weights must be positive")

    def token_bytes(self, count: int) -> bytes:
        """So many bytes of noise."""
        return bytes(self.below(256) for _ in range(count))

    def new_id(self, prefix: str) -> str:
        """An id never given before by this seed, nor by another: `ch_1…`, 24 characters after `_`.

        Like Stripe's it holds what tells accounts apart (here the seed) and grows.
        """
        self._numbered += 1
        number = base62(self._numbered, NUMBER_CHARACTERS)
        tail = base62(self.below(62**TAIL_CHARACTERS), TAIL_CHARACTERS)
        return f"{prefix}_1{number}{self._seed_text}{tail}"


def base62(number: int, width: int) -> str:
    """A number in digits and letters, padded on the left to an even width."""
    pairs = []
    for _ in range(width // 2):
        number, pair = divmod(number, len(PAIRS))
        pairs.append(PAIRS[pair])
    return "".join(reversed(pairs))
