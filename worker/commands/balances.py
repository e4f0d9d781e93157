"""`balances`: what each account holds now, read from the ledger."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.core.iso_times import iso_time
from worker.core.money import major_units
from worker.core.plural import count_of
from worker.core.ports import newest_timestamp
from worker.jobs.batched import batched
from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reports.balances import (
    ReportedBalance,
    balance_documents,
    balances,
    matching_accounts,
)
from worker.jobs.text_tables import TITLE, Column, Styled, write_json, write_lines, write_table
from worker.ledger.books import NamedLedger, open_named_ledger

COLUMNS: Final = (
    Column("account", "account", 16),
    Column("key", "key", 18),
    Column("currency", "ccy", 3),
    Column("balance", "balance", 12, right=True),
    Column("pending", "pending", 9, right=True),
    Column("available", "available", 12, right=True),
)
PORTION: Final = 1000


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
    chosen = {name: getattr(arguments, name) for name in ("account", "key", "currency")}
    with open_named_ledger(load_settings(arguments.config)) as books:
        as_of = iso_time(newest_timestamp(books.ledger))
        if arguments.json:
            rows = (
                row
                for portion in batched(matching_accounts(books, **chosen), PORTION)
                for row in balance_documents(books, list(portion))
            )
            write_json(sys.stdout, {"as_of": as_of}, "accounts", rows)
            return 0
        found = balances(books, **chosen)
        basis = "everything that was posted, whenever its fact was"
        write_lines(sys.stdout, [Styled(f"balances as of {as_of}", TITLE), basis])
        sums = _Sums(books)
        count = write_table(sys.stdout, COLUMNS, map(sums.row, found))
        write_lines(sys.stdout, sums.lines())
        write_lines(sys.stdout, [f"{count_of(count, 'account')}, amounts in major units"])
    return 0


class _Sums:
    """Passes balances on as rows, and adds up those of a family."""

    def __init__(self, books: NamedLedger) -> None:
        self._books = books
        self._found: dict[tuple[str, str, int], list[int]] = {}

    def row(self, one: ReportedBalance) -> dict[str, str]:
        """For the table."""
        figures = (1, one.balance, one.pending, one.available)
        if one.key:
            known = self._found.setdefault((one.account, one.currency, one.scale), [0] * 4)
            known[:] = [before + more for before, more in zip(known, figures, strict=True)]
        shown = {
            name: grouped(major_units(getattr(one, name), one.scale))
            for name in ("balance", "pending", "available")
        }
        return {"account": one.account, "key": one.key, "currency": one.currency} | shown

    def lines(self) -> Iterator[str]:
        """A line for each family and currency."""
        for (account, currency, scale), (count, *amounts) in self._found.items():
            balance, pending, available = (grouped(major_units(each, scale)) for each in amounts)
            yield (
                f"total of {count:,} {account}, {currency}: {balance}, pending {pending},"
                f" available {available}"
            )
