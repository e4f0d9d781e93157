"""Stripe's balance summary, `balance.summary.1`, against the books: two balances, two movements.

| line | the books |
|---|---|
| `starting_balance` | `stripe_clearing` and `stripe_reserve` at the range's beginning |
| `activity` | what moved on the two, but for payouts |
| `payouts` | net of the settlement feed's payouts |
| `ending_balance` | the two at the range's end |

Amounts are in major units, signed as they change the balance. Its days must be the range's.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from worker.core.errors import UsageError
from worker.core.rulebook import Rulebook
from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.payouts import PAYOUT_CATEGORIES
from worker.jobs.reconcile.roll_forward import Lines
from worker.jobs.reconcile.stripe_report import report_text, reported_amount
from worker.jobs.reconcile.stripe_side import CLEARING, RESERVE

COLUMNS: Final = ("category", "description", "net_amount", "currency")
STARTING, ENDING, ACTIVITY, PAYOUTS = "starting_balance", "ending_balance", "activity", "payouts"
CATEGORIES: Final = frozenset({STARTING, ENDING, ACTIVITY, PAYOUTS})
DAY_NS: Final = 86_400_000_000_000
_DAY: Final = re.compile(r"\((\d{4}-\d\d-\d\d)\)")

PAID_OUT: Final = """
SELECT currency, CAST(sum(net) AS VARCHAR) FROM (
  SELECT DISTINCT ON (txn) * FROM settled WHERE on_balance AND NOT in_transit ORDER BY txn)
WHERE list_contains($payouts, category) GROUP BY currency
"""
DIFFERING: Final = """
INSERT INTO items BY NAME
SELECT 'amount_mismatch' AS class, true AS differs, $currency AS currency,
  $stripe AS expected_amount, $books AS actual_amount, $category AS event_id,
  'balance.summary' AS event_type, $position AS position, $time_ms AS time_ms,
  'Stripe’s balance summary has another amount than the books' AS detail
"""


class SummaryLine(NamedTuple):
    """One line; the amount in minor units."""

    file: str
    line: int
    category: str
    currency: str
    amount: int


def is_balance_summary(path: Path) -> bool:
    """Has the file the columns of a balance summary?"""
    heading = report_text(path).partition("\n")[0].strip()
    titles = set(next(csv.reader([heading]), []))
    return {"category", "net_amount", "currency"} <= titles


def read_summary(
    path: Path, rulebook: Rulebook, *, start_ns: int, end_ns: int
) -> Iterator[SummaryLine]:
    """The lines of a balance summary of this range.

    Raises:
        UsageError: it is of other days, or a line is wrong.
    """
    if not (start_ns and end_ns):
        raise UsageError(f"{path} is a balance summary: it needs --from and --to of its days")
    rows = csv.DictReader(io.StringIO(report_text(path), newline=""), strict=True)
    seen = set()
    try:
        for row in rows:
            made = _line(path, rows.line_num, row, rulebook)
            _require_days(path, row, start_ns, end_ns)
            if (made.category, made.currency) in seen:
                raise UsageError(f"{path}, line {made.line}: {made.category} comes again")
            seen.add((made.category, made.currency))
            yield made
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: {error}") from None
    currencies = {currency for _, currency in seen}
    lacking = [
        f"{category} of {currency}"
        for currency in sorted(currencies)
        for category in sorted(CATEGORIES)
        if (category, currency) not in seen
    ]
    if lacking or not seen:
        raise UsageError(f"{path} has no {', '.join(lacking) or 'line'}: is it cut short?")


def _line(
    path: Path, number: int, row: Mapping[str, str | None], rulebook: Rulebook
) -> SummaryLine:
    category, currency = row.get("category") or "", (row.get("currency") or "").lower()
    declared = rulebook.ledgers.get(currency)
    if declared is None:
        raise UsageError(f"{path}, line {number}: the rulebook has no currency {currency!r}")
    amount = reported_amount(row.get("net_amount") or "", declared.scale)
    if category not in CATEGORIES or amount is None:
        raise UsageError(f"{path}, line {number} is no line of a balance summary")
    return SummaryLine(path.name, number, category, currency, amount)


def _require_days(path: Path, row: Mapping[str, str | None], start_ns: int, end_ns: int) -> None:
    """The first balance is of the range's first day, the last of its last or of the day after."""
    found = _DAY.search(row.get("description") or "")
    if found is None:
        return
    first, after = _day(start_ns), _day(end_ns)
    allowed = {STARTING: {first}, ENDING: {_day(end_ns - DAY_NS), after}}
    if found[1] not in allowed.get(row.get("category") or "", {found[1]}):
        raise UsageError(
            f"{path} has a balance of {found[1]}, and the range is from {first} to before {after}"
        )


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).date().isoformat()


def compare_summary(
    database: Database,
    found: Iterable[SummaryLine],
    rulebook: Rulebook,
    lines: Lines,
    *,
    start_ms: int,
) -> None:
    """Add an item for each line that the books have otherwise."""
    categories = {"payouts": list(PAYOUT_CATEGORIES)}
    paid_out = dict(database.execute(PAID_OUT, categories).fetchall())
    for line in found:
        ledger = rulebook.ledgers[line.currency].ledger
        ours = [one for one in lines if one["ledger"] == ledger and one["account"] in AT_STRIPE]
        starting, ending = (sum(one[side] for one in ours) for side in ("opening", "closing"))
        payouts = int(paid_out.get(line.currency, 0))
        books = {
            STARTING: starting,
            ACTIVITY: ending - starting - payouts,
            PAYOUTS: payouts,
            ENDING: ending,
        }[line.category]
        if books != line.amount:
            row = {
                "currency": line.currency,
                "stripe": line.amount,
                "books": books,
                "category": line.category,
                "position": f"{line.file}, line {line.line}",
                "time_ms": start_ms,
            }
            database.execute(DIFFERING, row)


AT_STRIPE: Final = frozenset({CLEARING, RESERVE})
