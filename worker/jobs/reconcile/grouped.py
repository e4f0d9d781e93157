"""Amounts as accountants read them."""

from __future__ import annotations

from html import escape


def grouped(amount: str) -> str:
    """An amount with separators of thousands: `-1,234,567.89`."""
    sign = "-" if amount.startswith("-") else ""
    whole, point, part = amount.removeprefix("-").partition(".")
    if not whole.isdigit():
        return escape(amount)
    return f"{sign}{int(whole):,}{point}{part}"
