"""Failure points inside a worker: numbered places of a batch at which its process is hit.

The seam is what the composition root builds: these functions put a counter around methods of the
adapters, and of the loop, before the worker is composed. The worker's own code knows nothing of it.
What is compiled in an image cannot be replaced, and is not.

A hit is written `POINT:COUNT:ACTION`, such as `committing:3:kill`: at the third pass of that point.
`kill` and `stop` are signals; `abort` is an error as the broker gives it; at `ahead` and `behind`
the wall clock of the process jumps. Whoever survives its hit says so on stderr.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from worker.kafka import connection
from worker.kafka.consumer import Consumer
from worker.ledger.counted import CountedLedger
from worker.stages.in_flight import InFlight

VARIABLE = "CHAOS_HIT"
POINTS = (
    "polled",
    "translated",
    "submitting",
    "replied",
    "begun",
    "produced",
    "committing",
    "during_commit",
    "committed",
)
ACTIONS = ("kill", "stop", "abort", "hang", "ahead", "behind")
JUMP_MS = {"ahead": 7_200_000, "behind": -7_200_000}
STRUCK = b"chaos: struck\n"
WITHIN_SECONDS = 0.05


class Hit(NamedTuple):
    """What happens, and when."""

    point: str
    at: int
    action: str

    def text(self) -> str:
        """As the variable holds it."""
        return f"{self.point}:{self.at}:{self.action}"


def parse(text: str) -> Hit:
    """A hit from its text."""
    point, at, action = text.split(":")
    if point not in POINTS or action not in ACTIONS:
        raise ValueError(f"no such hit: {text}")
    return Hit(point, int(at), action)


class Trap:
    """Counts passes, and acts at the one that was asked for; once."""

    def __init__(self, hit: Hit) -> None:
        self._hit = hit
        self._passes = 0
        self.jumped_ms = 0

    def passed(self, point: str) -> None:
        """The worker is at this point now."""
        if point != self._hit.point:
            return
        self._passes += 1
        if self._passes == self._hit.at:
            self._act()

    def under_way(self, point: str) -> None:
        """As `passed`, but a moment later, while the worker goes on."""
        if point != self._hit.point:
            return
        self._passes += 1
        if self._passes == self._hit.at:
            delay = random.uniform(0, WITHIN_SECONDS)
            threading.Thread(target=self._later, args=(delay,), daemon=True).start()

    def _later(self, delay: float) -> None:
        time.sleep(delay)
        self._act()

    def _act(self) -> None:
        if self._hit.action in JUMP_MS:
            self.jumped_ms = JUMP_MS[self._hit.action]
            os.write(2, STRUCK)
            return
        if self._hit.action == "hang":
            threading.Event().wait()  # as a call of the client that never returns
        if self._hit.action == "abort":
            os.write(2, STRUCK)
            raise KafkaException(
                KafkaError(KafkaError._STATE, "chaos", False, False, True)  # noqa: FBT003
            )
        os.kill(os.getpid(), signal.SIGKILL if self._hit.action == "kill" else signal.SIGSTOP)


def set_up(text: str) -> None:
    """Put the trap for this hit around the adapters."""
    trap = Trap(parse(text))
    _after(Consumer, "poll", lambda found: trap.passed("polled" if found.records else ""))
    _after(InFlight, "fill", lambda _: trap.passed("translated"))
    _before(CountedLedger, "create_transfers", lambda: trap.under_way("submitting"))
    _after(CountedLedger, "create_transfers", lambda _: trap.passed("replied"))
    vars(connection)["Producer"] = _producer(trap)
    wall, wall_ns = time.time, time.time_ns
    vars(time)["time"] = lambda: wall() + trap.jumped_ms / 1000
    vars(time)["time_ns"] = lambda: wall_ns() + trap.jumped_ms * 1_000_000


def _before(owner: type, name: str, tell: Callable[[], object]) -> None:
    inner = getattr(owner, name)

    @wraps(inner)
    def called(*arguments: Any, **named: Any) -> Any:
        tell()
        return inner(*arguments, **named)

    setattr(owner, name, called)


def _after(owner: type, name: str, tell: Callable[[Any], object]) -> None:
    inner = getattr(owner, name)

    @wraps(inner)
    def called(*arguments: Any, **named: Any) -> Any:
        found = inner(*arguments, **named)
        tell(found)
        return found

    setattr(owner, name, called)


def _producer(trap: Trap) -> type[Producer]:
    """The client's producer, which tells the trap where it is."""

    class Trapped(Producer):
        def begin_transaction(self, *arguments: Any) -> None:
            super().begin_transaction(*arguments)
            trap.passed("begun")

        def produce(self, *arguments: Any, **named: Any) -> None:
            super().produce(*arguments, **named)
            trap.passed("produced")

        def commit_transaction(self, *arguments: Any) -> None:
            trap.passed("committing")
            trap.under_way("during_commit")
            super().commit_transaction(*arguments)
            trap.passed("committed")

    return Trapped
