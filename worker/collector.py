"""Python's garbage collector, out of the hot path's way.

The invariant: garbage is still collected, only seldom; nothing but the collector's own settings is
touched. Reference counts free what a batch leaves behind, for nothing on the hot path makes
cycles. The collector would walk the batches in flight again and again: a third of the worker's CPU.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NEW_OBJECTS_MAX: Final = 500_000
"""Containers made and not freed since the last look. Three full batches of two-legged events in
flight hold 300,000; what lies around before a look is about 50 MB."""


@contextmanager
def seldom() -> Iterator[None]:
    """Look for garbage seldom, and never among what was there at the start."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_MAX, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
