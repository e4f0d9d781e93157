"""Ends the process when a call of its loop never returns.

A client's call can hang for ever, whatever timeout it is given (librdkafka#5456; calls of the Kafka
transaction have a deadline of their own). Only the end of the process ends it: its successor uses
the same transactional id, which aborts the open transaction, and reads from the last commit.

A loop that waits for the ledger or for Kafka is not ended: it beats between its tries, and time in
which the process itself was suspended is not counted.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from worker.core.errors import DependencyUnavailable
from worker.observe.health import Health

LOOK_SECONDS: Final = 1.0
"""How often the heartbeat is looked at."""

SAY_SECONDS: Final = 5.0
"""How long the last line may take: what hangs may be the writing of lines."""

FRAMES_MAX: Final = 12
"""So many calls are named, the innermost first."""

_log = structlog.get_logger(__name__)


class Heartbeat:
    """How long the loop has been silent, counted from look to look.

    A look adds at most twice the usual time: when the process was stopped (SIGSTOP, a machine that
    slept or gave no CPU) the loop could not run, which says nothing about it.
    """

    def __init__(self, *, beats: int, now: float) -> None:
        self._beats = beats
        self._looked_at = now
        self._seconds = 0.0

    def look(self, *, beats: int, now: float) -> float:
        """The seconds up to now; 0.0 when the loop has turned since the last look."""
        passed = min(now - self._looked_at, 2 * LOOK_SECONDS)
        self._seconds = self._seconds + passed if beats == self._beats else 0.0
        self._beats = beats
        self._looked_at = now
        return self._seconds


class Watchdog:
    """Watches the heartbeat while the loop runs.

    limit_seconds: a loop that is silent for longer is hung.
    end: called then with the seconds of silence and the loop's stack.
    """

    def __init__(
        self,
        *,
        health: Health,
        limit_seconds: float,
        end: Callable[[float, str], None] | None = None,
    ) -> None:
        self._health = health
        self._limit_seconds = limit_seconds
        self._end = end or _end_process

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop of this thread, in a thread of its own, for as long as the block runs."""
        over = threading.Event()
        arguments = (over, threading.get_ident())
        watch = threading.Thread(target=self._watch, args=arguments, name="watchdog", daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, over: threading.Event, loop: int) -> None:
        still = Heartbeat(beats=self._health.beats, now=time.monotonic())
        while not over.wait(LOOK_SECONDS):
            seconds = still.look(beats=self._health.beats, now=time.monotonic())
            if seconds > self._limit_seconds:
                self._end(seconds, _where(loop))
                return


def _where(thread: int) -> str:
    """The calls that a thread is in, as file:line function: places in the code, no contents."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to look
    calls = reversed(traceback.extract_stack(frame, FRAMES_MAX)) if frame is not None else ()
    return " < ".join(f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in calls)


def _end_process(seconds: float, where: str) -> None:
    """Say why, and end without a word to Kafka or the ledger: nothing else can be trusted now."""
    last = threading.Thread(target=_say, args=(seconds, where), daemon=True)
    last.start()
    last.join(SAY_SECONDS)
    os._exit(DependencyUnavailable.exit_code)


def _say(seconds: float, where: str) -> None:
    _log.critical(
        "loop_hung",
        why="a call of the loop did not return: the process ends, and the next one goes on from"
        " the last commit",
        seconds=round(seconds),
        where=where,
    )
