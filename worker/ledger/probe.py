"""Asks the ledger now and then whether it answers, also when there is nothing to post.

Without it an idle worker would show ready in an outage, and would be the first whose session a
cluster with more than 64 of them ends, which is the one that was used least recently.

The invariant: it asks in the ledger's own thread, so never beside another request, and changes
nothing. Imports the core and the ports only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final

from worker.core.wire import Account
from worker.ports import Ledger

PROBE_SECONDS: Final = 1.0
"""How often; a lookup of one account takes about a millisecond."""

NOBODY: Final = 0
"""No account has this id."""


class LedgerProbe:
    """A question under way, or the next one.

    ledger_thread: runs one call at a time. now: seconds of a clock that never goes back.
    """

    def __init__(
        self, *, ledger: Ledger, ledger_thread: Executor, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._ledger_thread = ledger_thread
        self._now = now
        self._asked_at = now()
        self._answer: Future[list[Account]] | None = None

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
            self._answer = self._ledger_thread.submit(self._ledger.lookup_accounts, [NOBODY])
