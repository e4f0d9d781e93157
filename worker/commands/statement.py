"""`statement`: one account's transfers between two balances."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any, Final

from worker.commands.options import add_basis, add_json, positive
from worker.config.settings import load_settings
from worker.core.iso_times import iso_time
from worker.core.money import major_units
from worker.core.plural import count_of
from worker.core.wire import Account
from worker.jobs.batched import batched
from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reports.balances import balance_documents, existing_accounts
from worker.jobs.reports.basis import BY_FACT, WORDS
from worker.jobs.reports.statement import (
    Statement,
    StatementLine,
    newest_start,
    statement,
    statement_by_fact,
)
from worker.jobs.text_tables import TITLE, Styled, write_json, write_lines
from worker.jobs.times import time_range
from worker.ledger.books import NamedLedger, open_named_ledger

PORTION: Final = 1000
HEADING: Final = f"{'fact at':<20} {'for':<20} {'change':>13} {'reserved':>10} {'balance':>13}"


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
    add_basis(parser, "times and order")
    parser.add_argument(
        "--last", type=positive, default=0, metavar="N", help="only the newest N transfers"
    )
    add_json(parser, "result", ", one document per currency")


def run(arguments: argparse.Namespace) -> int:
    """Print one statement per currency that the account exists in."""
    start_ns, end_ns = time_range(arguments.start, arguments.end)
    with open_named_ledger(load_settings(arguments.config), groups=arguments.group) as books:
        accounts = existing_accounts(
            books, account=arguments.account, key=arguments.key, currency=arguments.currency
        )
        for account in accounts:
            made = _statement(books, account, arguments, start_ns, end_ns)
            (_print_json if arguments.json else _print_text)(books, made)
    return 0


def _statement(
    books: NamedLedger, account: Account, arguments: argparse.Namespace, start_ns: int, end_ns: int
) -> Statement:
    if arguments.by == BY_FACT:
        return statement_by_fact(
            books, account, start_ns=start_ns, end_ns=end_ns, last=arguments.last
        )
    if arguments.last:
        newest = newest_start(books, account, end_ns=end_ns, lines=arguments.last)
        start_ns = max(start_ns, newest)
    return statement(books, account, start_ns=start_ns, end_ns=end_ns)


def _about(books: NamedLedger, made: Statement) -> dict[str, Any]:
    (account,) = balance_documents(books, [made.account])
    return {
        **{name: account[name] for name in ("account_id", "account", "key", "currency", "scale")},
        "by": made.by,
        "from": iso_time(made.start_ns) if made.start_ns else "",
        "to": iso_time(made.end_ns) if made.end_ns else "",
        "opening_balance": str(made.opening),
        "opening_source": made.source,
    }


def _print_json(books: NamedLedger, made: Statement) -> None:
    lines = list(made.lines())
    closing = lines[-1].balance if lines else made.opening
    about = _about(books, made) | {"closing_balance": str(closing), "transfers": len(lines)}
    portions = batched(lines, PORTION)
    rows = (row for portion in portions for row in made.documents(portion))
    write_json(sys.stdout, about, "lines", rows)


def _print_text(books: NamedLedger, made: Statement) -> None:
    currency, scale = books.currency(made.account.ledger)
    heading = f"{made.title}, {currency}, {WORDS[made.by]}"
    first = f", from {iso_time(made.start_ns)}" if made.start_ns else ""
    opening = f"opening balance {_shown(made.opening, scale)} ({made.source}){first}"
    write_lines(sys.stdout, [Styled(heading, TITLE), opening, HEADING])
    balance, count = made.opening, 0
    for line in made.lines():
        balance, count = line.balance, count + 1
        write_lines(sys.stdout, _line(made, line))
    end = (
        f"closing balance {_shown(balance, scale)} after {count_of(count, 'transfer')}"
        f"{', before ' + iso_time(made.end_ns) if made.end_ns else ''}"
    )
    write_lines(sys.stdout, [end])


def _line(made: Statement, line: StatementLine) -> Iterator[str]:
    """Three lines of a transfer: figures, the other side, and ids."""
    found = made.line_fields(line)
    figures = (grouped(found[name]) for name in ("change", "reserved", "balance"))
    change, reserved, balance = figures
    reason = found["reason"] if found["kind"] == "posted" else f"{found['reason']}, {found['kind']}"
    yield f"{found['fact_at']:<20} {reason:<20} {change:>13} {reserved:>10} {balance:>13}"
    yield f"  {found['other_account']}; posted {found['at']}"
    yield f"  transfer {found['transfer_id']}"
    record = f", record {found['record']}" if found["record"] else ""
    yield f"  fact {found['fact']}{record}"


def _shown(amount: int, scale: int) -> str:
    return grouped(major_units(amount, scale))
