"""Requests the ledger's time now and then, also when there is nothing to post.

An idle worker notices an outage this way, and keeps its session: a cluster with more than 64 of
them ends the least recently used. It runs in the ledger's own thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final

from worker.ledger.clock import LedgerClock

PROBE_SECONDS: Final = 1.0
"""How often; one question takes about a millisecond."""


class LedgerProbe:
    """The current request for the ledger's time, or the next one.

    clock: is set by the answers.
    ledger_thread: runs one call at a time.
    now: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        *,
        clock: LedgerClock,
        ledger_thread: Executor,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._ledger_thread = ledger_thread
        self._now = now
        self._requested_at = now()
        self._answer: Future[None] | None = None

    def look(self) -> None:
        """Ask when it is time, and never wait; an outage shows in the ledger's waiting time.

        Raises:
            DependencyUnavailable: the ledger has answered that it refuses us.
        """
        if self._answer is not None:
            if not self._answer.done():
                return
            self._answer.result()
            self._answer = None
        if self._now() - self._requested_at >= PROBE_SECONDS:
            self._requested_at = self._now()
            self._answer = self._ledger_thread.submit(self._clock.ask)
