"""Amounts: whole minor units, at most 2^63 - 1, and their text in major units. Never a float."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from worker.core.json_kinds import kind_of

AMOUNT_LIMIT: Final = (1 << 63) - 1
"""The largest amount that an event may ask for, in minor units."""

_PLAIN: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


def amount_problem(amount: object, *, signed: bool) -> str:
    """What is wrong with an amount; empty when nothing is. null is not an amount's business."""
    if type(amount) is not int:
        return f"is not a whole number of minor units but {kind_of(amount)}"
    if amount < 0 and not signed:
        return "is negative"
    if abs(amount) > AMOUNT_LIMIT:
        return "is above 2^63-1"
    return ""


class BadAmount(Exception):
    """The text is no amount of its currency; the message says why, and begins with a verb."""


def minor_units(text: str, scale: int, *, signed: bool = False) -> int:
    """An amount as people write it, exactly: no thousands' separators, no rounding.

    signed: a minus may come first.

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
    match = _PLAIN.fullmatch(text.removeprefix("-") if signed else text)
    if match is None:
        raise BadAmount("is no plain number like 1234.56: no sign, no separator but one point")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > scale:
        raise BadAmount(f"has more than the {scale} digits after the point that its currency has")
    digits = (whole + fraction.ljust(scale, "0")).lstrip("0") or "0"
    if len(digits) > len(str(AMOUNT_LIMIT)) or int(digits) > AMOUNT_LIMIT:
        raise BadAmount("is above 2^63-1 minor units")
    return -int(digits) if text.startswith("-") else int(digits)


def major_units(amount: int, scale: int) -> str:
    """An amount of minor units as people write it: (1234, 2) is `12.34`, (-5, 3) `-0.005`."""
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount)).rjust(scale + 1, "0")
    if scale == 0:
        return sign + digits
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


class Currency(NamedTuple):
    """One TigerBeetle ledger.

    scale: minor digits in Stripe's convention (jpy 0, usd 2, kwd 3).
    """

    name: str
    ledger: int
    scale: int
