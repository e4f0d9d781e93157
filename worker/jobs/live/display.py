"""How a run goes, on one line of a terminal that is written anew: rate, lag, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TextIO

DRAW_SECONDS: Final = 1.0
BAR_WIDTH: Final = 24
CLEAR_LINE: Final = "\r\x1b[K"


class RunDisplay:
    """Draws at most once a second, and nothing where there is no terminal.

    settled: how many events have an outcome. lag: records that the group has not committed; None
        while nobody knows.
    bounded: whether the run ends when the lag of its beginning is gone.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        settled: Callable[[], int],
        lag: Callable[[], int | None],
        bounded: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out if out.isatty() else None
        self._settled = settled
        self._lag = lag
        self._bounded = bounded
        self._now = now
        self._drawn_at = now()
        self._drawn = 0
        self._most = 0

    def draw(self) -> None:
        """Draw, if it is time."""
        now = self._now()
        if self._out is None or now - self._drawn_at < DRAW_SECONDS:
            return
        settled = self._settled()
        rate = (settled - self._drawn) / (now - self._drawn_at)
        self._drawn_at, self._drawn = now, settled
        # The cursor goes back to the beginning, so that a log line is written over it.
        self._out.write(f"{CLEAR_LINE}{self._text(settled, rate)}\r")
        self._out.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._out is not None:
            self._out.write(CLEAR_LINE)
            self._out.flush()

    def _text(self, settled: int, rate: float) -> str:
        lag = self._lag()
        text = f"{settled:,} events, {rate:,.0f}/s"
        if lag is None:
            return text
        self._most = max(self._most, lag)
        if not self._bounded:
            return f"{text}, {lag:,} behind"
        done = 1 - lag / self._most if self._most else 1.0
        left = f", {lag / rate:,.0f} s" if rate and lag else ""
        bar = "━" * round(BAR_WIDTH * done)
        return f"{bar:─<{BAR_WIDTH}} {done:4.0%}  {text}, {lag:,} left{left}"
