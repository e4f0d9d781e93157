"""Options that several commands have."""

from __future__ import annotations

import argparse

from worker.jobs.reports.basis import BASES, DEFAULT


def add_json(parser: argparse._ActionsContainer, what: str = "result", how: str = "") -> None:
    """Declare `--json`.

    what: the command prints.
    how: the end of the help's sentence.
    """
    help_ = f"print the {what} as JSON{how}"
    parser.add_argument("--json", action="store_true", help=help_)


def add_basis(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare `--by`, with the default that every command has.

    what: the times that it is about.
    """
    parser.add_argument(
        "--by",
        choices=BASES,
        default=DEFAULT,
        help=f"{what} are of the facts, which is the accounting date, or of posting;"
        f" default {DEFAULT}",
    )


def positive(text: str) -> int:
    """A whole number from 1, as an option's value."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)
