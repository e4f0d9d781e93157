"""How often one address may try a token in vain before it has to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

FAILURES_MAX: Final = 5
WINDOW_SECONDS: Final = 60.0
ADDRESSES_MAX: Final = 1000
"""Addresses that are remembered; the one that failed longest ago is forgotten first."""

PREFIX_BITS: Final = 64
"""Of an IPv6 address: whoever has one has all below it."""


class LoginAttempts:
    """Counts failures by address within `WINDOW_SECONDS`. Not for several threads.

    now: seconds that never go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: dict[str, list[float]] = {}

    def wait_seconds(self, address: str) -> int:
        """How long this address has to wait before it may try again; 0: not at all."""
        failed = self._recent(_network(address))
        if len(failed) < FAILURES_MAX:
            return 0
        return int(failed[-FAILURES_MAX] + WINDOW_SECONDS - self._now()) + 1

    def failed(self, address: str) -> None:
        """Note that a token was wrong."""
        name = _network(address)
        recent = self._recent(name)
        self._failed.pop(name, None)
        self._failed[name] = [*recent[-FAILURES_MAX:], self._now()]
        while len(self._failed) > ADDRESSES_MAX:
            del self._failed[next(iter(self._failed))]

    def _recent(self, name: str) -> list[float]:
        since = self._now() - WINDOW_SECONDS
        return [moment for moment in self._failed.get(name, ()) if moment > since]


def _network(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return f"{int(found) >> PREFIX_BITS:x}"
    return str(found)
