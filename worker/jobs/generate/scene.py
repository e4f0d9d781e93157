"""A scenario's surroundings: chance, wallets, Stripe's balance, the time, and later events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.generate.chance import Chance
from worker.jobs.generate.stripe_balance import StripeBalance
from worker.jobs.generate.wallets import Wallets

Role = Literal["payments", "settlements", "commands", "treasury"]

PAYMENTS: Final[Role] = "payments"
SETTLEMENTS: Final[Role] = "settlements"
COMMANDS: Final[Role] = "commands"
TREASURY: Final[Role] = "treasury"

SELLERS: Final = 5
ACCOUNT_ID_LENGTH: Final = len("acct_1032D82eZvKYlo2C")

FEED: Final = "balance_transaction.created"
FEED_TICKS: Final = (5, 120)


class Generated(NamedTuple):
    """One record of the traffic.

    role: of its topic.
    key: Kafka's; records that must stay in order share it.
    event: the envelope; bytes where the record is not even JSON.
    note: what it is, for people and for counting: `charge`, `overdraft`, `redelivery: charge`.
    follows: an earlier record of the same key must come first.
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

    tick: how many records came before.
    now: whole seconds since 1970.
    sellers: connected accounts.
    """

    def __init__(self, *, chance: Chance, start: int, later: Callable[[int, Make], None]) -> None:
        self.chance = chance
        self.wallets = Wallets(chance)
        self.stripe = StripeBalance()
        self.sellers = [chance.new_id("acct")[:ACCOUNT_ID_LENGTH] for _ in range(SELLERS)]
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

    def event(  # noqa: PLR0913 - one argument per part
        self,
        role: Role,
        kind: str,
        about: dict[str, Any],
        *,
        key: str,
        note: str,
        previous: dict[str, Any] | None = None,
        version: str = shapes.API_VERSION,
    ) -> Generated:
        """A Stripe event of now. previous: what the object was before. version: of the API."""
        made = shapes.envelope(
            event_id=self.chance.new_id("evt"), kind=kind, created=self.now, about=about
        )
        made["api_version"] = version
        if previous is not None:
            made["data"]["previous_attributes"] = previous
        return Generated(role, key.encode(), made, note)

    def settled(  # noqa: PLR0913 - one argument per part
        self,
        source: dict[str, Any] | None,
        *,
        category: str,
        kind: str,
        amount: int,
        currency: str,
        fees: Sequence[tuple[str, int]] = (),
    ) -> dict[str, Any]:
        """Move Stripe's balance now; the balance transaction, which names its source.

        amount: signed minor units. fees: kind and minor units of each.
        """
        made = shapes.balance_transaction(
            txn_id=self.chance.new_id("txn"),
            category=category,
            kind=kind,
            amount=amount,
            fees=fees,
            currency=currency,
            created=self.now,
            source=source["id"] if source else None,
        )
        self.stripe.add(made)
        return made

    def settle(  # noqa: PLR0913 - one argument per part
        self,
        source: dict[str, Any],
        *,
        category: str,
        kind: str,
        amount: int,
        fees: Sequence[tuple[str, int]] = (),
        ticks: tuple[int, int] = FEED_TICKS,
    ) -> dict[str, Any]:
        """The same, and the feed reports it later, with its source as it is now."""
        made = self.settled(
            source,
            category=category,
            kind=kind,
            amount=amount,
            currency=source["currency"],
            fees=fees,
        )
        row = {**made, "source": dict(source)}
        self.later(self.chance.between(*ticks), lambda: self.feed(row))
        return made

    def feed(self, row: dict[str, Any]) -> Generated:
        """The settlement feed reports a balance transaction."""
        note = f"{row['reporting_category'].replace('_', ' ')} settled"
        return self.event(SETTLEMENTS, FEED, row, key=row["id"], note=note)


Scenario = Callable[[Scene], Generated | None]
"""Makes the record of this tick; None when nobody could take part in it now."""
