"""`statement`: one account's transfers between two balances."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.core.errors import UsageError
from worker.core.iso_times import iso_time
from worker.core.money import major_units
from worker.core.plural import count_of
from worker.jobs.reports.balances import stored_accounts
from worker.jobs.reports.statement import Statement, StatementLine, statement
from worker.jobs.text_tables import TITLE, Column, Styled, write_json, write_lines, write_table
from worker.jobs.times import time_range
from worker.ledger.books import NamedLedger, open_named_ledger

COLUMNS: Final = (
    Column("at", "posted at", 27),
    Column("kind", "kind", 7),
    Column("reason", "for", 18),
    Column("other_account", "other account", 28),
    Column("change", "change", 14, right=True),
    Column("reserved", "reserved", 12, right=True),
    Column("balance", "balance", 14, right=True),
    Column("record", "event at", 24),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("account", metavar="ACCOUNT", help="the account's name in the rulebook")
    parser.add_argument("key", nargs="?", default="", metavar="KEY", help="which one of a family")
    parser.add_argument("--from", dest="start", metavar="TIME", help="first moment (UTC)")
    parser.add_argument("--to", dest="end", metavar="TIME", help="first moment after it")
    parser.add_argument("--currency", default="", metavar="CUR", help="only this currency, as usd")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        help="a replay's group, as replay --apply prints it: find the records that it posted, too;"
        " may be given again",
    )
    add_json(parser, "result", ", one document per currency")


def run(arguments: argparse.Namespace) -> int:
    """Print one statement per currency that the account exists in."""
    start_ns, end_ns = time_range(arguments.start, arguments.end)
    with open_named_ledger(load_settings(arguments.config), groups=arguments.group) as books:
        accounts = stored_accounts(
            books, account=arguments.account, key=arguments.key, currency=arguments.currency
        )
        if not accounts:
            name = f"{arguments.account}[{arguments.key}]" if arguments.key else arguments.account
            raise UsageError(f"the ledger has no account {name}: nothing was ever posted to it")
        for account in accounts:
            made = statement(books, account, start_ns=start_ns, end_ns=end_ns)
            (_print_json if arguments.json else _print_text)(books, made)
    return 0


class _Closing:
    """Passes lines on as fields, and keeps the last balance and the number of lines."""

    def __init__(self, made: Statement) -> None:
        self._statement = made
        self.balance = made.opening
        self.count = 0

    def fields(self, line: StatementLine) -> dict[str, Any]:
        self.balance = line.balance
        self.count += 1
        return self._statement.line_fields(line)


def _about(books: NamedLedger, made: Statement) -> dict[str, Any]:
    currency, scale = books.currency(made.account.ledger)
    return {
        "account": made.title,
        "currency": currency,
        "from": iso_time(made.start_ns) if made.start_ns else "",
        "to": iso_time(made.end_ns) if made.end_ns else "",
        "opening_balance": major_units(made.opening, scale),
        "opening_source": made.source,
    }


def _print_json(books: NamedLedger, made: Statement) -> None:
    closing = _Closing(made)
    lines = [closing.fields(line) for line in made.lines()]
    scale = books.currency(made.account.ledger)[1]
    about = _about(books, made) | {
        "closing_balance": major_units(closing.balance, scale),
        "transfers": closing.count,
    }
    write_json(sys.stdout, about, "lines", lines)


def _print_text(books: NamedLedger, made: Statement) -> None:
    currency, scale = books.currency(made.account.ledger)
    about = _about(books, made)
    closing = _Closing(made)
    opening = (
        f"opening balance {about['opening_balance']} ({made.source})"
        f"{', from ' + about['from'] if about['from'] else ''}"
    )
    write_lines(sys.stdout, [Styled(f"{made.title}, {currency}", TITLE), opening])
    write_table(sys.stdout, COLUMNS, map(closing.fields, made.lines()))
    end = (
        f"closing balance {major_units(closing.balance, scale)} after"
        f" {count_of(closing.count, 'transfer')}"
        f"{', before ' + about['to'] if about['to'] else ''}"
    )
    write_lines(sys.stdout, [end])
