"""The traffic: scenarios by chance, what follows from them later, redelivery and disorder.

The same seed gives the same records for ever, and fewer records are the beginning of more. What
follows a record comes after it under the same key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import heappop, heappush
from itertools import count, islice
from typing import Final

from worker.jobs.generate.chance import Chance
from worker.jobs.generate.commands import exchange, overdraft, p2p, split_bill, withdrawal
from worker.jobs.generate.payments import authorized_charge, charge, unbooked
from worker.jobs.generate.platform import connect, fee, payout, reserve, topup
from worker.jobs.generate.poison import poison
from worker.jobs.generate.scene import (
    COMMANDS,
    PAYMENTS,
    SETTLEMENTS,
    TREASURY,
    Generated,
    Make,
    Role,
    Scenario,
    Scene,
)
from worker.jobs.generate.stripe_balance import StripeRow

ROLES: Final[frozenset[Role]] = frozenset({PAYMENTS, SETTLEMENTS, COMMANDS, TREASURY})
ON_TIME: Final[frozenset[Role]] = frozenset({COMMANDS, TREASURY})
"""Roles whose records are never put off: the app writes them in order."""

START: Final = 1_767_225_600
"""2026-01-01T00:00:00Z."""

LATE: Final = "late: "
AGAIN: Final = "redelivery: "

SECONDS_BETWEEN_MOST: Final = 8
REDELIVERED_PER_MILLE: Final = 12
REDELIVERED_TICKS: Final = (1, 400)
LATE_PER_MILLE: Final = 40
LATE_TICKS: Final = (1, 30)

SCENARIOS: Final[tuple[tuple[Scenario, int], ...]] = (
    (charge, 380),
    (p2p, 300),
    (withdrawal, 90),
    (split_bill, 70),
    (unbooked, 60),
    (authorized_charge, 30),
    (exchange, 20),
    (fee, 10),
    (connect, 10),
    (payout, 8),
    (topup, 3),
    (reserve, 3),
    (overdraft, 6),
)
"""What happens, and how often. New rules add their scenarios here."""

POISON_EVERY: Final = 241
POISON_FIRST: Final = 60
OVERDRAFT_FIRST: Final = 50
REDELIVERY_FIRST: Final = 40
"""The ticks that even the shortest traffic has one of each at."""


def generate(
    events: int, seed: int, *, start: int = START, roles: Collection[str] = ROLES
) -> Iterator[Generated]:
    """So many records. start: whole seconds since 1970 of the first.

    roles: those that somebody reads; records of others are left out, and others come instead.
    """
    return islice(Traffic(seed=seed, start=start, roles=roles), events)


class Traffic:
    """The traffic of one seed, without end, and Stripe's balance in it."""

    def __init__(self, *, seed: int, start: int = START, roles: Collection[str] = ROLES) -> None:
        self._chance = Chance(seed)
        self._due: list[tuple[int, int, Make]] = []
        self._order = count()
        self._redelivered = False
        self._roles = roles
        self._told: set[str] = set()
        self._scene = Scene(chance=self._chance, start=start, later=self._later)

    def _later(self, tick: int, make: Make) -> None:
        heappush(self._due, (tick, next(self._order), make))

    def __iter__(self) -> Iterator[Generated]:
        while True:
            made = self._next()
            if made is not None:
                self._scene.advance(self._chance.below(SECONDS_BETWEEN_MOST + 1))
                if made.role in self._roles:
                    self._note_told(made)
                    yield made

    def stripe_rows(self) -> Iterator[StripeRow]:
        """What Stripe's report has of the records so far; its end is where the feed lags."""
        return self._scene.stripe.rows(self._told)

    def _note_told(self, made: Generated) -> None:
        if made.role == SETTLEMENTS and isinstance(made.event, dict):
            self._told.add(made.event["data"]["object"]["id"])

    def _next(self) -> Generated | None:
        """The record of this tick; None when it is put off."""
        tick = self._scene.tick
        if tick % POISON_EVERY == POISON_FIRST:
            return poison(self._scene, tick // POISON_EVERY)
        made = self._first_overdraft() or self._due_now() or self._happening()
        if made.note.startswith((LATE, AGAIN)):
            return made
        self._redeliver(made)
        return None if self._delay(made) else made

    def _first_overdraft(self) -> Generated | None:
        return overdraft(self._scene) if self._scene.tick == OVERDRAFT_FIRST else None

    def _due_now(self) -> Generated | None:
        if self._due and self._due[0][0] <= self._scene.tick:
            return heappop(self._due)[2]()
        return None

    def _happening(self) -> Generated:
        """Something new; a charge where nobody has the money for what was to happen."""
        scenario = self._chance.pick_weighted(SCENARIOS)
        return scenario(self._scene) or charge(self._scene)

    def _redeliver(self, made: Generated) -> None:
        """Sometimes have it come again, the same bytes, perhaps by another partition."""
        again = made._replace(note=AGAIN + made.note)
        if self._scene.tick >= REDELIVERY_FIRST and not self._redelivered:
            self._redelivered = True
            self._later(self._scene.tick + 1, lambda: again)
        elif self._chance.happens(REDELIVERED_PER_MILLE):
            if not made.follows and isinstance(made.event, dict) and self._chance.happens(500):
                again = again._replace(key=str(made.event["id"]).encode())
            ticks = self._chance.between(*REDELIVERED_TICKS)
            self._later(self._scene.tick + ticks, lambda: again)

    def _delay(self, made: Generated) -> bool:
        """Sometimes put it off, so that it comes after what happened later."""
        if made.role in ON_TIME or not self._chance.happens(LATE_PER_MILLE):
            return False
        late = made._replace(note=LATE + made.note)
        self._later(self._scene.tick + self._chance.between(*LATE_TICKS), lambda: late)
        return True
