"""`status`: how the worker's group stands now."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.jobs.progress import Progress
from worker.jobs.status.metrics import exposition
from worker.jobs.status.reconciled import last_reconciliation
from worker.jobs.status.run import status
from worker.jobs.status.text import document, lines
from worker.jobs.text_tables import write_result
from worker.jobs.times import SINCE_DAYS, since_ms


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="count dead letters and rejections, and look for parked events, from this moment on"
        f" (UTC); default: {SINCE_DAYS} days ago",
    )
    parser.add_argument(
        "--reconciliation",
        type=Path,
        metavar="PATH",
        help="show the last reconciliation too: its report (reconcile --report FILE.json), or the"
        " folder of closed periods",
    )
    parser.add_argument(
        "--metrics",
        action="store_true",
        help="print the result in Prometheus' text format",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the status."""
    settings = load_settings(arguments.config)
    path = arguments.reconciliation
    reconciled = last_reconciliation(path) if path else None
    found = status(settings, since_ms=since_ms(arguments.since), progress=Progress())
    found = found._replace(reconciled=reconciled)
    if arguments.metrics:
        sys.stdout.write(exposition(found))
        return 0
    write_result(document(found), lines(found), as_json=arguments.json, indent=2)
    return 0
