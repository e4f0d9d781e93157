"""Amounts as people write them, converted exactly to minor units or refused."""

from __future__ import annotations

import re
from typing import Final

from worker.core.money import AMOUNT_LIMIT

PLAIN: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


class BadAmount(Exception):
    """The text is no amount of its currency; the message says why, and begins with a verb."""


def minor_units(text: str, scale: int) -> int:
    """`12.34` of two digits is 1234. Neither signs nor thousands' separators; no rounding.

    | text      | scale | minor units                          |
    |-----------|-------|--------------------------------------|
    | "12.34"   | 2     | 1234                                 |
    | "12"      | 2     | 1200                                 |
    | "12.340"  | 2     | 1234                                 |
    | "12.345"  | 2     | refused: more digits than the money  |
    | "1,234"   | 0     | refused                              |

    Raises:
        BadAmount: it is no such number, or above 2^63-1 minor units.
    """
    match = PLAIN.fullmatch(text)
    if match is None:
        raise BadAmount("is no plain number like 1234.56: no sign, no separator but one point")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > scale:
        raise BadAmount(f"has more than the {scale} digits after the point that its currency has")
    digits = (whole + fraction.ljust(scale, "0")).lstrip("0") or "0"
    if len(digits) > len(str(AMOUNT_LIMIT)) or int(digits) > AMOUNT_LIMIT:
        raise BadAmount("is above 2^63-1 minor units")
    return int(digits)
