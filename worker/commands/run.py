"""`run`: the worker, until SIGTERM or SIGINT ends it in order, within the grace period."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

import structlog

from worker.commands.options import add_json, positive
from worker.config.settings import Settings, load_settings
from worker.core import translate
from worker.core.visible import without_credentials
from worker.jobs.live.all_dead import AllDead
from worker.jobs.live.compose import open_worker, with_broker
from worker.jobs.live.display import RunDisplay
from worker.jobs.live.drain import drain_check
from worker.jobs.live.posted_types import require_posted_types
from worker.jobs.live.run import never, start_long_run, work
from worker.jobs.live.summary import summary_lines
from worker.jobs.text_tables import write_lines, write_result
from worker.kafka.admin import require_topics
from worker.kafka.topic_reader import open_topic_reader
from worker.rulebooks.load import load
from worker.rulebooks.lock import approved

_STOPPED: Final = (
    "ledger-worker: stopped, because all of the first records of {topic} are dead letters;"
    " `ledger-worker doctor` says why, and `ledger-worker redrive` sends them again"
)

COMPILED: Final = not translate.__file__.endswith(".py")
"""Are the hot modules compiled (setup.py), as in an image?"""

_log = structlog.get_logger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--drain",
        action="store_true",
        help="stop once the group has committed every input partition to the end seen at the start,"
        " and the parked events that were due then",
    )
    parser.add_argument(
        "--max-events", type=positive, default=0, metavar="N", help="stop after N events"
    )
    parser.add_argument(
        "--accept-unlocked",
        action="store_true",
        help="run a rulebook that changed since its lock was written",
    )
    parser.add_argument(
        "--accept-smaller",
        action="store_true",
        help="run a rulebook that no longer books types which the group has posted before",
    )
    parser.add_argument(
        "--stop-if-all-dead",
        type=positive,
        default=0,
        metavar="N",
        help="stop, and exit with 1, when the first N records of a topic are all dead letters",
    )
    add_json(parser, "summary")


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped, drained, or done; then print what became of the events."""
    settings = load_settings(arguments.config)
    rulebook = load(settings.rulebook)
    lock = approved(settings.rulebook, rulebook, accept_unlocked=arguments.accept_unlocked)
    stop = start_long_run(settings)
    embedded = settings.kafka.embedded
    with with_broker(settings) as reachable, ExitStack() as start:
        reader = start.enter_context(open_topic_reader(reachable))
        if not embedded:
            require_topics(reachable, reachable.ledger.deadline_seconds)
            smaller = arguments.accept_smaller
            require_posted_types(reachable, reader, rulebook, accept_smaller=smaller)
        with open_worker(
            reachable,
            events_limit=arguments.max_events,
            embedded_broker=embedded,
            stopping_seconds=stop.seconds,
        ) as worker:
            _log.info(
                "started",
                group=settings.kafka.group_id,
                ledger=without_credentials(settings.ledger.addresses),
                rulebook=rulebook.digest,
                approver=lock.approver if lock else "",
                compiled=COMPILED,
            )
            all_dead = AllDead(worker.observer.outcomes_by_topic, arguments.stop_if_all_dead)
            drained = drain_check(worker, reader) if arguments.drain else never
            start.close()
            display = RunDisplay(
                sys.stderr,
                settled=lambda: sum(worker.observer.outcomes.values()),
                lag=lambda: worker.observer.lag_records,
                bounded=arguments.drain,
            )

            def done() -> bool:
                display.draw()
                return all_dead() or drained()

            work(worker, stop=stop, events_limit=arguments.max_events, done=done)
            display.clear()
            outcomes = dict(sorted(worker.observer.outcomes.items()))
    _log.info("stopped", outcomes=outcomes)
    print_summary(settings, outcomes, as_json=arguments.json)
    if all_dead.topic:
        write_lines(sys.stderr, [_STOPPED.format(topic=all_dead.topic)])
        return 1
    return 0


def print_summary(settings: Settings, outcomes: Mapping[str, int], *, as_json: bool) -> None:
    """What became of the events, for a person or a program."""
    document = {"group": settings.kafka.group_id, "outcomes": outcomes}
    write_result(document, summary_lines(outcomes), as_json=as_json)
