"""Options that several commands have."""

from __future__ import annotations

import argparse
import time
from typing import Final

from worker.core.iso_times import MILLISECOND, NANOSECONDS
from worker.jobs.times import nanoseconds

SINCE_DAYS: Final = 7
"""How far back topics are read where nobody says it."""


def add_json(parser: argparse.ArgumentParser, what: str = "result", how: str = "") -> None:
    """Declare `--json`.

    what: the command prints.
    how: the end of the help's sentence.
    """
    help_ = f"print the {what} as JSON{how}"
    parser.add_argument("--json", action="store_true", help=help_)


def positive(text: str) -> int:
    """A whole number from 1, as an option's value."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def since_ms(text: str | None) -> int:
    """`--since` in milliseconds since 1970; where it is not given, `SINCE_DAYS` days ago.

    Raises:
        UsageError: it is no time.
    """
    if text:
        return nanoseconds(text, option="--since") // MILLISECOND
    return (time.time_ns() - SINCE_DAYS * 86_400 * NANOSECONDS) // MILLISECOND
