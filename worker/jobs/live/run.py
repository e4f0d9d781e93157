"""Runs the worker until it is stopped, or has done what it was started for."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog

from worker.config.settings import Settings
from worker.jobs.live import gc_tuning
from worker.jobs.live.compose import Worker
from worker.observe.logs import configure_logging

GRACE_SECONDS: Final = 20.0
"""How long the ledger may take to answer the batch in flight after a signal to stop."""

_log = structlog.get_logger(__name__)


class Stop:
    """Remembers the first signal; a second one ends the process at once."""

    def __init__(self) -> None:
        self.requested = False
        self._requested_at = 0.0

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def seconds(self) -> float:
        """How long ago the first signal came; 0.0 while there was none."""
        return time.monotonic() - self._requested_at if self.requested else 0.0

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.requested:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._requested_at = time.monotonic()
        self.requested = True


def start_long_run(settings: Settings) -> Stop:
    """How a command that runs long begins: log as set, and end in order when a signal comes."""
    configure_logging(level=settings.log.level, format=settings.log.format)
    stop = Stop()
    stop.listen()
    return stop


def never() -> bool:
    """There is no end but a signal."""
    return False


def work(
    worker: Worker,
    *,
    stop: Stop,
    done: Callable[[], bool] = never,
    events_limit: int = 0,
) -> None:
    """Run the loop until there is a reason to end, and end it in order.

    done: called before each round.
    """
    pipeline = worker.pipeline
    with gc_tuning.tune_gc(), worker.watchdog.watching():
        while not stop.requested and not done():
            if events_limit and pipeline.settled >= events_limit:
                break
            worker.probe.look()
            pipeline.step()
        if not pipeline.finish(GRACE_SECONDS):
            _log.warning("ledger_did_not_answer", grace_seconds=GRACE_SECONDS)
            worker.close_ledger()
