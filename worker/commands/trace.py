"""`trace`: what became of an event, a Stripe object, a command, a transfer or a record.

Exit 0: something was found. 1: nothing was.
"""

from __future__ import annotations

import argparse

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.jobs.progress import Progress
from worker.jobs.text_tables import write_result
from worker.jobs.times import SINCE_DAYS, since_ms
from worker.jobs.trace.run import open_tracing
from worker.jobs.trace.text import document, lines


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "id",
        metavar="ID",
        help="evt_…, ch_…, txn_…, a command's id, a transfer's id (32 hex digits), or"
        " TOPIC/PARTITION@OFFSET of any topic of the worker's",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="scan topics from this moment on (UTC) for what is not in the ledger; default:"
        f" {SINCE_DAYS} days ago",
    )
    parser.add_argument(
        "--scan",
        action="store_true",
        help="look through the input topics also where the ledger has an answer: finds"
        " redeliveries, and records that moved no money",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        help="a replay's group, as replay --apply prints it: find the records that it posted, too;"
        " may be given again",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Trace one id."""
    settings = load_settings(arguments.config)
    with open_tracing(settings, groups=arguments.group, progress=Progress()) as tracing:
        found = tracing.trace(arguments.id, since_ms=since_ms(arguments.since), scan=arguments.scan)
    write_result(document(found), lines(found), as_json=arguments.json, indent=2)
    return 0 if found.records or found.stray or found.letters else 1
