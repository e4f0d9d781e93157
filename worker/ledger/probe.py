"""Asks the ledger now and then what time it is, also when there is nothing to post.

Without it an idle worker would show ready in an outage, and would be the first whose session a
cluster with more than 64 of them ends, which is the one that was used least recently.

It asks in the ledger's own thread, so never beside another request.
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
    """A question under way, or the next one.

    clock: is set by the answers. ledger_thread: runs one call at a time. now: seconds of a clock
    that never goes back.
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
        self._asked_at = now()
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
        if self._now() - self._asked_at >= PROBE_SECONDS:
            self._asked_at = self._now()
            self._answer = self._ledger_thread.submit(self._clock.ask)
