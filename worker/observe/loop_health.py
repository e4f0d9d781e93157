"""Liveness and readiness of `feed` and `sync`: does the loop go round, and do its work?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from worker.observe.health import ProbeResult

HEARTBEAT_SECONDS_MAX: Final = 60.0


class LoopHealth:
    """What the probes of such a process answer.

    ready: whether it does its work now, and the figures behind that.
    """

    def __init__(
        self,
        ready: Callable[[], tuple[bool, dict[str, Any]]],
        *,
        heartbeat_seconds_max: float = HEARTBEAT_SECONDS_MAX,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ready = ready
        self._most = heartbeat_seconds_max
        self._now = now
        self._beat_at = now()

    def beat(self) -> None:
        """The feed has gone round once more."""
        self._beat_at = self._now()

    def live(self) -> ProbeResult:
        """Has it gone round lately?"""
        age = self._now() - self._beat_at
        return ProbeResult(ok=age <= self._most, fields={"heartbeat_seconds": round(age, 3)})

    def ready(self) -> ProbeResult:
        """Does it do its work now?"""
        ok, figures = self._ready()
        return ProbeResult(ok=ok, fields=figures)
