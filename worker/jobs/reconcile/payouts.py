"""Stripe's report against the books: every row, and every payout.

A payout ties when its rows, its own included, add up to zero; else it is an item, even where every
row agrees with the ledger. A row is compared with its own balance transaction where only those move
the clearing account. In other books its principal is what its source object moved there, and its
fee what the balance transaction moved.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

from worker.core.rulebook import Rulebook
from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.stripe_side import UNSETTLED

PAYOUT_CATEGORIES: Final = "('payout', 'payout_reversal', 'payout_failure', 'payout_cancel')"

PREPARE: Final = """
CREATE TABLE moved AS
  SELECT e.object_id, cu.currency, CAST(sum(c.clearing_sign * c.held_amount) AS HUGEINT) AS amount
  FROM (SELECT DISTINCT tag, variant, object_id FROM events WHERE outcome = 'chain') e
  JOIN compared c USING (tag, variant) JOIN currencies cu ON cu.ledger = c.ledger
  WHERE c.verdict <> 'absent' AND c.clearing_sign <> 0 AND e.object_id <> ''
  GROUP BY e.object_id, cu.currency;
CREATE TABLE sides AS
  WITH rows AS (
    SELECT r.*, CASE WHEN $settled OR r.source = '' THEN r.txn ELSE r.source END AS about,
      coalesce(m.amount, 0) AS own, m.amount IS NOT NULL AS own_known
    FROM report r LEFT JOIN moved m ON m.object_id = r.txn AND m.currency = r.currency)
  SELECT r.about, r.currency, min(r.source) AS source, min(r.line) AS line,
    min(r.txn) AS txn, min(r.payout) AS payout,
    min(r.day) AS day, string_agg(DISTINCT r.category, ', ') AS category,
    CAST(sum(r.gross) AS HUGEINT) AS gross, CAST(sum(r.fee) AS HUGEINT) AS fee,
    CAST(sum(r.net) AS HUGEINT) AS net, CAST(sum(r.own) AS HUGEINT) AS own,
    CAST(max(CASE WHEN m.object_id = r.txn THEN 0 ELSE coalesce(m.amount, 0) END) AS HUGEINT)
      AS principal,
    bool_or(r.own_known) OR bool_or(m.amount IS NOT NULL) AS known
  FROM rows r LEFT JOIN moved m ON m.object_id = r.about AND m.currency = r.currency
  WHERE $settled OR NOT (r.category IN {payouts} AND NOT $booked)
  GROUP BY r.about, r.currency;
"""

ROWS: Final = """
INSERT INTO items BY NAME
WITH fed AS (
  SELECT DISTINCT ON (txn) txn, gross AS fed_gross, fee AS fed_fee FROM settled ORDER BY txn),
judged AS (
  SELECT sides.*, CASE WHEN $settled AND fed_gross IS NOT NULL THEN gross = fed_gross
      ELSE gross = principal END AS same_gross,
    $settled AND (gross, fee) <> (fed_gross, fed_fee) AS told_otherwise
  FROM sides LEFT JOIN fed USING (txn))
SELECT CASE WHEN NOT known THEN 'missing_in_ledger'
    WHEN same_gross THEN 'fee_mismatch' ELSE 'amount_mismatch' END AS class,
  true AS differs, currency, net AS expected_amount, principal + own AS actual_amount,
  CASE WHEN source = '' THEN about ELSE source END AS event_id, category AS event_type,
  txn AS transfer_id,
  'report line ' || line AS place, epoch_ms(try_cast(day AS TIMESTAMP)) AS time_ms,
  CASE WHEN NOT known THEN 'Stripe reports it, and nothing of it is on the clearing account'
    WHEN same_gross THEN 'the fee that Stripe reports is not the one in the books'
    ELSE 'Stripe reports another amount than the clearing account moved' END AS detail
FROM judged WHERE net <> principal + own OR told_otherwise;
"""

PAYOUTS: Final = """
CREATE TABLE payouts AS
  SELECT payout, currency, count(*) AS rows, CAST(sum(net) AS HUGEINT) AS off,
    CAST(-sum(net) FILTER (category IN {payouts}) AS HUGEINT) AS paid, min(line) AS line,
    max(day) AS day
  FROM report WHERE payout <> '' GROUP BY payout, currency;
INSERT INTO items BY NAME
WITH absent AS (
  SELECT s.* FROM settled s ANTI JOIN report r ON r.txn = s.txn)
SELECT 'missing_in_report' AS class, true AS differs, p.currency AS currency,
  coalesce(p.paid, 0) AS expected_amount, p.off + coalesce(p.paid, 0) AS actual_amount,
  p.payout AS event_id, 'payout' AS event_type,
  CASE WHEN count(a.txn) = 1 THEN min(a.txn) ELSE '' END AS transfer_id,
  'report line ' || p.line AS place, epoch_ms(try_cast(p.day AS TIMESTAMP)) AS time_ms,
  CASE WHEN p.paid IS NULL THEN 'the payout has rows, and its own is missing'
    WHEN count(a.txn) = 1 THEN 'the payout does not tie; the row of ' || min(a.txn)
      || ' from the settlement feed is missing and accounts for it'
    ELSE 'the payout does not tie: its rows do not add up to what was paid' END AS detail
FROM payouts p LEFT JOIN absent a ON a.currency = p.currency AND a.net = -p.off
WHERE p.off <> 0
GROUP BY p.payout, p.currency, p.paid, p.off, p.line, p.day;
"""

PAYOUT_EVENTS: Final = """
INSERT INTO items BY NAME
SELECT 'missing_in_report' AS class, true AS differs, min(cu.currency) AS currency,
  -CAST(sum(c.clearing_sign * c.held_amount) AS HUGEINT) AS expected_amount,
  e.object_id AS event_id, min(e.event_type) AS event_type, min(e.origin) AS place,
  min(e.time_ms) AS time_ms, 'the books have this payout, and the report does not' AS detail
FROM events e JOIN compared c USING (tag, variant) JOIN currencies cu ON cu.ledger = c.ledger
WHERE e.event_type = 'payout.created' AND c.clearing_sign <> 0 AND c.verdict <> 'absent'
  AND e.object_id NOT IN (SELECT payout FROM report)
  AND e.time_ms <= (SELECT epoch_ms(try_cast(max(day) AS TIMESTAMP)) FROM report)
  AND e.time_ms >= (SELECT epoch_ms(try_cast(min(day) AS TIMESTAMP)) FROM report)
GROUP BY e.object_id;
"""


PAYOUT_ROWS: Final = """
INSERT INTO items BY NAME
WITH days AS (
  SELECT epoch_ms(try_cast(min(day) AS TIMESTAMP)) AS first_ms,
    epoch_ms(try_cast(max(day) AS TIMESTAMP)) + 86400000 AS end_ms FROM report)
SELECT DISTINCT ON (s.txn) 'missing_in_report' AS class, true AS differs, s.currency AS currency,
  -s.net AS expected_amount, s.source AS event_id, s.category AS event_type,
  s.txn AS transfer_id, s.time_ms AS time_ms,
  'the settlement feed has this payout, and the report does not' AS detail
FROM settled s, days WHERE s.category = 'payout' AND NOT s.in_transit
  AND s.source NOT IN (SELECT payout FROM report) AND s.txn NOT IN (SELECT txn FROM report)
  AND s.time_ms >= days.first_ms AND s.time_ms < days.end_ms;
"""


def books_payouts(rulebook: Rulebook) -> bool:
    """Does the rulebook move money for a payout at all?"""
    patterns = [pattern for transaction in rulebook.transactions for pattern in transaction.on]
    return any(fnmatchcase("payout.created", pattern) for pattern in patterns)


def compare_report(database: Database, rulebook: Rulebook) -> dict[str, Any]:
    """Add the report's items; what a summary says of the payouts."""
    settled = UNSETTLED in rulebook.accounts
    booked = settled or books_payouts(rulebook)
    database.execute(
        PREPARE.replace("{payouts}", PAYOUT_CATEGORIES).split(";\n")[0],
    )
    database.execute(
        PREPARE.replace("{payouts}", PAYOUT_CATEGORIES).split(";\n")[1],
        {"booked": booked, "settled": settled},
    )
    database.execute(ROWS, {"settled": settled})
    for statement in PAYOUTS.replace("{payouts}", PAYOUT_CATEGORIES).split(";\n"):
        if statement.strip():
            database.execute(statement)
    if booked:
        database.execute(PAYOUT_ROWS if settled else PAYOUT_EVENTS)
    tie, off = (
        database.execute(f"SELECT count(*) FROM payouts WHERE off {sign} 0").fetchone()  # noqa: S608 - ours
        for sign in ("=", "<>")
    )
    waiting = database.execute(
        "SELECT currency, count(*), CAST(sum(net) AS VARCHAR) FROM report WHERE payout = ''"
        " GROUP BY currency ORDER BY currency"
    ).fetchall()
    return {
        "payouts_that_tie": tie[0] if tie else 0,
        "payouts_that_do_not": off[0] if off else 0,
        "payouts_are_booked": booked,
        "not_paid_out": [
            {"currency": currency, "rows": rows, "net": net} for currency, rows, net in waiting
        ],
    }
