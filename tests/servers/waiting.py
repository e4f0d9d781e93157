"""Waits for what must come, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 300.0
"""For a machine that is busy: what must come has come by then."""

Found = TypeVar("Found")


def until(look: Callable[[], Found], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """What `look` finds, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {look}"
        time.sleep(0.05)
    return found
