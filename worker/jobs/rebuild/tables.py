"""The DuckDB tables of a rebuild, and the queries before anything is posted.

Amounts and 128-bit ids are texts, compared and never summed; pending_id "" means none.
"""

from __future__ import annotations

from typing import Final

ANNOUNCED: Final = {
    "transfer_id": "VARCHAR",
    "event_id": "VARCHAR",
    "attempt": "INTEGER",
    "leg": "INTEGER",
    "legs": "INTEGER",
    "debit": "VARCHAR",
    "credit": "VARCHAR",
    "debit_name": "VARCHAR",
    "debit_key": "VARCHAR",
    "credit_name": "VARCHAR",
    "credit_key": "VARCHAR",
    "pending_id": "VARCHAR",
    "amount": "VARCHAR",
    "ledger": "BIGINT",
    "code": "INTEGER",
    "flags": "INTEGER",
    "kind": "VARCHAR",
    "posted_ns": "BIGINT",
}
SOURCE: Final = {
    "number": "BIGINT",  # in the order of reading
    "event_id": "VARCHAR",
    "topic": "VARCHAR",
    "part": "INTEGER",
    "record_offset": "BIGINT",  # -1 where an archive does not say
    "digest": "VARCHAR",
    "value_at": "BIGINT",  # where its value begins in the file of values
    "size": "BIGINT",
}
REFUSED: Final = {"event_id": "VARCHAR", "attempt": "INTEGER", "position": "VARCHAR"}
STORED: Final = {
    "transfer_id": "VARCHAR",
    "debit": "VARCHAR",
    "credit": "VARCHAR",
    "pending_id": "VARCHAR",
    "amount": "VARCHAR",
    "ledger": "BIGINT",
    "code": "INTEGER",
    "flags": "INTEGER",
}
TABLES: Final = {"announced": ANNOUNCED, "source": SOURCE, "refused": REFUSED, "stored": STORED}

PREPARE: Final = """
CREATE TABLE latest AS SELECT DISTINCT t.* FROM announced t JOIN (
  SELECT transfer_id, max(posted_ns) AS posted_ns FROM announced GROUP BY transfer_id)
  USING (transfer_id, posted_ns);
CREATE TABLE leg AS
  SELECT t.posted_ns - t.leg AS start_ns, t.*,
    t.kind = 'pending' AND s.pending_id IS NULL AS unsettled
  FROM latest t LEFT JOIN (SELECT DISTINCT pending_id FROM latest WHERE kind IN ('post', 'void')) s
    ON s.pending_id = t.transfer_id
  ORDER BY start_ns, leg;
CREATE TABLE known AS SELECT s.* FROM source s JOIN (
  SELECT min(number) AS number FROM source GROUP BY event_id, topic, digest) USING (number);
CREATE TABLE source_of AS
  SELECT c.start_ns, k.* FROM (SELECT DISTINCT start_ns, event_id FROM leg) c
  JOIN known k USING (event_id) ORDER BY c.start_ns, k.number;
CREATE TABLE refusal AS
  SELECT DISTINCT k.*, r.attempt FROM refused r
  JOIN source s ON s.event_id = r.event_id
    AND s.topic || '/' || s.part || '@' || s.record_offset = r.position
  JOIN known k ON k.event_id = s.event_id AND k.topic = s.topic AND k.digest = s.digest
  UNION
  SELECT k.*, r.attempt FROM refused r JOIN known k USING (event_id)
  WHERE k.event_id IN (SELECT event_id FROM known GROUP BY event_id HAVING count(*) = 1)
  ORDER BY number;
"""

TORN: Final = """
SELECT count(*), min(event_id) FROM (
  SELECT min(event_id) AS event_id FROM leg GROUP BY start_ns
  HAVING count(*) <> max(legs) OR count(DISTINCT leg) <> max(legs)
    OR min(event_id) <> max(event_id))
"""
EVENTLESS: Final = """
SELECT count(DISTINCT event_id), min(event_id) FROM leg ANTI JOIN source_of USING (start_ns)
"""
STRANGERS: Final = """
SELECT count(*), min(transfer_id) FROM stored ANTI JOIN leg USING (transfer_id)
"""
OTHERWISE: Final = """
SELECT count(*), min(transfer_id) FROM stored h JOIN leg l USING (transfer_id)
WHERE (h.debit, h.credit, h.pending_id, h.amount, h.ledger, h.code, h.flags)
  <> (l.debit, l.credit, l.pending_id, l.amount, l.ledger, l.code, l.flags)
"""
LEAVE_OUT_STORED: Final = """
DELETE FROM leg WHERE start_ns IN (SELECT start_ns FROM leg JOIN stored USING (transfer_id))
"""
