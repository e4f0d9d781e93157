"""The garbage collector and the allocator while a worker runs."""

from __future__ import annotations

import ctypes
import gc
import platform
import weakref

import pytest

from worker.jobs.live import gc_tuning


class Ring:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_looked_for_seldom_and_then_as_before() -> None:
    """While a worker runs the first look comes late, without what was there; then as before."""
    before = gc.get_threshold()
    with gc_tuning.tune_gc():
        assert gc.get_threshold()[0] == gc_tuning.NEW_OBJECTS_MAX
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_rings_are_still_freed() -> None:
    """What reference counts cannot free goes when enough has come together."""
    with gc_tuning.tune_gc():
        first = weakref.ref(Ring())
        kept = [[] for _ in range(1000)]  # type: list[list[int]]
        assert first() is not None
        for _ in range(gc_tuning.NEW_OBJECTS_MAX):
            kept.append([])
            if first() is None:
                break
        assert first() is None


class Mallinfo(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has such bins")
def test_small_pieces_are_merged_at_once() -> None:
    """What is freed does not wait in the bins of small pieces, and afterwards does again."""
    with gc_tuning.tune_gc():
        assert _waiting_after_frees() <= 0
    assert _waiting_after_frees() > 0


def _waiting_after_frees() -> int:
    """How many more pieces wait after a hundred of 40 bytes are given back; a few go elsewhere."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.mallinfo2.restype, libc.mallinfo2.argtypes = Mallinfo, []
    pieces = [libc.malloc(40) for _ in range(100)]
    before = libc.mallinfo2().smblks
    for piece in pieces:
        libc.free(piece)
    return int(libc.mallinfo2().smblks - before)
