"""What a run does: a seed's workload, its workers, and the faults that hit them.

A plan is plain data, so that a failing one can be printed, made smaller, and run again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

from tests.chaos.points import POINTS, Hit

LEDGER: Final = ("ledger_pause", "ledger_restart", "ledger_hole", "ledger_deaf", "ledger_cut")
COORDINATOR: Final = ("coordinator_moved", "coordinator_killed")
KAFKA: Final = ("broker_restart", *COORDINATOR)
READER: Final = "reader_restart"

OUTSIDE: Final = (
    "kill",
    "terminate",
    "freeze",
    "add_worker",
    "other_batches",
    *LEDGER,
    *KAFKA,
    "wrong_cluster",
    READER,
)
"""Faults from outside; the rest hit a point inside a worker."""

AFTER: Final = ("new_group", "reset_offsets")
"""What is done when all has been posted, and must change nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    kind: one of OUTSIDE, or a hit's text. at: when, as the share of the events whose outcome is
    announced; a hit comes with a worker's start instead. seconds: how long it lasts.
    """

    kind: str
    at: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """One run. workers: how many at first. after: from AFTER."""

    seed: int
    events: int
    workers: int
    faults: tuple[Fault, ...]
    after: tuple[str, ...] = ()

    def strikes(self, *kinds: str) -> bool:
        """Is every fault of one of these kinds?"""
        return all(fault.kind in kinds for fault in self.faults)

    @property
    def brokers(self) -> int:
        """How many it takes."""
        return 2 if any(fault.kind in COORDINATOR for fault in self.faults) else 1

    def text(self) -> str:
        """As JSON, on one line."""
        return json.dumps(asdict(self))

    def smaller(self) -> Iterator[ChaosPlan]:
        """The plans with one fault less, and with nothing after."""
        if self.after:
            yield replace(self, after=())
        for number in range(len(self.faults)):
            yield replace(self, faults=self.faults[:number] + self.faults[number + 1 :])


def plan_from(text: str) -> ChaosPlan:
    """A plan from its JSON."""
    found = json.loads(text)
    faults = tuple(Fault(**one) for one in found.pop("faults"))
    return ChaosPlan(**found | {"faults": faults, "after": tuple(found["after"])})


def every_fault() -> tuple[str, ...]:
    """Each kind of fault, by the name that a result calls it."""
    hits = tuple(f"{point}:{action}" for point in POINTS for action in ("kill", "stop"))
    jumps = ("polled:ahead", "polled:behind")
    return (*OUTSIDE, *hits, "committing:abort", *jumps, *AFTER)


def alone(kind: str, *, seed: int, events: int) -> ChaosPlan:
    """A plan with one kind of fault, twice."""
    rng = random.Random(f"{seed} {kind}")
    if kind in AFTER:
        return ChaosPlan(seed, events, 2, (), (kind,))
    faults = tuple(_fault(kind, rng, events) for _ in range(2))
    return ChaosPlan(seed, events, 2, faults)


def mix(seed: int, *, events: int, faults: int) -> ChaosPlan:
    """A plan with faults of many kinds."""
    rng = random.Random(seed)
    kinds = [rng.choice(every_fault()) for _ in range(faults)]
    return ChaosPlan(
        seed,
        events,
        rng.randint(2, 3),
        tuple(_fault(kind, rng, events) for kind in kinds if kind not in AFTER),
        tuple(dict.fromkeys(kind for kind in kinds if kind in AFTER)),
    )


def _fault(kind: str, rng: random.Random, events: int) -> Fault:
    if kind in OUTSIDE:
        return Fault(kind, round(rng.uniform(0.02, 0.9), 3), round(rng.uniform(1, 12), 1))
    point, action = kind.split(":")
    passes = events // 8 if point == "produced" else 6
    hit = Hit(point, rng.randint(1, max(1, passes)), action)
    return Fault(hit.text(), 0.0, round(rng.uniform(1, 12), 1))
