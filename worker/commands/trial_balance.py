"""`trial-balance`: every declared account per currency; exit 1 when debits do not equal credits."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.core.money import major_units
from worker.jobs.reports.trial_balance import TrialBalance, trial_balance
from worker.jobs.text_tables import BAD, GOOD, Column, Styled, write_json, write_lines, write_table
from worker.jobs.times import in_the_past
from worker.ledger.books import open_named_ledger

COLUMNS: Final = (
    Column("account", "account", 22),
    Column("currency", "ccy", 3),
    Column("debits", "debits", 18, right=True),
    Column("credits", "credits", 18, right=True),
    Column("debits_pending", "pending debits", 14, right=True),
    Column("credits_pending", "pending credits", 14, right=True),
    Column("debit_balance", "debit balance", 18, right=True),
    Column("credit_balance", "credit balance", 18, right=True),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="what was posted before this moment (UTC), as 2026-01-31; default: now",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the trial balance; 1 when debits and credits differ."""
    at_ns = in_the_past(arguments.at, option="--at") if arguments.at else 0
    with open_named_ledger(load_settings(arguments.config)) as books:
        found = trial_balance(books, at_ns=at_ns)
        if arguments.json:
            _print_json(found)
        else:
            _print_text(found)
    return 0 if found.agrees else 1


def _scale(found: TrialBalance, currency: str) -> int:
    declared = found.books.rulebook.ledgers.get(currency)
    return declared.scale if declared else 0


def _print_json(found: TrialBalance) -> None:
    about = {
        "before": found.as_of,
        "source": found.source,
        "balanced": found.agrees,
        "open_memos": [" ".join(each) for each in found.open_memos()],
        "totals": {
            currency: {
                "debits": major_units(debits, _scale(found, currency)),
                "credits": major_units(credits_, _scale(found, currency)),
            }
            for currency, (debits, credits_) in found.balanced().items()
        },
    }
    write_json(sys.stdout, about, "accounts", found.lines())


def _print_text(found: TrialBalance) -> None:
    write_lines(sys.stdout, [f"trial balance before {found.as_of} ({found.source})"])
    write_table(sys.stdout, COLUMNS, found.lines())
    for currency, (debits, credits_) in found.balanced().items():
        scale = _scale(found, currency)
        sign = "=" if debits == credits_ else "DIFFERS FROM"
        sums = (
            f"{currency}: debits {major_units(debits, scale)} {sign}"
            f" credits {major_units(credits_, scale)}"
        )
        write_lines(sys.stdout, [Styled(sums, GOOD if debits == credits_ else BAD)])
    for name, currency in found.open_memos():
        sys.stdout.write(f"{name} is a memo account, and is not at zero in {currency}\n")
