"""Settings of Python's garbage collector and the C allocator for the hot path.

Reference counts free every batch, for nothing on the hot path makes cycles; the collector would
cost a third of the worker's CPU. glibc keeps small freed pieces, thousands of them from Kafka's
messages, and merges them at each large request: a thirtieth of the CPU.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NEW_OBJECTS_MAX: Final = 500_000
"""Containers made and not freed since the last look. Three full batches of two-legged events in
flight hold 300,000; what lies around before a look is about 50 MB."""

M_MXFAST: Final = 1
"""mallopt(3): the largest piece, in bytes, that goes into the bins of small pieces."""
MXFAST_DEFAULT: Final = 64 * ctypes.sizeof(ctypes.c_size_t) // 4


@contextmanager
def tune_gc() -> Iterator[None]:
    """Look for garbage seldom and never among what was there at the start; merge at once."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_MAX, *before[1:])
    _set_mxfast(0)
    try:
        yield
    finally:
        _set_mxfast(MXFAST_DEFAULT)
        gc.set_threshold(*before)
        gc.unfreeze()


def _set_mxfast(size_bytes: int) -> None:
    """Where the C library is not glibc there is nothing to set."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MXFAST, size_bytes)
