"""`run`: the worker.

The invariant: it leaves the group cleanly on SIGTERM and SIGINT, within the grace period, and
never with an outcome committed that was not announced.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Final

import structlog

from worker.config.sections import EMBEDDED
from worker.config.settings import Settings, load_settings
from worker.core import fast_path
from worker.core.ports import Place
from worker.jobs.live import gc_tuning
from worker.jobs.live.compose import Worker, open_worker, with_broker
from worker.kafka.admin import require_topics
from worker.observe.logs import configure_logging

HELP: Final = "read events from Kafka, post them to the ledger, announce what became of them"

GRACE_SECONDS: Final = 20.0
"""How long the ledger may take to answer the batch in flight after a signal to stop."""

COMPILED: Final = not fast_path.__file__.endswith(".py")
"""Are the hot modules compiled (setup.py), as in an image?"""

_log = structlog.get_logger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--drain",
        action="store_true",
        help="stop once the group has committed every input partition to the end seen at the start",
    )
    parser.add_argument(
        "--max-events", type=_positive, default=0, metavar="N", help="stop after N events"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop, drained, or done; then print what became of the events."""
    settings = load_settings(arguments.config)
    configure_logging(level=settings.log.level, format=settings.log.format)
    stop = Stop()
    stop.listen()
    embedded = settings.kafka.bootstrap_servers == EMBEDDED
    with with_broker(settings) as reachable:
        if not embedded:
            require_topics(reachable, reachable.ledger.deadline_seconds)
        with open_worker(
            reachable,
            events_limit=arguments.max_events,
            embedded_broker=embedded,
            stopping_seconds=stop.seconds,
        ) as worker:
            where = {"group": settings.kafka.group_id, "ledger": settings.ledger.addresses}
            _log.info("started", **where, compiled=COMPILED)
            work(worker, stop=stop, drain=arguments.drain, events_limit=arguments.max_events)
            outcomes = dict(sorted(worker.observer.outcomes.items()))
    _log.info("stopped", outcomes=outcomes)
    report(settings, outcomes, as_json=arguments.json)
    return 0


class Stop:
    """Remembers the first signal; a second one ends the process at once."""

    def __init__(self) -> None:
        self.asked = False
        self._asked_at = 0.0

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)

    def seconds(self) -> float:
        """How long ago the first signal came; 0.0 while there was none."""
        return time.monotonic() - self._asked_at if self.asked else 0.0

    def _heard(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._asked_at = time.monotonic()
        self.asked = True


def work(
    worker: Worker,
    *,
    stop: Stop,
    drain: bool = False,
    events_limit: int = 0,
    done: Callable[[], bool] | None = None,
) -> None:
    """Turn the loop until there is a reason to end, and end it in order.

    done: asked before each turn; without it, `drain` says whether there is an end.
    """
    ended = done or (drain_check(worker) if drain else _never)
    pipeline = worker.pipeline
    with gc_tuning.calm(), worker.watchdog.watching():
        while not stop.asked and not ended():
            if events_limit and pipeline.settled >= events_limit:
                break
            worker.probe.look()
            pipeline.step()
        if not pipeline.finish(GRACE_SECONDS):
            _log.warning("ledger_did_not_answer", grace_seconds=GRACE_SECONDS)
            worker.close_ledger()


def _never() -> bool:
    return False


def drain_check(worker: Worker) -> Callable[[], bool]:
    """Has the group committed every input partition to the end seen now?

    The group, not this process: several drain together, and all of them stop.
    """
    marks = worker.source.watermarks()
    ends: Mapping[Place, int] = {
        place: end
        for place, (low, end) in marks.items()
        if end > low and place[0] in worker.inputs  # a parked event has its outcome
    }

    def drained() -> bool:
        if not worker.pipeline.idle:
            return False
        worker.pipeline.commit_tails()
        return worker.source.reached(ends)

    return drained


def report(settings: Settings, outcomes: Mapping[str, int], *, as_json: bool) -> None:
    """What became of the events, for a person or a program."""
    if as_json:
        print(json.dumps({"group": settings.kafka.group_id, "outcomes": outcomes}))  # noqa: T201
        return
    total = sum(outcomes.values())
    told = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in outcomes.items())
    sys.stdout.write(f"{total} events: {told or 'none came'}\n")
