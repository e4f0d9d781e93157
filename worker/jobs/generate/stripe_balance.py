"""Stripe's balance: every movement is one balance transaction of the settlement feed.

A payout takes all that waits in its currency, so its rows add up to zero, its own included.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple


class StripeRow(NamedTuple):
    """A balance transaction, and the payout that took it.

    payout: its id, "" while it waits.
    paid_at: whole seconds since 1970, 0 while it waits.
    """

    settled: dict[str, Any]
    payout: str
    paid_at: int


class StripeBalance:
    """All balance transactions, in the order that Stripe made them."""

    def __init__(self) -> None:
        self._made: list[dict[str, Any]] = []
        self._waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._paid_by: dict[str, str] = {}

    def add(self, settled: dict[str, Any]) -> None:
        """Move the balance."""
        self._made.append(settled)
        self._waiting[settled["currency"]].append(settled)

    def waiting(self, currency: str) -> int:
        """What a payout would take now, in minor units."""
        return sum(settled["net"] for settled in self._waiting[currency])

    def pay_out(self, currency: str, payout: str) -> None:
        """Put all that waits in a currency, the payout's own row among it, into the payout."""
        for settled in self._waiting.pop(currency, ()):
            self._paid_by[settled["id"]] = payout

    def rows(self, reported: Collection[str]) -> Iterator[StripeRow]:
        """The rows that the feed has reported: the content of a report at that moment.

        A payout is known once all its rows were reported; until then all of them wait.
        """
        whole = [settled for settled in self._made if settled["id"] in reported]
        unfinished = {
            self._paid_by.get(settled["id"])
            for settled in self._made
            if settled["id"] not in reported
        }
        paid_at = {
            settled["source"]: settled["created"]
            for settled in whole
            if settled["reporting_category"] == "payout" and settled["source"] not in unfinished
        }
        for settled in whole:
            payout = self._paid_by.get(settled["id"], "")
            known = payout in paid_at
            yield StripeRow(settled, payout if known else "", paid_at.get(payout, 0))
