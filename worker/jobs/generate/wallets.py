"""A model of who has a wallet and how much is in it, as far as the traffic so far says.

A spend uses only money that came in `SETTLING_TICKS` records ago or earlier, so that a worker which
reads roughly in order rejects none of it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from worker.jobs.generate.chance import Chance

SETTLING_TICKS: Final = 100
"""How many records later what came in may be spent."""

NEWCOMER_PER_MILLE: Final = 60
"""How often a charge brings a new customer."""

CUSTOMERS_AT_FIRST: Final = 8
"""So many of each currency are new before anyone comes back."""

SPENDER_TRIES: Final = 6

CURRENCIES: Final = (("usd", 70), ("eur", 15), ("gbp", 8), ("jpy", 7))


class Wallets:
    """The customers by currency, and what each may spend, in minor units."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._customers: dict[str, list[str]] = defaultdict(list)
        self._spendable: dict[tuple[str, str], int] = defaultdict(int)
        self._settling: deque[tuple[int, str, str, int]] = deque()

    def currency(self) -> str:
        """A currency, by how common it is here."""
        return self._chance.pick_weighted(CURRENCIES)

    def payer(self, currency: str) -> str:
        """The customer of a charge: often one who is known, sometimes a new one."""
        known = self._customers[currency]
        if len(known) < CUSTOMERS_AT_FIRST or self._chance.happens(NEWCOMER_PER_MILLE):
            known.append(self._chance.new_id("cus"))
            return known[-1]
        return self._chance.pick(known)

    def other(self, currency: str, *, than: set[str]) -> str | None:
        """A known customer who is none of these; None when a few tries find nobody."""
        for _ in range(SPENDER_TRIES):
            found = self._chance.pick(self._customers[currency])
            if found not in than:
                return found
        return None

    def spender(self, currency: str, least: int) -> str | None:
        """A customer with at least so much to spend; None when a few tries find nobody."""
        known = self._customers[currency]
        for _ in range(SPENDER_TRIES if known else 0):
            found = self._chance.pick(known)
            if self._spendable[found, currency] >= least:
                return found
        return None

    def spendable(self, customer: str, currency: str) -> int:
        """What the customer may spend."""
        return self._spendable[customer, currency]

    def spend(self, customer: str, currency: str, amount: int) -> None:
        """Take what was spent."""
        self._spendable[customer, currency] -= amount

    def receive(self, customer: str, currency: str, amount: int, *, tick: int) -> None:
        """Note what came in at this tick, to be spent later."""
        self._settling.append((tick + SETTLING_TICKS, customer, currency, amount))

    def settle(self, tick: int) -> None:
        """Make spendable what came in long enough ago."""
        while self._settling and self._settling[0][0] <= tick:
            _, customer, currency, amount = self._settling.popleft()
            self._spendable[customer, currency] += amount
