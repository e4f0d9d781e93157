"""Stripe's payout reconciliation report of the generated traffic, as CSV.

Columns of `payout_reconciliation.itemized`; amounts in major units, times in UTC.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, TextIO

from worker.core.money import major_units
from worker.jobs.generate.stripe_balance import StripeRow

COLUMNS: Final = (
    "automatic_payout_id", "automatic_payout_effective_at_utc", "balance_transaction_id",
    "created_utc", "available_on_utc", "currency", "gross", "fee", "net", "reporting_category",
    "source_id", "description",
)  # fmt: skip
SCALES: Final = {"jpy": 0}
"""Digits after the point; two for every other currency of the traffic."""


def write_report(file: TextIO, rows: Iterable[StripeRow]) -> int:
    """Write the heading and the rows; how many rows."""
    out = csv.writer(file, lineterminator="\n")
    out.writerow(COLUMNS)
    count = 0
    for settled, payout, paid_at in rows:
        count += 1
        scale = SCALES.get(settled["currency"], 2)
        amounts = (major_units(settled[name], scale) for name in ("amount", "fee", "net"))
        created, available = (_utc(settled[name]) for name in ("created", "available_on"))
        start = (payout, _utc(paid_at) if payout else "", settled["id"], created, available)
        end = (settled["reporting_category"], settled["source"], settled["description"])
        out.writerow((*start, settled["currency"], *amounts, *end))
    return count


def _utc(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
