"""The joins, in DuckDB: every difference between the sides becomes an item of exactly one class."""

from __future__ import annotations

from typing import Final

from worker.jobs.duckdb_rows import Database
from worker.jobs.reconcile.classify_announced import ANNOUNCEMENTS

PREPARE: Final = """
CREATE TABLE legs AS SELECT DISTINCT * FROM expected;
CREATE TABLE best AS
  SELECT tag, variant, arg_max(candidate, score) AS candidate FROM (
    SELECT l.tag, l.variant, l.candidate, count(a.transfer_id) * 100 - l.candidate AS score
    FROM legs l LEFT JOIN actual a USING (transfer_id)
    GROUP BY l.tag, l.variant, l.candidate)
  GROUP BY tag, variant;
CREATE TABLE compared AS
  SELECT l.*, a.debit AS stored_debit, a.credit AS stored_credit, a.amount AS stored_amount,
    a.ledger AS stored_ledger, a.position AS position, a.posted_ns AS posted_ns,
    CASE
      WHEN a.transfer_id IS NULL THEN 'absent'
      WHEN l.ledger <> a.ledger THEN 'currency_mismatch'
      WHEN l.debit <> '' AND l.debit <> a.debit THEN 'account_mismatch'
      WHEN l.credit <> '' AND l.credit <> a.credit THEN 'account_mismatch'
      WHEN l.pendings <> '' AND (a.pending_id = '' OR NOT contains(l.pendings, a.pending_id))
        THEN 'account_mismatch'
      WHEN l.amount_rule = 'equal' AND l.amount = a.amount THEN 'matched'
      WHEN l.amount_rule = 'at_most' AND a.amount <= l.amount THEN 'matched'
      WHEN l.amount_rule = 'reserved' AND (p.amount IS NULL OR a.amount = p.amount) THEN 'matched'
      WHEN l.is_fee THEN 'fee_mismatch'
      ELSE 'amount_mismatch'
    END AS verdict
  FROM legs l JOIN best USING (tag, variant, candidate)
  LEFT JOIN actual a USING (transfer_id)
  LEFT JOIN actual p ON p.transfer_id = a.pending_id AND a.pending_id <> '';
CREATE TABLE chains AS
  SELECT tag, variant, count(*) AS legs, count(*) FILTER (verdict = 'matched') AS matched,
    count(*) FILTER (verdict <> 'absent') AS present
  FROM compared GROUP BY tag, variant;
CREATE TABLE dead_once AS
  SELECT origin, min(reason) AS reason, min(position) AS position FROM dead GROUP BY origin;
CREATE TABLE parked_once AS
  SELECT origin, min(position) AS position FROM parked GROUP BY origin;
CREATE TABLE rejected_once AS
  SELECT event_id, min(reason) AS reason, min(position) AS position FROM rejected GROUP BY event_id;
CREATE TABLE stories AS
  SELECT e.tag, e.variant, min(e.event_id) AS event_id, min(e.event_type) AS event_type,
    min(e.origin) AS origin, min(e.time_ms) AS time_ms, bool_or(e.in_transit) AS in_transit,
    min(r.reason) AS rejected, min(d.reason) AS dead, min(p.position) AS parked,
    max(e.waits_for) AS waits_for
  FROM events e
  LEFT JOIN rejected_once r USING (event_id)
  LEFT JOIN dead_once d ON d.origin = e.origin
  LEFT JOIN parked_once p ON p.origin = e.origin
  WHERE e.outcome = 'chain' GROUP BY e.tag, e.variant;
CREATE TABLE states AS
  SELECT c.*, s.* EXCLUDE (tag, variant), c.legs = c.matched AS whole,
    bool_or(c.legs = c.matched) OVER (PARTITION BY c.tag) AS told_otherwise
  FROM chains c JOIN stories s USING (tag, variant);
CREATE TABLE items (
  class VARCHAR, differs BOOLEAN, ledger BIGINT, currency VARCHAR,
  expected_amount HUGEINT, actual_amount HUGEINT,
  expected_debit VARCHAR, expected_credit VARCHAR, actual_debit VARCHAR, actual_credit VARCHAR,
  event_id VARCHAR, event_type VARCHAR, leg VARCHAR, transfer_id VARCHAR,
  other_transfer_id VARCHAR, position VARCHAR, time_ms BIGINT, detail VARCHAR);
"""

DIFFERING_LEGS: Final = """
INSERT INTO items BY NAME
SELECT CASE c.verdict WHEN 'absent' THEN 'missing_in_ledger' ELSE c.verdict END AS class,
  true AS differs, c.ledger AS ledger, c.amount AS expected_amount,
  c.stored_amount AS actual_amount,
  c.debit_name AS expected_debit, c.credit_name AS expected_credit,
  c.stored_debit AS actual_debit, c.stored_credit AS actual_credit,
  s.event_id AS event_id, s.event_type AS event_type, c.leg_name AS leg,
  c.transfer_id AS transfer_id, s.origin AS position, s.time_ms AS time_ms,
  CASE c.verdict
    WHEN 'absent' THEN 'the ledger has other legs of this event, not this one'
    WHEN 'currency_mismatch' THEN 'the ledger holds it in another currency'
    WHEN 'account_mismatch' THEN 'the ledger moved the money between other accounts'
    ELSE 'the ledger holds another amount than the event asks for' END AS detail
FROM compared c JOIN states s USING (tag, variant)
WHERE c.verdict <> 'matched' AND s.present > 0 AND NOT (s.told_otherwise AND s.dead IS NOT NULL);
"""

OTHER_MONEY: Final = """
INSERT INTO items BY NAME
SELECT 'dead' AS class, true AS differs, c.ledger AS ledger, c.amount AS expected_amount,
  c.stored_amount AS actual_amount, c.debit_name AS expected_debit,
  c.credit_name AS expected_credit, c.stored_debit AS actual_debit,
  c.stored_credit AS actual_credit,
  s.event_id AS event_id, s.event_type AS event_type, c.leg_name AS leg,
  c.transfer_id AS transfer_id, s.origin AS position, s.time_ms AS time_ms,
  s.dead || ': another event has the same key and other money' AS detail
FROM compared c JOIN states s USING (tag, variant)
WHERE c.verdict <> 'matched' AND s.present > 0 AND s.told_otherwise AND s.dead IS NOT NULL;
"""

ABSENT_CHAINS: Final = """
INSERT INTO items BY NAME
WITH judged AS (
  SELECT *, CASE WHEN rejected IS NOT NULL THEN 'rejected' WHEN dead IS NOT NULL THEN 'dead'
    WHEN in_transit THEN 'in_transit' WHEN parked IS NOT NULL THEN 'parked'
    WHEN waits_for = '' THEN 'missing_in_ledger'
    WHEN $announced THEN 'not_announced' ELSE 'parked' END AS class
  FROM states)
SELECT s.class AS class, s.class IN ('missing_in_ledger', 'not_announced', 'dead')
    OR (s.class = 'parked' AND s.time_ms < $late_ms) AS differs,
  c.ledger AS ledger, c.amount AS expected_amount,
  c.debit_name AS expected_debit, c.credit_name AS expected_credit,
  s.event_id AS event_id, s.event_type AS event_type, c.leg_name AS leg,
  c.transfer_id AS transfer_id, s.origin AS position, s.time_ms AS time_ms,
  CASE s.class WHEN 'rejected' THEN 'the ledger refused it: ' || s.rejected
    WHEN 'dead' THEN 'dead letter: ' || s.dead
    WHEN 'in_transit' THEN 'the worker has not come to it yet'
    WHEN 'parked' THEN 'it waits for its predecessor: ' || coalesce(s.parked, s.waits_for)
    WHEN 'not_announced' THEN s.waits_for || ', and no topic has the event as waiting or dead'
    ELSE 'nothing of this event is in the ledger, and nothing says why' END AS detail
FROM compared c JOIN judged s USING (tag, variant)
WHERE s.present = 0;
"""

UNEXPLAINED: Final = """
INSERT INTO items BY NAME
WITH explained AS (
  SELECT a.tag, a.leg, a.legs, min(a.transfer_id) AS transfer_id
  FROM actual a JOIN legs l USING (transfer_id) GROUP BY a.tag, a.leg, a.legs)
SELECT CASE WHEN a.in_transit THEN 'in_transit' WHEN x.tag IS NULL THEN 'not_in_any_topic'
    ELSE 'duplicate' END AS class,
  NOT a.in_transit AS differs, a.ledger AS ledger, a.amount AS actual_amount,
  a.debit AS actual_debit, a.credit AS actual_credit, a.transfer_id AS transfer_id,
  x.transfer_id AS other_transfer_id, a.position AS position,
  CAST('0x' || left(a.transfer_id, 12) AS BIGINT) AS time_ms,
  CASE WHEN a.in_transit THEN 'posted by a record that came after the reading began'
    WHEN x.tag IS NULL THEN 'no event in the topics explains this transfer'
    ELSE 'one key under two ids: the same leg is in the ledger twice' END AS detail
FROM actual a ANTI JOIN legs l USING (transfer_id)
LEFT JOIN explained x ON x.tag = a.tag AND x.leg = a.leg AND x.legs = a.legs
WHERE a.in_range;
"""

BOOKED_TWICE: Final = """
INSERT INTO items BY NAME
WITH booked AS (
  SELECT a.*, l.leg_name,
    first_value(a.transfer_id) OVER same AS first_id,
    first_value(a.amount) OVER same AS first_amount, row_number() OVER same AS nth
  FROM actual a JOIN (SELECT DISTINCT transfer_id, leg_name FROM legs) l USING (transfer_id)
  WINDOW same AS (PARTITION BY a.tag, a.leg ORDER BY a.posted_ns))
SELECT 'duplicate' AS class, true AS differs, b.ledger AS ledger,
  b.first_amount AS expected_amount, b.amount AS actual_amount,
  b.debit AS actual_debit, b.credit AS actual_credit, b.leg_name AS leg,
  s.event_id AS event_id, s.event_type AS event_type,
  b.transfer_id AS transfer_id, b.first_id AS other_transfer_id, b.position AS position,
  CAST('0x' || left(b.transfer_id, 12) AS BIGINT) AS time_ms,
  'one fact under two ids: two events tell it with different times, and both were posted' AS detail
FROM booked b LEFT JOIN (
  SELECT c.transfer_id, min(s.event_id) AS event_id, min(s.event_type) AS event_type
  FROM compared c JOIN states s USING (tag, variant) GROUP BY c.transfer_id) s USING (transfer_id)
WHERE b.nth > 1 AND b.in_range;
"""

ANNOUNCED_ONLY: Final = """
INSERT INTO items BY NAME
SELECT CASE WHEN t.posted_ns > $cut THEN 'in_transit' ELSE 'missing_in_ledger' END AS class,
  t.posted_ns <= $cut AS differs, t.ledger AS ledger, t.amount AS expected_amount,
  t.debit AS expected_debit, t.credit AS expected_credit, t.event_id AS event_id,
  t.transfer_id AS transfer_id, t.position AS position,
  CAST('0x' || left(t.transfer_id, 12) AS BIGINT) AS time_ms,
  CASE WHEN t.posted_ns > $cut THEN 'announced after the reading of the ledger began'
    ELSE 'the outbox tells it, and the ledger does not have it' END AS detail
FROM announced t ANTI JOIN actual a USING (transfer_id)
WHERE t.in_range
  AND t.transfer_id NOT IN (SELECT transfer_id FROM items WHERE class = 'missing_in_ledger');
"""

DEAD_EVENTS: Final = """
INSERT INTO items BY NAME
SELECT CASE WHEN d.origin IS NOT NULL OR NOT $announced THEN 'dead'
    WHEN e.in_transit THEN 'in_transit' ELSE 'not_announced' END AS class,
  d.origin IS NOT NULL OR NOT $announced OR NOT e.in_transit AS differs,
  e.event_id AS event_id, e.event_type AS event_type, e.origin AS position, e.time_ms AS time_ms,
  CASE WHEN d.origin IS NOT NULL OR NOT $announced THEN 'dead letter: ' || e.reason
    WHEN e.in_transit THEN 'the worker has not come to it yet'
    ELSE 'it cannot be posted (' || e.reason || '), and there is no dead letter of it' END AS detail
FROM events e LEFT JOIN dead_once d USING (origin) WHERE e.outcome = 'dead';
"""

UNREADABLE: Final = """
INSERT INTO items BY NAME
SELECT 'unreadable' AS class, true AS differs, position, time_ms, why AS detail FROM unreadable;
"""

TWICE_IN_TOPICS: Final = """
INSERT INTO items BY NAME
SELECT 'duplicate' AS class, false AS differs, event_id, min(event_type) AS event_type,
  string_agg(origin, ' ' ORDER BY origin) AS position, min(time_ms) AS time_ms,
  'the event is in the topics ' || count(*) || ' times; it was posted at most once' AS detail
FROM events WHERE event_id <> '' AND outcome = 'chain'
GROUP BY event_id, tag, variant HAVING count(*) > 1;
"""


def classify(
    database: Database, *, first_ns: int, cut_ns: int, late_ms: int, announced: bool
) -> None:
    """Fill `items`.

    first_ns: the ledger's oldest transfer; what was announced before it is of a lost ledger.
    cut_ns: the newest transfer that was read. late_ms: what waits since before is a difference.
    announced: were topics of announcements read? Without them nothing is said about announcements.
    """
    database.execute(PREPARE)
    for statement in (DIFFERING_LEGS, OTHER_MONEY, UNEXPLAINED, BOOKED_TWICE, TWICE_IN_TOPICS):
        database.execute(statement)
    database.execute(UNREADABLE)
    database.execute(ABSENT_CHAINS, {"announced": announced, "late_ms": late_ms})
    database.execute(DEAD_EVENTS, {"announced": announced})
    if announced:
        database.execute(ANNOUNCEMENTS, {"first": first_ns})
        database.execute(ANNOUNCED_ONLY, {"cut": cut_ns})


def name_currencies(database: Database) -> None:
    """Say each item's currency by its name, once everything is in."""
    database.execute(
        "UPDATE items SET currency = c.currency FROM currencies c"
        " WHERE c.ledger = items.ledger AND items.currency IS NULL"
    )
