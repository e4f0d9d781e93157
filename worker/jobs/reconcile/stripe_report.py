"""Stripe's itemized reports as rows of minor units, understood whole or refused.

Columns: Stripe's pages on the report types `payout_reconciliation.itemized`, `payouts.itemized`,
`ending_balance_reconciliation.itemized` and `balance_change_from_activity.itemized`, whose columns
people choose, and the balance history that the Dashboard exports. Amounts are in major units.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from worker.core.errors import UsageError
from worker.core.money import BadAmount, minor_units
from worker.core.rulebook import Rulebook

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "payout": ("automatic_payout_id", "payout_id", "Transfer"),
    "txn": ("balance_transaction_id", "id"),
    "source": ("source_id", "Source"),
    "category": ("reporting_category", "Reporting Category", "Type"),
    "currency": ("currency", "Currency"),
    "gross": ("gross", "Amount"),
    "fee": ("fee", "Fee"),
    "net": ("net", "Net"),
    "day": ("created_utc", "created", "Created (UTC)", "available_on_utc", "available_on"),
}
"""What a row needs, and what the versions call it; the first that a report has counts."""

OPTIONAL: Final = frozenset({"payout", "source"})
"""A report without a column for payouts has all activity of its time but for payouts."""

WRITTEN_DIGITS: Final = 2
"""Some versions write two decimals for every currency, jpy too."""


class ReportRow(NamedTuple):
    """One balance transaction as Stripe paid it out; amounts in minor units.

    file: the report's name.
    payout: empty while it is not in one.
    day: as the report has it, its date part; created_at: all of it.
    is_activity: the report has no payouts.
    """

    file: str
    line: int
    payout: str
    txn: str
    source: str
    category: str
    currency: str
    gross: int
    fee: int
    net: int
    day: str
    created_at: str
    is_activity: bool


def read_report(path: Path, rulebook: Rulebook) -> Iterator[ReportRow]:
    """The rows of a report.

    Raises:
        UsageError: the file cannot be read, is cut short, is no such report, or a row is wrong.
    """
    text = report_text(path)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = next(rows, [])
        columns = _column_numbers(path, heading)
        seen: dict[str, int] = {}
        for fields in rows:
            if len(fields) != len(heading):
                raise UsageError(
                    f"{path}, line {rows.line_num}: {len(fields)} fields where the heading has"
                    f" {len(heading)}; is the report cut short?"
                )
            row = _row(path, rows.line_num, {n: fields[at] for n, at in columns.items()}, rulebook)
            if row.txn in seen:
                raise UsageError(
                    f"{path}, line {row.line}: the balance transaction of line {seen[row.txn]}"
                    " comes again"
                )
            seen[row.txn] = row.line
            yield row
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: {error}; is it cut short?") from None
    if not seen:
        raise UsageError(f"{path} has a heading and no rows: a report of another time or account?")


def report_text(path: Path) -> str:
    """The whole text of a report.

    Raises:
        UsageError: it cannot be read, or does not end with a whole line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no report: it is not UTF-8") from None
    if text and not text.endswith("\n"):
        raise UsageError(f"{path} does not end with a whole line: is it cut short?")
    return text


def _column_numbers(path: Path, heading: list[str]) -> dict[str, int]:
    """Where each column is."""
    columns = {}
    for name, known in COLUMNS.items():
        found = next((title for title in known if title in heading), None)
        if found is None and name in OPTIONAL:
            continue
        if found is None:
            raise UsageError(
                f"{path} is no itemized report of Stripe's that is known: it has no column"
                f" {' or '.join(known)}"
            )
        columns[name] = heading.index(found)
    return columns


def _row(path: Path, line: int, found: Mapping[str, str], rulebook: Rulebook) -> ReportRow:
    currency = found["currency"].lower()
    declared = rulebook.ledgers.get(currency)
    if declared is None:
        raise UsageError(f"{path}, line {line}: the rulebook has no currency {found['currency']!r}")
    if not found["txn"]:
        raise UsageError(f"{path}, line {line}: there is no balance transaction id")
    amounts = {}
    for name in ("gross", "fee", "net"):
        amount = reported_amount(found[name], declared.scale)
        if amount is None:
            raise UsageError(f"{path}, line {line}: {name} is no amount of {currency}")
        amounts[name] = amount
    if amounts["gross"] - amounts["fee"] != amounts["net"]:
        raise UsageError(f"{path}, line {line}: gross less fee is not net")
    return ReportRow(
        file=path.name,
        line=line,
        payout=found.get("payout", ""),
        txn=found["txn"],
        source=found.get("source", ""),
        category=found["category"].lower().replace(" ", "_"),
        currency=currency,
        day=found["day"][:10],
        created_at=found["day"],
        is_activity="payout" not in found,
        **amounts,
    )


def reported_amount(text: str, scale: int) -> int | None:
    """An amount in major units as minor units; None when it is none of this scale.

    The decimal separator is a point or a comma, as the report was asked for; three digits behind
    it may be a thousand.
    """
    text = text.replace(",", ".")
    if len(text.partition(".")[2]) > max(scale, WRITTEN_DIGITS):
        return None
    try:
        return minor_units(text, scale, signed=True)
    except BadAmount:
        return None
