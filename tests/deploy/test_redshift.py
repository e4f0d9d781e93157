"""The Redshift copy: the SQL is Redshift's, and its logic gives the ledger's own balances.

Redshift itself cannot run here. Every statement is parsed in its dialect; those after the stream
are run on DuckDB, translated by sqlglot, over the outbox of a real run with records doubled.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from sqlglot.dialects.redshift import Redshift

from worker.codecs.avro import packaged_generations
from worker.commands.cli import main
from worker.commands.demo import _play, embedded
from worker.commands.demo_page import DemoResults
from worker.config.settings import load_settings
from worker.core.wire import transfer_kind
from worker.kafka.schema_rules import schema_text

SQL = Path(__file__).parents[2] / "schemas" / "redshift"
FILES = sorted(SQL.glob("*.sql"))

RESERVED = {word.lower() for word in Redshift.Generator.RESERVED_KEYWORDS}
SECOND = ("fact", "fact_at", "record_topic", "record_partition", "record_offset", "expires_at")
RENAMED = {
    "transaction_name": "transaction",
    "record_topic": "topic",
    "record_partition": "partition",
    "record_offset": "offset",
}
FIRST = {one["name"] for one in json.loads(packaged_generations("posted_transfer")[1])["fields"]}

NOT_PARSED = {"01_outbox_stream.sql": ["CREATE"]}
"""What sqlglot's grammar does not know and takes as text: CREATE EXTERNAL SCHEMA … FROM KAFKA."""


def statements(name: str) -> list[exp.Expr]:
    """A file's statements, parsed as Redshift's."""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    parsed = sqlglot.parse((SQL / name).read_text(), read="redshift")
    return [one for one in parsed if one is not None]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_statement_is_redshifts(path: Path) -> None:
    """The Redshift grammar of sqlglot takes each statement whole."""
    found = statements(path.name)
    assert found
    texts = [str(one.this) for one in found if isinstance(one, exp.Command)]
    assert texts == NOT_PARSED.get(path.name, [])


@pytest.fixture(name="page", scope="module")
def _page() -> DemoResults:
    """A run of the whole worker on generated traffic, embedded."""
    return _play(embedded(load_settings()), events=400, seed=7)


@pytest.fixture(name="copy")
def _copy(page: DemoResults, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the stream's rows, every third record twice, one unreadable; and tables."""
    rows = [
        {
            "kafka_partition": record.partition(),
            "kafka_offset": record.offset() + again * 1_000_000,
            "kafka_key": (record.key() or b"").decode(),
            "refresh_time": "2026-01-01 00:00:00",
            "record": json.loads(record.value() or b""),
            "unreadable": False,
        }
        for number, record in enumerate(page.posted)
        for again in range(2 if number % 3 == 0 else 1)
    ]
    rows.append(rows[0] | {"record": None, "unreadable": True, "kafka_offset": -1})
    file = tmp_path / "stream.json"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    with duckdb.connect() as database:
        database.execute(
            f"CREATE TABLE outbox_records AS SELECT * FROM read_json_auto('{file}',"  # noqa: S608
            " format='newline_delimited', sample_size=-1)"
        )
        run(database, "02_tables.sql")
        yield database


def run(database: duckdb.DuckDBPyConnection, name: str) -> None:
    """Every statement of a file but COPY, in DuckDB's words."""
    for statement in statements(name):
        if not isinstance(statement, exp.Copy):
            database.execute(statement.sql(dialect="duckdb"))


def all_rows(database: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query).fetchall()


def test_each_transfer_is_there_once_however_often_it_came(
    page: DemoResults, copy: duckdb.DuckDBPyConnection
) -> None:
    """Doubled records and a second load add nothing; what cannot be read stops nothing."""
    for _ in range(2):
        run(copy, "03_merge.sql")
        held = all_rows(copy, "SELECT transfer_id, amount, ledger_timestamp FROM ledger.transfers")
        assert len(held) == len(page.transfers) > 100
        assert {(key, int(amount), at) for key, amount, at in held} == {
            (f"{one.id:032x}", one.amount, one.timestamp) for one in page.transfers
        }


def test_balances_are_the_ledgers_own(page: DemoResults, copy: duckdb.DuckDBPyConnection) -> None:
    """Debits and credits of every account equal what the ledger holds; currencies balance."""
    run(copy, "03_merge.sql")
    run(copy, "04_views.sql")
    found = {
        key: (int(debits), int(credited))
        for key, debits, credited in all_rows(
            copy,
            "SELECT account_id, SUM(debit), SUM(credit) FROM ledger.entries GROUP BY account_id",
        )
    }
    expected = {
        f"{one.id:032x}": (one.debits_posted, one.credits_posted)
        for one in page.accounts
        if one.debits_posted or one.credits_posted
    }
    assert {key: sums for key, sums in found.items() if any(sums)} == expected
    sums = all_rows(copy, "SELECT currency, SUM(balance) FROM ledger.trial_balance GROUP BY 1")
    assert sums
    assert all(int(total) == 0 for _, total in sums)


def test_accounts_and_days_add_up(copy: duckdb.DuckDBPyConnection) -> None:
    """The dimension has each account once; the days' net is the clearing account's balance."""
    run(copy, "03_merge.sql")
    run(copy, "04_views.sql")
    accounts = all_rows(copy, "SELECT account_id FROM ledger.accounts")
    assert len(accounts) == len(set(accounts)) > 10
    days = dict(
        all_rows(copy, "SELECT currency, SUM(net) FROM ledger.daily_settlement GROUP BY currency")
    )
    clearing = dict(
        all_rows(
            copy,
            "SELECT currency, balance FROM ledger.trial_balance WHERE account = 'stripe_clearing'",
        )
    )
    assert days == clearing
    assert days


def test_the_chart_names_every_account(
    copy: duckdb.DuckDBPyConnection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`accounts --csv` loads into the dimension; balances in columns add up by currency."""
    run(copy, "03_merge.sql")
    run(copy, "04_views.sql")
    run(copy, "07_chart.sql")
    assert main(["accounts", "--csv"]) == 0
    path = tmp_path / "accounts.csv"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    copy.execute(f"INSERT INTO ledger.chart SELECT * FROM read_csv('{path}', header = true)")  # noqa: S608
    lines = all_rows(
        copy,
        "SELECT currency, account, code, title, account_type, debit_balance, credit_balance"
        " FROM ledger.named_trial_balance",
    )
    assert lines
    assert all(code and title and kind for _, _, code, title, kind, _, _ in lines)
    for currency in {line[0] for line in lines}:
        ours = [line for line in lines if line[0] == currency]
        assert sum(line[5] for line in ours) == sum(line[6] for line in ours) > 0


def test_reservations_end_or_expire(page: DemoResults, copy: duckdb.DuckDBPyConnection) -> None:
    """Held, posted and voided as the ledger has them; past its time a held one is expired."""
    run(copy, "03_merge.sql")
    run(copy, "04_views.sql")
    copy.execute("CREATE MACRO getdate() AS TIMESTAMP '2026-06-01'")
    run(copy, "07_chart.sql")
    states = dict(all_rows(copy, "SELECT transfer_id, state FROM ledger.reservations"))
    ended = {one.pending_id: transfer_kind(one.flags) for one in page.transfers if one.pending_id}
    pending = {one.id for one in page.transfers if transfer_kind(one.flags) == "pending"}
    assert pending
    words = {"post": "posted", "void": "voided"}
    assert states == {f"{one:032x}": words.get(ended.get(one, ""), "held") for one in pending}
    copy.execute("UPDATE ledger.transfers SET expires_at = '2026-05-31' WHERE kind = 'pending'")
    again = dict(all_rows(copy, "SELECT transfer_id, state FROM ledger.reservations"))
    assert {state for key, state in again.items() if states[key] == "held"} <= {"expired"}
    assert {key for key, state in states.items() if state != "held"} == {
        key for key, state in again.items() if state != "expired"
    }


def test_days_are_kept_up_to_date(copy: duckdb.DuckDBPyConnection) -> None:
    """Loads one after the other, late transfers and doubled ones, come to what a full sum has."""
    run(copy, "03_merge.sql")
    run(copy, "04_views.sql")
    copy.execute("CREATE MACRO from_base(digits, base) AS CAST('0x' || digits AS BIGINT)")
    copy.execute("CREATE TABLE whole AS SELECT * FROM ledger.transfers")
    copy.execute("DELETE FROM ledger.transfers WHERE leg_number = 0")
    run(copy, "08_days.sql")
    late = "fact_at - INTERVAL '400 days'"
    copy.execute(
        f"INSERT INTO ledger.transfers SELECT * REPLACE ({late} AS fact_at) FROM whole"  # noqa: S608
        " WHERE leg_number = 0"
    )
    copy.execute("UPDATE ledger.transfers SET fact_at = NULL WHERE leg_number = 1")
    for _ in range(2):
        run(copy, "08_days.sql")
    full = "SELECT account_id, day, SUM(debit), SUM(credit) FROM ledger.dated_entries GROUP BY 1, 2"
    kept = "SELECT account_id, day, debits, credits FROM ledger.account_days"
    found = sorted(all_rows(copy, kept))
    assert found == sorted(all_rows(copy, full))
    assert len({day for _, day, _, _ in found}) > 1
    newest = "SELECT account_id, arg_max(balance, day) FROM ledger.balances_by_day GROUP BY 1"
    sums = "SELECT account_id, SUM(debit) - SUM(credit) FROM ledger.entries GROUP BY 1"
    assert sorted(all_rows(copy, newest)) == sorted(all_rows(copy, sums))


def test_rejections_once_and_what_cannot_be_read(
    page: DemoResults, copy: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Each event and attempt comes once; records that are no JSON have a view of their own."""
    rejected = {
        "event_id": "evt_1",
        "event_type": "charge.succeeded",
        "event_created": "2026-01-01T00:00:00Z",
        "transaction": "charge",
        "leg": "gross",
        "reason": "exceeds_credits",
        "attempt": 0,
    }
    rows = [
        {
            "kafka_partition": 0,
            "kafka_offset": offset,
            "kafka_timestamp": "2026-01-01",
            "refresh_time": "2026-01-01",
            "record": record,
            "unreadable": record is None,
        }
        for offset, record in enumerate([rejected, rejected, None, rejected | {"attempt": 1}])
    ]
    file = tmp_path / "rejected.json"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    copy.execute(f"CREATE TABLE rejected_records AS SELECT * FROM read_json_auto('{file}')")  # noqa: S608
    for statement in statements("09_letters.sql"):
        if "MATERIALIZED" not in statement.sql(dialect="redshift"):
            copy.execute(statement.sql(dialect="duckdb"))
    found = all_rows(copy, "SELECT event_id, attempt, reason FROM ledger.rejections ORDER BY 2")
    assert found == [("evt_1", 0, "exceeds_credits"), ("evt_1", 1, "exceeds_credits")]
    unreadable = all_rows(copy, "SELECT written_as FROM ledger.unreadable_records ORDER BY 1")
    assert unreadable == [("posted",), ("rejected",)]
    assert page.posted


def test_a_load_from_files_adds_only_what_is_new(copy: duckdb.DuckDBPyConnection) -> None:
    """What COPY brought to the stage twice, and what is in the table already, comes once.

    Also what was announced again with another time, after the ledger was restored.
    """
    run(copy, "03_merge.sql")
    before = all_rows(copy, "SELECT COUNT(*) FROM ledger.transfers")
    first, *rest = statements("05_copy_from_s3.sql")
    copy.execute(first.sql(dialect="duckdb"))
    copy.execute("INSERT INTO staged SELECT * FROM ledger.transfers")
    copy.execute("INSERT INTO staged SELECT * FROM ledger.transfers LIMIT 5")
    copy.execute(
        "INSERT INTO staged SELECT * REPLACE (ledger_timestamp + 1 AS ledger_timestamp)"
        " FROM ledger.transfers"
    )
    copy.execute("DELETE FROM ledger.transfers WHERE leg_number = 0")
    for statement in rest:
        if not isinstance(statement, exp.Copy):
            copy.execute(statement.sql(dialect="duckdb"))
    assert all_rows(copy, "SELECT COUNT(*) FROM ledger.transfers") == before


def test_columns_are_the_schemas_fields_in_its_order() -> None:
    """The table, COPY's paths and the Avro schema name the same fields in the same order."""
    fields = [one["name"] for one in json.loads(schema_text("posted_transfer"))["fields"]]
    paths = json.loads((SQL / "posted_transfer.jsonpaths.json").read_text())["jsonpaths"]
    assert paths == [f"$.{name}" for name in fields]
    table = next(
        one for one in statements("02_tables.sql") if "transfers" in str(one.find(exp.Table))
    )
    columns = [column.name for column in table.find_all(exp.ColumnDef)]
    assert [RENAMED.get(name, name) for name in columns] == fields
    added = {column.name for column in each_of("06_second_generation.sql", exp.ColumnDef)}
    assert added == {column for column in columns if RENAMED.get(column, column) not in FIRST}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_name_is_one_of_redshifts_reserved_words(path: Path) -> None:
    """What sqlglot takes for a name, Redshift does too: reserved words stand in quotes."""
    names = {one for one in each_of(path.name, exp.Identifier) if not one.quoted}
    assert names or path.name in NOT_PARSED
    assert not {one.name for one in names if one.name.lower() in RESERVED}


def each_of(name: str, kind: type[Any]) -> Iterator[Any]:
    """Every part of this kind in a file's statements."""
    return (part for statement in statements(name) for part in statement.find_all(kind))


def test_fields_of_the_second_generation_are_loaded_or_null(
    page: DemoResults, copy: duckdb.DuckDBPyConnection
) -> None:
    """Every row has its fact, time and record; a record of the first generation has NULL there."""
    older = "record.transfer_id::VARCHAR(32) = (SELECT MIN(record.transfer_id) FROM outbox_records)"
    copy.execute(
        "UPDATE outbox_records SET record = struct_update(record, fact := NULL, fact_at := NULL,"  # noqa: S608
        ' topic := NULL, "partition" := NULL, "offset" := NULL, expires_at := NULL)'
        f" WHERE {older}"
    )
    run(copy, "03_merge.sql")
    loaded = all_rows(copy, f"SELECT transfer_id, {', '.join(SECOND)} FROM ledger.transfers")  # noqa: S608
    first, *others = sorted(loaded)
    assert set(first[1:]) == {None}
    timeouts = {f"{one.id:032x}": one.timeout for one in page.transfers}
    for key, fact, fact_at, topic, partition, offset, expires_at in others:
        assert "/" in fact
        assert fact_at.replace(tzinfo=UTC).timestamp() * 1000 == int(key, 16) >> 80
        assert topic.startswith(("stripe.", "wallet.", "ledger.events.parked."))
        assert partition >= 0
        assert offset >= 0
        assert (expires_at is None) == (timeouts[key] == 0)
