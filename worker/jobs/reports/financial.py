"""What accountants make of a trial balance: zero checks, profit and loss, balance sheet.

All amounts are in minor units of one currency; nothing is converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from worker.core.rulebook import Rulebook
from worker.jobs.reports.trial_balance import TrialBalance, TrialLine

IN_TRANSIT: Final = "payouts_in_transit"
AT_STRIPE: Final = "stripe_clearing"
"""Holds what Stripe owes, so that it is Stripe's balance and not zero."""

SUSPENSE: Final = "suspense"
ZERO_MEANS: Final = {
    "memo": "must be zero, always",
    "clearing": "zero once both sides have told it",
    "in_transit": "zero once every payout has arrived",
    "suspense": "zero once somebody has allocated it",
}
"""Why an account is to be at zero."""


class ZeroCheck(NamedTuple):
    """An account that is to be at zero, and what it holds: debits less credits.

    why: a key of `ZERO_MEANS`.
    open_keys: how many of a family are not at zero; None where that was not counted.
    """

    account: str
    currency: str
    scale: int
    why: str
    net: int
    open_keys: int | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict() | {"net": str(self.net), "zero": not self.net}


class StatementSection(NamedTuple):
    """Accounts of one type, positive on the side that the type grows by."""

    type: str
    lines: Sequence[tuple[str, str, int]]
    total: int


class Statements(NamedTuple):
    """Profit and loss, and balance sheet, of one currency.

    result: revenue less expense.
    off: assets less liabilities, equity and the result; 0 where the books balance.
    """

    currency: str
    scale: int
    sections: Sequence[StatementSection]
    result: int
    off: int

    def of(self, kind: str) -> StatementSection:
        """The section of a type."""
        return next(section for section in self.sections if section.type == kind)

    def document(self) -> dict[str, Any]:
        """For JSON: amounts are decimal strings of minor units."""
        parts = {
            section.type: {
                "accounts": [
                    {"account": name, "title": title, "amount": str(amount)}
                    for name, title, amount in section.lines
                ],
                "total": str(section.total),
            }
            for section in self.sections
        }
        return {
            "scale": self.scale,
            "profit_and_loss": {
                "revenue": parts["revenue"],
                "expense": parts["expense"],
                "result": str(self.result),
            },
            "balance_sheet": {
                "asset": parts["asset"],
                "liability": parts["liability"],
                "equity": parts["equity"],
                "result": str(self.result),
                "off_by": str(self.off),
            },
        }


def zero_checks(found: TrialBalance) -> list[ZeroCheck]:
    """Every account that is to be at zero, in the order of currency and code."""
    checks = []
    for line in found.all_lines():
        why = _why_zero(line.account, found.books.rulebook)
        if why:
            keys = found.open_keys.get((line.account, line.ledger)) if found.open_keys else None
            if found.open_keys is not None and keys is None:
                keys = 0
            checks.append(ZeroCheck(line.account, line.currency, line.scale, why, line.net, keys))
    return checks


def _why_zero(name: str, rulebook: Rulebook) -> str:
    declared = rulebook.accounts.get(name)
    if declared is None:
        return ""
    if declared.type == "memo":
        return "memo"
    if name == IN_TRANSIT:
        return "in_transit"
    if name == AT_STRIPE:
        return ""
    if name == SUSPENSE:
        return "suspense"
    return "clearing" if declared.clearing else ""


def statements(found: TrialBalance) -> list[Statements]:
    """Profit and loss and balance sheet of every currency."""
    lines = list(found.lines())
    made = []
    for currency in sorted({line.currency for line in lines}):
        ours = [line for line in lines if line.currency == currency]
        sections = [
            _section(kind, sign, ours)
            for kind, sign in (
                ("asset", 1),
                ("liability", -1),
                ("equity", -1),
                ("revenue", -1),
                ("expense", 1),
            )
        ]
        totals = {section.type: section.total for section in sections}
        result = totals["revenue"] - totals["expense"]
        off = totals["asset"] - totals["liability"] - totals["equity"] - result
        made.append(Statements(currency, ours[0].scale, sections, result, off))
    return made


def _section(kind: str, sign: int, lines: Iterable[TrialLine]) -> StatementSection:
    ours = [
        (line.account, line.title, sign * line.net)
        for line in lines
        if line.type == kind and line.net
    ]
    return StatementSection(kind, ours, sum(amount for _, _, amount in ours))
