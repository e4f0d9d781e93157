"""How often in a row a transaction was aborted for one reason: then to try again does not help."""

from __future__ import annotations

from typing import Final

STUCK_AFTER: Final = 3
"""So many aborts for one reason without a commit between them, and the worker is not ready."""


class RepeatedAborts:
    """Counts the latest aborts that had the same reason.

    count: 0 after a commit.
    """

    def __init__(self) -> None:
        self.count = 0
        self._reason = ""

    def aborted(self, reason: str) -> None:
        """Count one more."""
        self.count = self.count + 1 if reason == self._reason else 1
        self._reason = reason

    def committed(self) -> None:
        """Start over: a transaction was committed."""
        self.count, self._reason = 0, ""

    @property
    def stuck(self) -> str:
        """Why no transaction ends; empty while one may."""
        if self.count < STUCK_AFTER:
            return ""
        return f"a transaction was aborted {self.count} times for {self._reason}"
