"""How far long work is, and how long it will take, on stderr.

The invariant: a terminal shows one line that is drawn again; anything else, a Job's log among them,
gets a line a minute, and nothing of work that takes less. Imports the standard library only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TextIO, TypeVar

LOOK_EVERY: Final = 256
REDRAW_SECONDS: Final = 0.5
LOG_SECONDS: Final = 60.0

Item = TypeVar("Item")


class Progress:
    """Passes items on and says how many have passed.

    stream: stderr unless told. log_seconds: between two lines where no terminal is.
    """

    def __init__(self, stream: TextIO | None = None, *, log_seconds: float = LOG_SECONDS) -> None:
        self._out = stream or sys.stderr
        self._log_seconds = log_seconds

    def over(
        self,
        items: Iterable[Item],
        label: str,
        *,
        total: int = 0,
        size: Callable[[Any], int] = lambda _: 1,
    ) -> Iterator[Item]:
        """The items.

        total: how many there may be, 0 when nobody knows. size: as how many an item counts.
        """
        drawn_again = self._out.isatty()
        every = REDRAW_SECONDS if drawn_again else self._log_seconds
        started = drawn = time.monotonic()
        passed = looked = 0
        for item in items:
            yield item
            passed += size(item)
            if passed - looked >= LOOK_EVERY:
                looked = passed
                if time.monotonic() - drawn > every:
                    drawn = time.monotonic()
                    told = line(label, passed, total, drawn - started)
                    self._out.write(f"\r{told}\x1b[K" if drawn_again else f"{told}\n")
                    self._out.flush()
        if drawn_again:
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
