"""A progress bar on stderr, only where a person watches a terminal.

The invariant: it writes nothing to stdout, and nothing at all where stderr is no terminal. Imports
the standard library only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, TextIO, TypeVar

WIDTH: Final = 40
REDRAW_SECONDS: Final = 0.1
LOOK_EVERY: Final = 64
"""How many items pass between two looks at the clock."""

Item = TypeVar("Item")


def tracked(
    items: Iterable[Item], *, total: int, label: str, stream: TextIO | None = None
) -> Iterator[Item]:
    """The items, with a bar that fills as they pass. stream: stderr unless told."""
    out = stream or sys.stderr
    if not out.isatty():
        yield from items
        return
    drawn = 0.0
    passed = 0
    for passed, item in enumerate(items, start=1):
        yield item
        if passed % LOOK_EVERY == 0 and time.monotonic() - drawn > REDRAW_SECONDS:
            drawn = time.monotonic()
            out.write(bar(passed, total, label))
            out.flush()
    out.write(bar(passed, total, label) + "\n")


def bar(passed: int, total: int, label: str) -> str:
    """The bar as text that overwrites its line."""
    share = min(1.0, passed / total) if total else 1.0
    filled = "█" * int(share * WIDTH)
    return f"\r{label} {filled:·<{WIDTH}} {share:4.0%} {passed:,}/{total:,}"
