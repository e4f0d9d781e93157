"""How far long work is, and how long it will take, on stderr where a person watches.

The invariant: it writes nothing where stderr is no terminal. Imports the standard library only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, TextIO, TypeVar

LOOK_EVERY: Final = 256
REDRAW_SECONDS: Final = 0.5

Item = TypeVar("Item")


class Progress:
    """Passes items on and says how many have passed. stream: stderr unless told."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._out = stream or sys.stderr

    def over(self, items: Iterable[Item], label: str, *, total: int = 0) -> Iterator[Item]:
        """The items; total: how many there may be, 0 when nobody knows."""
        if not self._out.isatty():
            yield from items
            return
        started = drawn = time.monotonic()
        passed = 0
        for passed, item in enumerate(items, start=1):
            yield item
            if passed % LOOK_EVERY == 0 and time.monotonic() - drawn > REDRAW_SECONDS:
                drawn = time.monotonic()
                self._out.write(f"\r{line(label, passed, total, drawn - started)}\x1b[K")
                self._out.flush()
        self._out.write(f"\r{line(label, passed, 0, time.monotonic() - started)}\x1b[K\n")


def line(label: str, passed: int, total: int, seconds: float) -> str:
    """`events 12,000/40,000 30% 6,000/s, 5 s left`."""
    rate = passed / seconds if seconds else 0.0
    told = f"{label} {passed:,}"
    if total:
        told += f"/{total:,} {min(passed / total, 1):.0%}"
    told += f" {rate:,.0f}/s"
    if total and rate:
        told += f", {max(total - passed, 0) / rate:,.0f} s left"
    return told
