"""`accounts`: the chart of accounts that the rulebook declares, for people and for copies."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from typing import Final

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.core.rulebook import Rulebook
from worker.core.visible import defused
from worker.jobs.text_tables import Column, write_json, write_table
from worker.rulebooks.load import load

COLUMNS: Final = (
    Column("code", "code", 4),
    Column("account", "account", 20),
    Column("type", "type", 9),
    Column("normal_side", "side", 6),
    Column("per", "one per", 10),
    Column("title", "title", 20),
)
FIELDS: Final = ("account", "code", "title", "type", "normal_side", "per")
"""In the order of `schemas/redshift/07_chart.sql`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print it as CSV, for a copy's table")
    add_json(forms)


def run(arguments: argparse.Namespace) -> int:
    """Print every declared account in the order of its code."""
    rows = _rows(load(load_settings(arguments.config).rulebook))
    if arguments.json:
        write_json(sys.stdout, {}, "accounts", rows)
    elif arguments.csv:
        out = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
        out.writeheader()
        out.writerows(row | {"title": defused(str(row["title"]))} for row in rows)
    else:
        write_table(sys.stdout, COLUMNS, rows)
    return 0


def _rows(rulebook: Rulebook) -> Iterator[dict[str, str | int]]:
    for declared in sorted(rulebook.accounts.values(), key=lambda account: account.code):
        yield {
            "account": declared.name,
            "code": declared.code,
            "title": declared.title,
            "type": declared.type,
            "normal_side": "debit" if declared.debit_normal else "credit",
            "per": declared.per,
        }
