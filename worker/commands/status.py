"""`status`: how the worker's group stands now."""

from __future__ import annotations

import argparse

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.jobs.progress import Progress
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
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the status."""
    settings = load_settings(arguments.config)
    found = status(settings, since_ms=since_ms(arguments.since), progress=Progress())
    write_result(document(found), lines(found), as_json=arguments.json, indent=2)
    return 0
