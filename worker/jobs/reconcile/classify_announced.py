"""Announcements against the ledger, field by field, in DuckDB."""

from __future__ import annotations

from typing import Final

ANNOUNCEMENTS: Final = """
INSERT INTO items BY NAME
WITH known AS (
  SELECT transfer_id, min(leg_name) AS leg_name, list(DISTINCT leg_name) AS leg_names,
    min(candidate) // 2 AS attempt
  FROM legs GROUP BY transfer_id),
telling AS (
  SELECT DISTINCT tag, event_id, event_type, created_at FROM events WHERE outcome = 'chain'),
agreeing AS (
  SELECT min(a.posted_ns) AS since
  FROM actual a JOIN announced t USING (transfer_id) WHERE t.posted_ns = a.posted_ns),
told AS (
  SELECT t.*, count(*) OVER (PARTITION BY t.transfer_id) AS times FROM announced t),
joined AS (
  SELECT a.*, t.times, t.event_id, t.amount AS announced_amount,
    t.position AS announced_position, k.leg_name,
    t.debit <> a.debit OR t.credit <> a.credit AS other_accounts,
    t.amount <> a.amount AS other_amount, t.ledger <> a.ledger AS other_ledger,
    t.posted_ns < $first AND coalesce(a.posted_ns < g.since, true) AS of_a_lost_ledger,
    concat_ws(', ', nullif(t.wrong, ''),
      CASE WHEN t.pending_id <> a.pending_id THEN 'pending_id' END,
      CASE WHEN t.leg <> a.leg THEN 'leg_number' END,
      CASE WHEN t.legs <> a.legs THEN 'leg_count' END,
      CASE WHEN t.code <> a.code THEN 'code' END,
      CASE WHEN t.flags <> a.flags THEN 'flags' END,
      CASE WHEN t.tag NOT IN ('', a.tag) THEN 'fact' END,
      CASE WHEN t.record <> '' AND a.position NOT IN ('', t.record)
        THEN 'topic, partition or offset' END,
      CASE WHEN NOT list_contains(k.leg_names, t.leg_name) THEN 'transaction or leg' END,
      CASE WHEN t.attempt <> k.attempt THEN 'attempt' END,
      CASE WHEN e.tag IS NULL THEN 'event_id, event_type or event_created' END) AS fields,
    concat_ws(', ',
      CASE WHEN t.posted_ns <> a.posted_ns THEN 'ledger_timestamp' END,
      CASE WHEN t.tag <> '' AND t.expires_at <> a.expires_at THEN 'expires_at' END) AS times_of_it
  FROM actual a JOIN known k USING (transfer_id) CROSS JOIN agreeing g
  LEFT JOIN told t USING (transfer_id)
  LEFT JOIN telling e ON e.tag = a.tag AND e.event_id = t.event_id
    AND e.event_type = t.event_type AND e.created_at = t.created_at
  WHERE a.in_range),
judged AS (
  SELECT *, CASE WHEN times IS NULL AND in_transit THEN 'in_transit'
      WHEN times IS NULL THEN 'not_announced'
      WHEN other_accounts THEN 'account_mismatch'
      WHEN other_amount THEN 'amount_mismatch'
      WHEN other_ledger THEN 'currency_mismatch'
      WHEN fields <> '' THEN 'announcement_mismatch'
      WHEN times > 1 THEN 'duplicate'
      WHEN times_of_it <> '' AND NOT of_a_lost_ledger THEN 'announcement_mismatch'
      ELSE 'matched' END AS verdict
  FROM joined)
SELECT DISTINCT ON (transfer_id) verdict AS class, verdict <> 'in_transit' AS differs, ledger,
  announced_amount AS expected_amount, amount AS actual_amount, debit AS actual_debit,
  credit AS actual_credit, event_id, leg_name AS leg, transfer_id,
  coalesce(announced_position, position) AS position,
  CAST('0x' || left(transfer_id, 12) AS BIGINT) AS time_ms,
  CASE verdict WHEN 'in_transit' THEN 'posted, and its announcement is under way'
    WHEN 'not_announced' THEN 'it is in the ledger, and the outbox does not tell it'
    WHEN 'duplicate' THEN 'the outbox tells it ' || times || ' times'
    WHEN 'announcement_mismatch' THEN 'the outbox tells it otherwise than the ledger holds it: '
      || concat_ws(', ', nullif(fields, ''), nullif(times_of_it, ''))
    ELSE 'the outbox tells it otherwise than the ledger holds it' END AS detail
FROM judged WHERE verdict <> 'matched'
ORDER BY transfer_id, verdict = 'duplicate', verdict, announced_position;
"""
"""One item for a transfer, by the announcement that is worst."""
