"""`status`: how the worker's group stands now."""

from __future__ import annotations

import argparse
import sys

from worker.commands.options import SINCE_DAYS, since_ms
from worker.config.settings import load_settings
from worker.jobs.progress import Progress
from worker.jobs.status.run import status
from worker.jobs.status.text import document, lines
from worker.jobs.text_tables import write_document, write_lines


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="count dead letters and rejections, and look for parked events, from this moment on"
        f" (UTC); default: {SINCE_DAYS} days ago",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the status."""
    settings = load_settings(arguments.config)
    found = status(settings, since_ms=since_ms(arguments.since), progress=Progress())
    if arguments.json:
        write_document(sys.stdout, document(found), indent=2)
    else:
        write_lines(sys.stdout, lines(found))
    return 0
