"""Options that several commands have."""

from __future__ import annotations

import argparse


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
