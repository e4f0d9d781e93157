"""Progress and time left of long work, on stderr: a bar on a terminal, else a line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LOOK_EVERY: Final = 256
"""How many items pass between two looks at the clock."""

REDRAW_SECONDS: Final = 0.2
LOG_SECONDS: Final = 60.0

Item = TypeVar("Item")


class Progress:
    """Passes items on and says how many have passed.

    stream: stderr where none is given.
    log_seconds: between two lines where no terminal is.
    """

    def __init__(self, stream: TextIO | None = None, *, log_seconds: float = LOG_SECONDS) -> None:
        self._out = stream or sys.stderr
        self._log_seconds = log_seconds
        self._bars: Bars | None = None
        self._running = 0

    def over(
        self,
        items: Iterable[Item],
        label: str,
        *,
        total: int = 0,
        size: Callable[[Any], int] = lambda _: 1,
    ) -> Iterator[Item]:
        """The items.

        label: empty shows nothing.
        total: how many there may be, 0 when nobody knows. size: as how many an item counts.
        """
        if not label:
            yield from items
            return
        terminal = self._out.isatty()
        shown = self._bar(label, total) if terminal else self._log(label)
        every = REDRAW_SECONDS if terminal else self._log_seconds
        started = drawn = time.monotonic()
        passed = looked = 0
        ended = False
        try:
            for item in items:
                yield item
                passed += size(item)
                if passed - looked >= LOOK_EVERY:
                    looked = passed
                    if time.monotonic() - drawn > every:
                        drawn = time.monotonic()
                        shown(passed, total, drawn - started)
            ended = True
        finally:
            if terminal:
                shown(passed, passed if ended else total, time.monotonic() - started)
                self._leave()

    def _log(self, label: str) -> Shown:
        def shown(passed: int, total: int, seconds: float) -> None:
            self._out.write(f"{label} {figures(passed, total, seconds)}\n")
            self._out.flush()

        return shown

    def _bar(self, label: str, total: int) -> Shown:
        """A bar below those that are under way already."""
        bars = self._bars = self._bars or _bars(self._out)
        task = bars.add_task(label, total=total or None, figures=figures(0, total, 0.0))
        bars.start()
        self._running += 1

        def shown(passed: int, total: int, seconds: float) -> None:
            text = figures(passed, total, seconds)
            bars.update(task, total=total or None, completed=passed, figures=text, refresh=True)

        return shown

    def _leave(self) -> None:
        """The last bar that is under way ends the display, which stays where it is."""
        self._running -= 1
        if self._bars and not self._running:
            self._bars.stop()
            self._bars = None


Shown = Callable[[int, int, float], None]
"""Takes the items that have passed, how many there may be, and the seconds since the start."""


def _bars(out: TextIO) -> Bars:
    from rich.console import Console  # noqa: PLC0415 - only where something is drawn
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415 - the same
    from rich.progress import Progress as Bars  # noqa: PLC0415 - the same

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(file=out, highlight=False),
        auto_refresh=False,
    )


def figures(passed: int, total: int, seconds: float) -> str:
    """`12,000/40,000 30% 6,000/s, 5 s left`."""
    rate = passed / seconds if seconds else 0.0
    text = f"{passed:,}"
    if total:
        text += f"/{total:,} {min(passed / total, 1):.0%}"
    text += f" {rate:,.0f}/s"
    if total > passed and rate:
        text += f", {(total - passed) / rate:,.0f} s left"
    return text
