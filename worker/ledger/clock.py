"""The ledger's time, the same for every worker, whatever the clocks of their machines say.

It measures how long a parked event has waited, because the worker that parks and the one that
resumes may disagree by hours. It never goes back, and goes on between answers and in an outage.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.core.ports import Ledger


class LedgerClock:
    """Known from `ask`, which must come first.

    now_ns: of a clock that never goes back.
    """

    def __init__(self, ledger: Ledger, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._ledger = ledger
        self._now_ns = now_ns
        self._ahead_ns: int | None = None

    def ask(self) -> None:
        """One request, in the ledger's own thread.

        An answer that came late shows too early a time, so the greatest difference counts.
        """
        ahead_ns = self._ledger.time_ns - self._now_ns()
        self._ahead_ns = ahead_ns if self._ahead_ns is None else max(self._ahead_ns, ahead_ns)

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        if self._ahead_ns is None:
            raise RuntimeError("the ledger was not asked for its time yet")
        return (self._now_ns() + self._ahead_ns) // 1_000_000
