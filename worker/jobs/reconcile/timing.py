"""What was posted in one period about another, and what a closed period says that is so no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.jobs.duckdb_rows import Database, columns_sql, stage_rows
from worker.jobs.reconcile.periods import ClosedPeriod
from worker.jobs.reconcile.roll_forward import Lines
from worker.jobs.reconcile.unsettled import OPEN_CLASSES
from worker.ledger.books import NamedLedger

CLOSED: Final = {"start_ms": "BIGINT", "end_ms": "BIGINT", "cut_ns": "BIGINT", "name": "VARCHAR"}

TIMING: Final = """
INSERT INTO items BY NAME
WITH timed AS (
  SELECT a.*, CAST('0x' || left(a.transfer_id, 12) AS BIGINT) AS fact_ms FROM actual a),
placed AS (
  SELECT t.*, c.name AS closed
  FROM timed t LEFT JOIN closed c
    ON t.fact_ms >= c.start_ms AND t.fact_ms < c.end_ms AND t.posted_ns >= c.cut_ns
  WHERE (t.in_range AND c.name IS NOT NULL) OR (t.fact_ms < $start_ms
    AND t.posted_ns >= $start_ms * 1000000
    AND ($end_ms = 0 OR t.posted_ns < $end_ms * 1000000))),
told AS (
  SELECT transfer_id, min(event_id) AS event_id, min(leg_name) AS leg_name FROM announced
  GROUP BY transfer_id)
SELECT CASE WHEN p.closed IS NULL THEN 'backdated' ELSE 'late' END AS class,
  p.closed IS NOT NULL AND NOT p.in_transit AS differs, p.ledger AS ledger,
  p.amount AS actual_amount, p.debit AS actual_debit, p.credit AS actual_credit,
  t.event_id AS event_id, t.leg_name AS leg, p.transfer_id AS transfer_id, p.position AS position,
  p.fact_ms AS time_ms,
  CASE WHEN p.closed IS NULL THEN 'posted in this period about a fact before it: at '
    ELSE 'posted after the period ' || p.closed || ' was closed: at ' END
    || strftime(make_timestamp(p.posted_ns // 1000), '%Y-%m-%d %H:%M:%S') AS detail
FROM placed p LEFT JOIN told t USING (transfer_id);
"""

SEED: Final = {
    "about": "VARCHAR",
    "ledger": "BIGINT",
    "payments": "HUGEINT",
    "settlements": "HUGEINT",
    "since_ms": "BIGINT",
}


def list_times(
    database: Database, closed: Sequence[ClosedPeriod], *, start_ms: int, end_ms: int
) -> None:
    """Add what was posted late into closed periods, and what is backdated into this one.

    start_ms, end_ms: the range of the facts; 0 is open.
    """
    database.execute(f"CREATE TABLE closed ({columns_sql(CLOSED)})")
    rows = (
        (period.start_ns // 1_000_000, period.end_ns // 1_000_000, period.cut_ns, period.name)
        for period in closed
    )
    stage_rows(database, "closed", CLOSED, rows)
    database.execute(TIMING, {"start_ms": start_ms, "end_ms": end_ms})


def stage_open(database: Database, before: ClosedPeriod | None) -> None:
    """Fill the table `carried_open`: what the last period left open on `stripe_unsettled`."""
    database.execute(f"CREATE TABLE carried_open ({columns_sql(SEED)})")
    rows = [
        (
            item["event_id"],
            item["ledger"],
            item["expected"] or 0,
            item["actual"] or 0,
            item["time_ms"] or 0,
        )
        for item in (before.items if before else ())
        if item["class"] in OPEN_CLASSES
    ]
    stage_rows(database, "carried_open", SEED, rows)


def compare_balances(
    database: Database,
    lines: Lines,
    period: ClosedPeriod,
    books: NamedLedger,
    *,
    at: str = "opening",
) -> None:
    """Add an item for each account that is not what it was closed with, and what came late.

    at: `closing` where the closed period itself is looked at again.
    """
    late = _late_by_account(database, period)
    now = {(line["account"], line["ledger"]): line[at] for line in lines}
    then = {_split(name, books): net for name, net in period.accounts.items()}
    for account in sorted(now.keys() | then.keys() | late.keys()):
        expected = then.get(account, 0) + late.get(account, 0)
        if now.get(account, 0) != expected:
            row: dict[str, Any] = {
                "name": account[0],
                "ledger": account[1],
                "expected": expected,
                "actual": now.get(account, 0),
                "period": period.name,
            }
            database.execute(OPENING, row)


OPENING: Final = """
INSERT INTO items BY NAME
SELECT 'opening_mismatch' AS class, true AS differs, $ledger AS ledger,
  $expected AS expected_amount, $actual AS actual_amount,
  $name AS event_id, 'account' AS event_type,
  'the balance at the end of the closed period ' || $period || ' is another now' AS detail
"""
LATE_MOVED: Final = """
WITH late AS (
  SELECT a.ledger, a.debit, a.credit, a.amount FROM actual a
  WHERE a.posted_ns >= $cut AND a.flags & 10 = 0
    AND CAST('0x' || left(a.transfer_id, 12) AS BIGINT) < $end_ms),
entries AS (
  SELECT ledger, debit AS account_id, amount AS net FROM late
  UNION ALL SELECT ledger, credit, -amount FROM late)
SELECT n.name, e.ledger, CAST(sum(e.net) AS VARCHAR)
FROM entries e JOIN all_accounts n USING (account_id) GROUP BY n.name, e.ledger
"""


def _late_by_account(database: Database, before: ClosedPeriod) -> dict[tuple[str, int], int]:
    """What was posted about facts before the period's end after it was closed."""
    limits = {"cut": before.cut_ns, "end_ms": before.end_ns // 1_000_000}
    found = database.execute(LATE_MOVED, limits).fetchall()
    return {(name, ledger): int(net) for name, ledger, net in found}


def _split(name: str, books: NamedLedger) -> tuple[str, int]:
    account, _, currency = name.rpartition("/")
    return account, books.ledger_of(currency)


CARRIED: Final = {
    "class": "VARCHAR",
    "ledger": "BIGINT",
    "expected": "HUGEINT",
    "actual": "HUGEINT",
    **dict.fromkeys(("event_id", "leg", "transfer_id", "position", "currency"), "VARCHAR"),
    "time_ms": "BIGINT",
    "detail": "VARCHAR",
    **dict.fromkeys(("owner", "comment", "resolution"), "VARCHAR"),
    "on_account": "BOOLEAN",
    "still_open": "BOOLEAN",
    "settled": "BOOLEAN",
}
FOUND_AGAIN: Final = """
UPDATE carried SET still_open = true FROM items i
WHERE i.event_id = carried.event_id AND coalesce(i.currency, '') = carried.currency
  AND ((carried.on_account AND i.class IN $open) OR (i.class = carried.class
    AND coalesce(i.leg, '') = carried.leg AND coalesce(i.transfer_id, '') = carried.transfer_id
    AND coalesce(i.position, '') = carried.position))
"""
SAID: Final = """
UPDATE items SET differs = items.differs AND c.resolution = '', detail = items.detail
  || CASE WHEN c.owner <> '' THEN '; owner: ' || c.owner ELSE '' END
  || CASE WHEN c.comment <> '' THEN '; ' || c.comment ELSE '' END
  || CASE WHEN c.resolution <> '' THEN '; resolved: ' || c.resolution ELSE '' END
FROM carried c WHERE c.still_open AND items.event_id = c.event_id
  AND coalesce(items.currency, '') = c.currency
  AND (items.class = c.class OR (c.on_account AND items.class IN $open))
"""
CARRY: Final = """
INSERT INTO items BY NAME
SELECT class, true AS differs, nullif(ledger, 0) AS ledger, nullif(currency, '') AS currency,
  CASE WHEN expected = $none THEN NULL ELSE expected END AS expected_amount,
  CASE WHEN actual = $none THEN NULL ELSE actual END AS actual_amount, event_id, leg, transfer_id,
  position, time_ms, detail || '; carried on from the period ' || $period
    || CASE WHEN owner <> '' THEN '; owner: ' || owner ELSE '' END
    || CASE WHEN comment <> '' THEN '; ' || comment ELSE '' END AS detail
FROM carried WHERE NOT on_account AND NOT still_open AND NOT settled AND resolution = ''
"""
AT_BANK: Final = """
UPDATE carried SET settled = true WHERE
  (class = 'missing_in_bank' AND transfer_id IN (SELECT name FROM bank_tied))
  OR (class = 'bank_only' AND position IN (SELECT name FROM bank_tied))
"""
NO_AMOUNT: Final = -(1 << 126)
"""Stands for an amount that an item does not have; no amount of the ledger is so small."""


def carry_items(database: Database, before: ClosedPeriod | None) -> None:
    """Add what the last closed period left open and nobody has resolved, with people's words.

    What was open on `stripe_unsettled` is found anew, so it only gets the words.
    """
    database.execute(f"CREATE TABLE carried ({columns_sql(CARRIED)})")
    if before is None:
        return
    stage_rows(database, "carried", CARRIED, map(_carried_row, before.items))
    database.execute(AT_BANK)
    database.execute(FOUND_AGAIN, {"open": list(OPEN_CLASSES)})
    database.execute(SAID, {"open": list(OPEN_CLASSES)})
    database.execute(CARRY, {"period": before.name, "none": NO_AMOUNT})


def _carried_row(item: Mapping[str, Any]) -> tuple[object, ...]:
    amounts = [NO_AMOUNT if item[name] is None else item[name] for name in ("expected", "actual")]
    texts = [item[name] for name in ("event_id", "leg", "transfer_id", "position", "currency")]
    words = [item[name] for name in ("owner", "comment", "resolution")]
    on_account = item["class"] in OPEN_CLASSES
    return (
        *(item["class"], item["ledger"] or 0, *amounts, *texts),
        *(item["time_ms"] or 0, item["detail"], *words, on_account, False, False),
    )


CARRIED_COUNTS: Final = """
SELECT count(*), count(*) FILTER (settled OR (NOT still_open AND on_account)),
  count(*) FILTER (resolution <> '') FROM carried
"""


def period_summary(database: Database, before: ClosedPeriod | None) -> dict[str, Any] | None:
    """What a summary says of the period before, and of what it left open."""
    if before is None:
        return None
    ((items, settled, resolved),) = database.execute(CARRIED_COUNTS).fetchall()
    return {
        "period": before.name,
        "closed_by": before.closed_by,
        "closed_at": before.closed_at,
        "digest": before.digest,
        "items_left_open": items,
        "settled_since": settled,
        "resolved": resolved,
    }
