"""`balances`: what each account holds now, read from the ledger."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.core.plural import count_of
from worker.jobs.reports.balances import balances
from worker.jobs.text_tables import Column, write_json, write_lines, write_table
from worker.ledger.books import open_named_ledger

COLUMNS: Final = (
    Column("account", "account", 22),
    Column("key", "key", 24),
    Column("currency", "ccy", 3),
    Column("debits", "debits", 16, right=True),
    Column("credits", "credits", 16, right=True),
    Column("debits_pending", "pending debits", 14, right=True),
    Column("credits_pending", "pending credits", 14, right=True),
    Column("balance", "balance", 16, right=True),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "account",
        nargs="?",
        default="",
        metavar="ACCOUNT",
        help="only this account of the rulebook (default: all)",
    )
    parser.add_argument(
        "key",
        nargs="?",
        default="",
        metavar="KEY",
        help="only this member of a family, as a customer's id",
    )
    parser.add_argument("--currency", default="", metavar="CUR", help="only this currency, as usd")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the balances."""
    with open_named_ledger(load_settings(arguments.config)) as books:
        rows = (
            balance.fields()
            for balance in balances(
                books,
                account=arguments.account,
                key=arguments.key,
                currency=arguments.currency,
            )
        )
        if arguments.json:
            write_json(sys.stdout, {}, "accounts", rows)
            return 0
        count = write_table(sys.stdout, COLUMNS, rows)
        write_lines(sys.stdout, [f"{count_of(count, 'account')}, amounts in major units"])
    return 0
