"""The tables that `sync` keeps for itself, beside yours: what is set aside, and its offsets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg

from worker.core.ports import TopicPartition
from worker.jobs.sync.cache import SetAsideRow
from worker.jobs.sync.portions import LOCKED, RefusedRow
from worker.jobs.sync.schema import SchemaProblem
from worker.jobs.sync.targets import SyncTarget

SET_ASIDE: Final = "ledger_sync_set_aside"
OFFSETS: Final = "ledger_sync_offsets"
PAGE: Final = 1000

OWN_TABLES: Final[Mapping[str, str]] = {
    SET_ASIDE: (
        f"CREATE TABLE {SET_ASIDE} (table_name text, column_name text, key text, currency text,"
        " account_id text NOT NULL, balance numeric(39, 0) NOT NULL,"
        " ledger_timestamp bigint NOT NULL, reason text NOT NULL, tries integer NOT NULL DEFAULT 1,"
        " since timestamptz NOT NULL DEFAULT clock_timestamp(),"
        " tried_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
        " PRIMARY KEY (table_name, column_name, key, currency))"
    ),
    OFFSETS: (
        f"CREATE TABLE {OFFSETS} (group_id text, topic text, partition integer,"
        " next_offset bigint NOT NULL, PRIMARY KEY (group_id, topic, partition))"
    ),
}
"""By name, the statement that makes it."""

_NOTE: Final = """
    INSERT INTO ledger_sync_set_aside AS stored
        (table_name, column_name, key, currency, account_id, balance, ledger_timestamp, reason)
    SELECT %(table)s, %(column)s, * FROM unnest(%(keys)s::text[], %(currencies)s::text[],
        %(accounts)s::text[], %(balances)s::numeric[], %(times)s::bigint[], %(reasons)s::text[])
    ON CONFLICT (table_name, column_name, key, currency) DO UPDATE SET
        account_id = excluded.account_id, balance = excluded.balance,
        ledger_timestamp = excluded.ledger_timestamp, reason = excluded.reason,
        tries = stored.tries + 1, tried_at = clock_timestamp()
"""
_FORGET: Final = """
    DELETE FROM ledger_sync_set_aside AS stored
    USING unnest(%(keys)s::text[], %(currencies)s::text[]) AS given(key, currency)
    WHERE table_name = %(table)s AND column_name = %(column)s
        AND stored.key = given.key AND stored.currency = given.currency
"""
_DUE: Final = """
    SELECT table_name || '.' || column_name, key, currency, account_id FROM ledger_sync_set_aside
    WHERE tried_at < clock_timestamp()
        - CASE WHEN reason = %(locked)s THEN %(locked_age)s ELSE %(age)s END * interval '1 second'
    ORDER BY tried_at LIMIT %(page)s
"""
_SAVE_OFFSETS: Final = """
    INSERT INTO ledger_sync_offsets AS stored (group_id, topic, partition, next_offset)
    SELECT %(group)s, * FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(ends)s::bigint[])
    ON CONFLICT (group_id, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""

_SAVED_OFFSETS: Final = """
    SELECT topic, partition, next_offset FROM ledger_sync_offsets WHERE group_id = %s
"""

Connection = psycopg.Connection[tuple[Any, ...]]


def own_tables_lacking(connection: Connection) -> list[SchemaProblem]:
    """Those of the two that are not there."""
    found = []
    for name, statement in OWN_TABLES.items():
        (there,) = connection.execute("SELECT to_regclass(%s)", [name]).fetchone() or (None,)
        if there is None:
            found.append(SchemaProblem(f"the table {name}", statement))
    return found


def note_refusals(
    connection: Connection, target: SyncTarget, refusals: Sequence[RefusedRow]
) -> None:
    """Set rows aside; one that is there already counts one try more."""
    if not refusals:
        return
    rows = [refusal.row for refusal in refusals]
    parameters = {
        **_column(target.text),
        "keys": [row.key for row in rows],
        "currencies": [row.currency for row in rows],
        "accounts": [f"{row.account_id:032x}" for row in rows],
        "balances": [row.balance for row in rows],
        "times": [row.timestamp for row in rows],
        "reasons": [refusal.reason for refusal in refusals],
    }
    connection.execute(_NOTE, parameters)


def forget_rows(connection: Connection, text: str, cells: Iterable[tuple[str, str]]) -> None:
    """Take rows off the list, by key and currency. text: their table and column."""
    keys, currencies = [], []
    for key, currency in cells:
        keys.append(key)
        currencies.append(currency)
    if keys:
        parameters = {**_column(text), "keys": keys, "currencies": currencies}
        connection.execute(_FORGET, parameters)


def forget_set_aside(connection: Connection, rows: Collection[SetAsideRow]) -> None:
    """Take these off the list."""
    for text in {row.text for row in rows}:
        cells = [(row.key, row.currency) for row in rows if row.text == text]
        forget_rows(connection, text, cells)


def due_rows(
    connection: Connection, *, tried_before_seconds: float, locked_before_seconds: float
) -> list[SetAsideRow]:
    """Some rows that were last tried so long ago, those that wait longest first."""
    parameters = {
        "age": tried_before_seconds,
        "locked_age": locked_before_seconds,
        "locked": LOCKED,
        "page": PAGE,
    }
    found = connection.execute(_DUE, parameters)
    return [SetAsideRow(text, key, cur, int(number, 16)) for text, key, cur, number in found]


def count_set_aside(connection: Connection) -> int:
    """How many are set aside now."""
    (count,) = connection.execute("SELECT count(*) FROM ledger_sync_set_aside").fetchone() or (0,)
    return int(count)


def save_offsets(connection: Connection, group: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Where the group goes on."""
    if offsets:
        parameters = {
            "group": group,
            "topics": [topic for topic, _ in offsets],
            "partitions": [partition for _, partition in offsets],
            "ends": list(offsets.values()),
        }
        connection.execute(_SAVE_OFFSETS, parameters)


def saved_offsets(connection: Connection, group: str) -> dict[TopicPartition, int]:
    """What was last written of the group's offsets."""
    found = connection.execute(_SAVED_OFFSETS, [group])
    return {(topic, partition): end for topic, partition, end in found}


def _column(text: str) -> dict[str, str]:
    table, _, column = text.rpartition(".")
    return {"table": table, "column": column}
