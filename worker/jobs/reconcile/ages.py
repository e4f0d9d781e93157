"""Open items by age: what waits, is dead, or is on one side only, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from worker.core.money import major_units
from worker.core.rulebook import Rulebook
from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.bank_side import DAY_MS
from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reconcile.summary import AGED_CLASSES

BUCKETS: Final[tuple[tuple[int, str], ...]] = (
    (0, "0–3 days"),
    (4, "4–7"),
    (8, "8–30"),
    (31, "31–90"),
    (91, "over 90"),
)
"""The first day of each, and how it is called."""

AGES: Final = """
WITH aged AS (
  SELECT class, coalesce(currency, '') AS currency,
    greatest(0, $as_of_ms - time_ms) // $day_ms AS days,
    coalesce(expected_amount, 0) - CASE WHEN class IN $netted OR expected_amount IS NULL
      THEN coalesce(actual_amount, 0) ELSE 0 END AS amount
  FROM items WHERE class IN $classes)
SELECT class, currency, count(*), CAST(sum(amount) AS VARCHAR), max(days),
  [count(*), count(*) FILTER (days >= 4), count(*) FILTER (days >= 8),
    count(*) FILTER (days >= 31), count(*) FILTER (days >= 91)]
FROM aged GROUP BY class, currency ORDER BY class, currency
"""


def ages(database: Database, rulebook: Rulebook, *, as_of_ms: int) -> list[dict[str, Any]]:
    """By class and currency: how many in each bucket, their sum in major units, the oldest."""
    found = database.execute(
        AGES,
        {
            "as_of_ms": as_of_ms,
            "day_ms": DAY_MS,
            "classes": list(AGED_CLASSES),
            "netted": ["amounts_differ", "amount_mismatch"],
        },
    ).fetchall()
    table = []
    for kind, currency, count, amount, oldest, from_day_on in found:
        declared = rulebook.ledgers.get(currency)
        following = [*from_day_on[1:], 0]
        table.append(
            {
                "class": kind,
                "currency": currency,
                "items": count,
                "amount": major_units(int(amount), declared.scale if declared else 0),
                "oldest_days": oldest,
                "by_age": [
                    here - later for here, later in zip(from_day_on, following, strict=True)
                ],
            }
        )
    return table


def ages_part(summary: Mapping[str, Any]) -> Iterator[str]:
    """The table on the page; nothing where nothing is open."""
    if not summary["ages"]:
        return
    yield "<h2>Open items by age</h2>\n<table>\n<thead><tr><th>class</th><th>currency</th>"
    yield "".join(f'<th class="n">{name}</th>' for _, name in BUCKETS)
    yield "".join(f'<th class="n">{name}</th>' for name in ("items", "amount", "oldest"))
    yield "</tr></thead>\n"
    for row in summary["ages"]:
        yield f'<tr><td><a href="#{escape(row["class"])}">{escape(row["class"].replace("_", " "))}'
        yield f"</a></td><td>{escape(row['currency'])}</td>"
        yield "".join(f'<td class="n">{f"{n:,}" if n else ""}</td>' for n in row["by_age"])
        yield f'<td class="n">{row["items"]:,}</td><td class="n">{grouped(row["amount"])}</td>'
        oldest = "" if row["oldest_days"] is None else f"{row['oldest_days']:,} days"
        yield f'<td class="n">{oldest}</td></tr>\n'
    yield '</table>\n<p class="quiet">To the end of the period. Amounts are what was expected, less'
    yield " what there is.</p>\n"
