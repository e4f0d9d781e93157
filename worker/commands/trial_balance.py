"""`trial-balance`: every account per currency, zero checks, profit and loss, balance sheet.

Exit 1 when debits do not equal credits, or a memo account is not at zero.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Final

from worker.commands.options import add_basis, add_json
from worker.config.settings import load_settings
from worker.core.money import major_units
from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reports.basis import WORDS, Basis
from worker.jobs.reports.financial import ZERO_MEANS, Statements, statements, zero_checks
from worker.jobs.reports.trial_balance import TrialBalance, TrialLine, trial_balance
from worker.jobs.text_tables import (
    BAD,
    GOOD,
    TITLE,
    Column,
    Styled,
    write_json,
    write_lines,
    write_table,
)
from worker.jobs.times import in_the_past
from worker.ledger.books import open_named_ledger

TITLE_WIDTH: Final = 30
COLUMNS: Final = (
    Column("code", "code", 4),
    Column("title", "account", TITLE_WIDTH),
    Column("type", "type", 9),
    Column("debit_balance", "debit", 14, right=True),
    Column("credit_balance", "credit", 14, right=True),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--at", metavar="TIME", help="only what was before this moment (UTC), as 2026-01-31"
    )
    add_basis(parser, "the times before --at")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the trial balance; 1 when debits and credits differ."""
    at_ns = in_the_past(arguments.at, option="--at") if arguments.at else 0
    with open_named_ledger(load_settings(arguments.config)) as books:
        found = trial_balance(books, at_ns=at_ns, by=arguments.by)
        if arguments.json:
            _print_json(found, arguments.by, at=bool(at_ns))
        else:
            _print_text(found, arguments.by, at=bool(at_ns))
    return 0 if found.agrees else 1


def _print_json(found: TrialBalance, by: Basis, *, at: bool) -> None:
    about = {
        "before": found.as_of,
        "by": by if at else "",
        "source": found.source,
        "balanced": found.agrees,
        "open_memos": [" ".join(each) for each in found.open_memos()],
        "totals": {
            currency: {"debits_posted": str(debits), "credits_posted": str(credits_)}
            for currency, (debits, credits_) in found.balanced().items()
        },
        "zero_checks": [check.document() for check in zero_checks(found)],
        "statements": {made.currency: made.document() for made in statements(found)},
    }
    write_json(sys.stdout, about, "accounts", (line.document() for line in found.lines()))


def _print_text(found: TrialBalance, by: Basis, *, at: bool) -> None:
    basis = WORDS[by] if at else "everything that was posted, whenever its fact was"
    write_lines(
        sys.stdout,
        [Styled(f"trial balance before {found.as_of}", TITLE), f"{basis}; {found.source}"],
    )
    lines = list(found.lines())
    sums = found.balanced()
    for made in statements(found):
        ours = [line for line in lines if line.currency == made.currency]
        write_lines(sys.stdout, ["", Styled(f"{made.currency}, in major units", TITLE)])
        write_table(sys.stdout, COLUMNS, [*_rows(ours), _total(ours)])
        debits, credits_ = sums[made.currency]
        sign = "=" if debits == credits_ else "DIFFERS FROM"
        text = (
            f"{made.currency}: debits {_shown(debits, made.scale)} {sign}"
            f" credits {_shown(credits_, made.scale)}"
        )
        write_lines(sys.stdout, [Styled(text, GOOD if debits == credits_ else BAD)])
        write_lines(sys.stdout, _checks(found, made.currency))
        write_lines(sys.stdout, _statements(made))


def _shown(amount: int, scale: int) -> str:
    return grouped(major_units(amount, scale))


def _rows(lines: list[TrialLine]) -> Iterator[Mapping[str, object]]:
    """A line for each account, and more where its title is long."""
    for line in lines:
        first, *rest = wrap(line.title or line.account, TITLE_WIDTH)
        net = line.net
        yield {
            "code": line.code or "",
            "title": first,
            "type": line.type or "unknown",
            "debit_balance": _shown(net, line.scale) if net > 0 else "",
            "credit_balance": _shown(-net, line.scale) if net < 0 else "",
        }
        for more in rest:
            yield dict.fromkeys((column.field for column in COLUMNS), "") | {"title": f"  {more}"}


def _total(lines: list[TrialLine]) -> dict[str, object]:
    scale = lines[0].scale
    return {
        "code": "",
        "title": "total",
        "type": "",
        "debit_balance": _shown(sum(max(line.net, 0) for line in lines), scale),
        "credit_balance": _shown(sum(max(-line.net, 0) for line in lines), scale),
    }


def _checks(found: TrialBalance, currency: str) -> Iterator[str | Styled]:
    checks = [check for check in zero_checks(found) if check.currency == currency]
    if checks:
        yield Styled("to be at zero", TITLE)
    for check in checks:
        keys = f", {check.open_keys:,} of them open" if check.open_keys else ""
        state = "yes" if not check.net and not check.open_keys else "no"
        style = BAD if check.why == "memo" and check.net else GOOD if state == "yes" else TITLE
        text = f"  {check.account:<24}{state:<4}{_shown(check.net, check.scale):>16}"
        yield Styled(text, style)
        if state == "no":
            yield f"    {ZERO_MEANS[check.why]}{keys}"


def _statements(made: Statements) -> Iterator[str | Styled]:
    yield Styled("profit and loss", TITLE)
    for kind in ("revenue", "expense"):
        yield from _section(made, kind)
    yield _line("result", made.result, made.scale)
    yield Styled("balance sheet", TITLE)
    yield from _section(made, "asset")
    for kind in ("liability", "equity"):
        yield from _section(made, kind)
    yield _line("result so far", made.result, made.scale)
    right = made.of("liability").total + made.of("equity").total + made.result
    yield _line("liabilities, equity and result", right, made.scale)
    if made.off:
        off = _shown(made.off, made.scale)
        yield Styled(f"assets differ from liabilities, equity and result by {off}", BAD)


def _section(made: Statements, kind: str) -> Iterator[str]:
    section = made.of(kind)
    for name, title, amount in section.lines:
        yield _line(f"  {title or name}", amount, made.scale)
    yield _line(PLURALS[kind], section.total, made.scale)


def _line(title: str, amount: int, scale: int) -> str:
    return f"  {title:<48}{_shown(amount, scale):>20}"


PLURALS: Final = {
    "revenue": "revenue",
    "expense": "expenses",
    "asset": "assets",
    "liability": "liabilities",
    "equity": "equity",
}
