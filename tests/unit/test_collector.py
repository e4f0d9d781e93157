"""The garbage collector's settings while a worker runs."""

from __future__ import annotations

import gc
import weakref

from worker import collector


class Ring:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_looked_for_seldom_and_then_as_before() -> None:
    """While a worker runs the first look comes late, without what was there; then as before."""
    before = gc.get_threshold()
    with collector.seldom():
        assert gc.get_threshold()[0] == collector.NEW_OBJECTS_MAX
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_rings_are_still_freed() -> None:
    """What reference counts cannot free goes when enough has come together."""
    with collector.seldom():
        first = weakref.ref(Ring())
        kept = [[] for _ in range(1000)]  # type: list[list[int]]
        assert first() is not None
        for _ in range(collector.NEW_OBJECTS_MAX):
            kept.append([])
            if first() is None:
                break
        assert first() is None
