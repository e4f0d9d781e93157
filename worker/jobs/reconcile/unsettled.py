"""Open items of `stripe_unsettled`: Stripe objects that only one side reported, by age.

Payment and settlement events of the same money offset each other on that account. An object with a
remainder is an item, and a difference once it is older than the days that Stripe may take to
settle. A row of the feed that names no object, or a partial capture's reversal that does not name
its charge, is tied to the oldest object that lacks as much.
"""

from __future__ import annotations

from typing import Final

from worker.jobs.duckdb_rows import Database

DAY_MS: Final = 86_400_000

OPEN_ITEMS: Final = """
INSERT INTO items BY NAME
WITH told AS (
  SELECT DISTINCT ON (transfer_id) u.*, u.sign * a.amount AS amount, a.ledger AS ledger
  FROM unsettled u JOIN actual a USING (transfer_id)
  WHERE ($end_ms = 0 OR u.time_ms < $end_ms)
    AND ($cut = 0 OR u.time_ms >= $start_ms OR a.posted_ns >= $cut)
  ORDER BY transfer_id, u.origin),
moves AS (
  SELECT about, ledger, amount, time_ms, told_by, category, event_id, origin FROM told
  UNION ALL
  SELECT about, ledger, payments, since_ms, 'payments', '', NULL, NULL FROM carried_open
  WHERE payments <> 0
  UNION ALL
  SELECT about, ledger, -settlements, since_ms, 'settlements', '', NULL, NULL FROM carried_open
  WHERE settlements <> 0),
sides AS (
  SELECT about, ledger, sum(amount) AS open, min(time_ms) AS since_ms, max(time_ms) AS last_ms,
    CAST(sum(amount) FILTER (told_by = 'payments') AS HUGEINT) AS payments,
    CAST(-sum(amount) FILTER (told_by = 'settlements') AS HUGEINT) AS settlements,
    max(category) AS category, string_agg(DISTINCT event_id, ' ' ORDER BY event_id) AS events,
    string_agg(DISTINCT origin, ' ' ORDER BY origin) AS origins
  FROM moves GROUP BY about, ledger),
unnamed AS (
  SELECT *, row_number() OVER (PARTITION BY ledger, open ORDER BY since_ms, about) AS nth
  FROM sides WHERE open <> 0 AND coalesce(payments, 0) = 0
    AND (category = 'partial_capture_reversal' OR about LIKE 'txn$_%' ESCAPE '$')),
named AS (
  SELECT *, row_number() OVER (PARTITION BY ledger, open ORDER BY since_ms, about) AS nth
  FROM sides WHERE open <> 0 AND payments <> 0),
tied AS (
  SELECT unnest([u.about, n.about]) AS about, u.ledger AS ledger FROM unnamed u
  JOIN named n ON n.ledger = u.ledger AND n.open = -u.open AND n.nth = u.nth),
judged AS (
  SELECT *, greatest(0, $as_of_ms - since_ms) // $day_ms AS days,
    CASE WHEN settlements IS NULL THEN 'told_by_payments_only'
      WHEN payments IS NULL THEN 'told_by_settlements_only'
      ELSE 'amounts_differ' END AS class
  FROM sides ANTI JOIN tied USING (about, ledger) WHERE open <> 0
    AND ($cut <> 0 OR last_ms >= $start_ms))
SELECT class, since_ms < $late_ms AS differs, ledger,
  payments AS expected_amount, settlements AS actual_amount, about AS event_id,
  'stripe_unsettled' AS event_type, origins AS position, since_ms AS time_ms,
  CASE class WHEN 'told_by_payments_only' THEN 'no settlement event tells it'
    WHEN 'told_by_settlements_only' THEN 'no payment event tells it'
    ELSE 'payment and settlement events tell different amounts' END
    || '; open for ' || days || ' days' || coalesce(': ' || events, '') AS detail
FROM judged;
"""

OPEN_CLASSES: Final = ("told_by_payments_only", "told_by_settlements_only", "amounts_differ")


def list_open_items(  # noqa: PLR0913 - times that cannot be told apart by their type
    database: Database,
    *,
    start_ms: int,
    end_ms: int,
    as_of_ms: int,
    late_ms: int,
    before_cut_ns: int = 0,
) -> None:
    """Add the open items; the table `carried_open` has those of the last closed period.

    start_ms, end_ms: the range of the facts, 0 is open; what was settled after it is open at its
    end. as_of_ms: to when ages are counted. late_ms: what is open since before is a difference.
    before_cut_ns: the ledger's time when the period before was closed, 0 where none was; then facts
    before the range count only if they were posted since.
    """
    database.execute(
        OPEN_ITEMS,
        {
            "start_ms": start_ms,
            "end_ms": end_ms,
            "as_of_ms": as_of_ms,
            "late_ms": late_ms,
            "day_ms": DAY_MS,
            "cut": before_cut_ns,
        },
    )
