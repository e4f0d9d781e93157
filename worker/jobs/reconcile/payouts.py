"""Stripe's reports against the books: every row, and every payout.

A row is compared with its own balance transaction: gross, fee, net and category with the settlement
feed, net with what it moved on `stripe_clearing`. What the report calls the source does not matter.
A payout ties when its rows add up to what was paid; its own row may be in the report or not.
"""

from __future__ import annotations

from typing import Any, Final

from worker.core.errors import UsageError
from worker.core.money import major_units
from worker.core.rulebook import Rulebook
from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.stripe_side import UNSETTLED

PAYOUT_CATEGORIES: Final = ("payout", "payout_reversal", "payout_failure", "payout_cancel")

REPORT_ROWS: Final = """
CREATE TABLE report AS
  SELECT DISTINCT ON (txn) *, list_contains($payouts, category) AS is_payout FROM report_rows
  ORDER BY txn, payout = '', file, line
"""
"""A balance transaction that several reports have counts once, where its payout is said."""

MOVED: Final = """
CREATE TABLE moved AS
  SELECT e.object_id AS txn, cu.currency, CAST(sum(c.clearing_sign * c.stored_amount) AS HUGEINT)
    AS amount
  FROM (SELECT DISTINCT tag, variant, object_id FROM events
    WHERE outcome = 'chain' AND event_type = 'balance_transaction.created') e
  JOIN compared c USING (tag, variant) JOIN currencies cu ON cu.ledger = c.ledger
  WHERE c.verdict <> 'absent' AND c.clearing_sign <> 0 AND e.object_id <> ''
  GROUP BY e.object_id, cu.currency;
CREATE TABLE fed AS SELECT DISTINCT ON (txn) * FROM settled ORDER BY txn, in_transit;
"""

ROWS: Final = """
INSERT INTO items BY NAME
WITH judged AS (
  SELECT r.*, coalesce(m.amount, 0) AS moved, f.category AS fed_category, f.gross AS fed_gross,
    f.fee AS fed_fee, f.net AS fed_net,
    CASE WHEN f.in_transit THEN 'in_transit'
      WHEN f.txn IS NULL AND m.txn IS NULL THEN 'missing_in_ledger'
      WHEN NOT coalesce(f.on_balance, true) THEN 'matched'
      WHEN m.txn IS NULL AND r.net <> 0 THEN 'missing_in_ledger'
      WHEN r.gross <> coalesce(f.gross, r.gross) THEN 'amount_mismatch'
      WHEN r.fee <> coalesce(f.fee, r.fee) OR r.net <> coalesce(f.net, r.net)
        THEN 'fee_mismatch'
      WHEN r.net <> coalesce(m.amount, 0) THEN 'amount_mismatch'
      WHEN r.category <> coalesce(nullif(f.category, ''), r.category) THEN 'category_mismatch'
      ELSE 'matched' END AS class
  FROM report r LEFT JOIN moved m USING (txn, currency) LEFT JOIN fed f USING (txn))
SELECT class, class <> 'in_transit' AS differs, currency, net AS expected_amount,
  CASE WHEN class <> 'missing_in_ledger' THEN moved END AS actual_amount,
  CASE WHEN source = '' THEN txn ELSE source END AS event_id, category AS event_type,
  txn AS transfer_id, file || ', line ' || line AS position,
  epoch_ms(try_cast(day AS TIMESTAMP)) AS time_ms,
  CASE class WHEN 'in_transit' THEN 'Stripe reports it, and the group has not committed it yet'
    WHEN 'missing_in_ledger' THEN CASE WHEN fed_gross IS NULL
      THEN 'Stripe reports it, and the settlement feed does not have it'
      ELSE 'Stripe reports it, and nothing of it is on the clearing account' END
    WHEN 'category_mismatch' THEN 'Stripe reports it as ' || category || ', the settlement feed as '
      || fed_category
    WHEN 'fee_mismatch' THEN 'the fee or net that Stripe reports is not that of the settlement feed'
    ELSE 'Stripe reports another amount than the settlement feed or the clearing account' END
    || CASE WHEN fed_gross IS NULL THEN '' ELSE '; in minor units Stripe: gross ' || gross
      || ', fee ' || fee || ', net ' || net || '; the feed: gross ' || fed_gross || ', fee '
      || fed_fee || ', net ' || fed_net END AS detail
FROM judged WHERE class <> 'matched';
"""

PAYOUTS: Final = """
CREATE TABLE payouts AS
  WITH listed AS (
    SELECT payout, currency, min(file) AS file, min(line) AS line, max(day) AS day,
      count(*) FILTER (NOT is_payout) AS rows,
      CAST(coalesce(sum(gross) FILTER (NOT is_payout), 0) AS HUGEINT) AS gross,
      CAST(coalesce(sum(fee) FILTER (NOT is_payout), 0) AS HUGEINT) AS fee,
      CAST(coalesce(sum(net) FILTER (NOT is_payout), 0) AS HUGEINT) AS net,
      CAST(-sum(net) FILTER (is_payout) AS HUGEINT) AS own
    FROM report WHERE payout <> '' GROUP BY payout, currency),
  paid AS (
    SELECT source AS payout, currency, CAST(-sum(net) AS HUGEINT) AS fed FROM fed
    WHERE list_contains($payouts, category) GROUP BY source, currency)
  SELECT l.*, coalesce(l.own, p.fed) AS paid, l.net - coalesce(l.own, p.fed) AS off
  FROM listed l LEFT JOIN paid p USING (payout, currency);
"""

UNTIED: Final = """
INSERT INTO items BY NAME
WITH absent AS (SELECT s.* FROM fed s ANTI JOIN report r ON r.txn = s.txn)
SELECT 'missing_in_report' AS class, true AS differs, p.currency AS currency,
  p.paid AS expected_amount, p.net AS actual_amount,
  p.payout AS event_id, 'payout' AS event_type,
  CASE WHEN count(a.txn) = 1 THEN min(a.txn) ELSE '' END AS transfer_id,
  p.file || ', line ' || p.line AS position, epoch_ms(try_cast(p.day AS TIMESTAMP)) AS time_ms,
  CASE WHEN p.paid IS NULL
      THEN 'the payout has rows, and neither the report nor the settlement feed has its own'
    WHEN count(a.txn) = 1 THEN 'the payout does not tie; the row of ' || min(a.txn)
      || ' from the settlement feed is missing and accounts for it'
    ELSE 'the payout does not tie: its rows do not add up to what was paid' END AS detail
FROM payouts p LEFT JOIN absent a ON a.currency = p.currency AND a.net = -p.off
WHERE p.off IS NULL OR p.off <> 0
GROUP BY p.payout, p.currency, p.paid, p.net, p.file, p.line, p.day;
"""

LACKING: Final = """
INSERT INTO items BY NAME
WITH days AS (
  SELECT epoch_ms(try_cast(min(day) AS TIMESTAMP)) AS first_ms,
    epoch_ms(try_cast(max(day) AS TIMESTAMP)) + 86400000 AS end_ms FROM report),
activity AS (
  SELECT epoch_ms(min(try_cast(created_at AS TIMESTAMP))) AS first_ms,
    epoch_ms(max(try_cast(created_at AS TIMESTAMP))) AS last_ms
  FROM report WHERE is_activity)
SELECT 'missing_in_report' AS class, true AS differs, s.currency AS currency,
  abs(s.net) AS expected_amount, CASE WHEN s.source = '' THEN s.txn ELSE s.source END AS event_id,
  s.category AS event_type, s.txn AS transfer_id, s.time_ms AS time_ms,
  'the settlement feed has it, and the report of its days does not' AS detail
FROM fed s, days, activity
WHERE NOT s.in_transit AND s.on_balance AND s.txn NOT IN (SELECT txn FROM report)
  AND ((s.category = 'payout' AND s.source NOT IN (SELECT payout FROM report)
      AND (SELECT bool_or(is_payout OR payout <> '') FROM report)
      AND s.time_ms >= days.first_ms AND s.time_ms < days.end_ms)
    OR (NOT list_contains($payouts, s.category) AND s.time_ms >= activity.first_ms
      AND s.time_ms <= activity.last_ms));
"""
"""A payout on the days of a report that has payouts; any other row between the first and the last
of a report of all activity, which has no column for payouts."""


def require_settled_books(rulebook: Rulebook) -> None:
    """Refuse books in which a report's row cannot be compared with its balance transaction.

    Raises:
        UsageError: payment events move the clearing account too.
    """
    if UNSETTLED not in rulebook.accounts:
        raise UsageError(
            "--stripe-report needs books in which only settlement events move stripe_clearing:"
            f" the rulebook has no account {UNSETTLED}"
        )


def compare_report(database: Database, rulebook: Rulebook) -> dict[str, Any]:
    """Add the reports' items; what a summary says of the payouts."""
    categories = {"payouts": list(PAYOUT_CATEGORIES)}
    database.execute(REPORT_ROWS, categories)
    database.execute(MOVED)
    database.execute(ROWS)
    database.execute(PAYOUTS, categories)
    database.execute(UNTIED)
    database.execute(LACKING, categories)
    table = [_payout(row, rulebook) for row in database.execute(TABLE).fetchall()]
    waiting = database.execute(
        "SELECT currency, count(*), CAST(sum(net) AS VARCHAR) FROM report WHERE payout = ''"
        " AND NOT is_activity GROUP BY currency ORDER BY currency"
    ).fetchall()
    tied = sum(payout["tied"] for payout in table)
    return {
        "payouts_that_tie": tied,
        "payouts_that_do_not": len(table) - tied,
        "table": table,
        "not_paid_out": [
            {"currency": currency, "rows": rows, "net": net} for currency, rows, net in waiting
        ],
    }


TABLE: Final = """
SELECT payout, currency, day, rows, CAST(gross AS VARCHAR), CAST(fee AS VARCHAR),
  CAST(net AS VARCHAR), CAST(paid AS VARCHAR), coalesce(off = 0, false)
FROM payouts ORDER BY day, currency, payout
"""


def _payout(row: tuple[Any, ...], rulebook: Rulebook) -> dict[str, Any]:
    """A payout for the summary; amounts in major units."""
    payout, currency, day, rows, *amounts, tied = row
    scale = rulebook.ledgers[currency].scale
    shown = ["" if amount is None else major_units(int(amount), scale) for amount in amounts]
    names = ("gross", "fee", "net", "paid")
    about = {"payout": payout, "currency": currency, "day": day, "rows": rows}
    return about | dict(zip(names, shown, strict=True)) | {"tied": tied}
