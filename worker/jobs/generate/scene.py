"""What a scenario works with: chance, wallets, the time, and a way to say what comes later.

The invariant: scenarios change nothing but the scene they are given. Imports the standard library
and this package only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from worker.jobs.generate.chance import Chance
from worker.jobs.generate.wallets import Wallets

Role = Literal["payments", "settlements", "commands", "treasury"]

PAYMENTS: Final[Role] = "payments"
SETTLEMENTS: Final[Role] = "settlements"
COMMANDS: Final[Role] = "commands"
TREASURY: Final[Role] = "treasury"


class Generated(NamedTuple):
    """One record of the traffic.

    role: of the topic it goes to. key: Kafka's, what must stay in order has the same.
    event: the envelope; bytes where the record is not even JSON.
    note: what it is, for people and for counting: `charge`, `overdraft`, `redelivery: charge`.
    follows: it needs an earlier record of the same key to be first.
    """

    role: Role
    key: bytes
    event: dict[str, Any] | bytes
    note: str
    follows: bool = False


Make = Callable[[], Generated | None]
"""Makes a record when its time has come; None when it cannot happen any more."""


class Scene:
    """The state of the traffic at one record.

    tick: how many records came before. now: whole seconds since 1970. settled: Stripe's balance
    by currency, in minor units.
    """

    def __init__(self, *, chance: Chance, start: int, later: Callable[[int, Make], None]) -> None:
        self.chance = chance
        self.wallets = Wallets(chance)
        self.settled: Counter[str] = Counter()
        self.tick = 0
        self.now = start
        self._later = later

    def later(self, ticks: int, make: Make) -> None:
        """Have a record made so many records from now."""
        self._later(self.tick + ticks, make)

    def advance(self, seconds: int) -> None:
        """One record further, and so many seconds."""
        self.tick += 1
        self.now += seconds
        self.wallets.settle(self.tick)


Scenario = Callable[[Scene], Generated | None]
"""Makes the record of this tick; None when nobody could take part in it now."""
