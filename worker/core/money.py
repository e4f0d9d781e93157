"""Amounts: whole minor units, at most 2^63 - 1, and their text in major units. Never a float."""

from __future__ import annotations

from typing import Final, NamedTuple

from worker.core.json_kinds import kind_of

AMOUNT_LIMIT: Final = (1 << 63) - 1
"""The largest amount that an event may ask for, in minor units."""


def amount_problem(amount: object, *, signed: bool) -> str:
    """What is wrong with an amount; empty when nothing is. null is not an amount's business."""
    if type(amount) is not int:
        return f"is not a whole number of minor units but {kind_of(amount)}"
    if amount < 0 and not signed:
        return "is negative"
    if abs(amount) > AMOUNT_LIMIT:
        return "is above 2^63-1"
    return ""


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
