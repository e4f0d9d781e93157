"""Real PostgreSQL: people's own tables, connections that break, and what is said about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from tests.servers.postgres import PostgresServer
from worker.core.errors import DependencyUnavailable, UsageError
from worker.jobs.sync.cache import BalanceRow, WriteResult
from worker.jobs.sync.postgres import PostgresCache
from worker.jobs.sync.targets import SyncTarget

TARGET = SyncTarget("customers", "id", "", "balance_cache", "balance_cache_ledger_timestamp")
MANY = TARGET._replace(currency="currency")
PEOPLES = """
CREATE TABLE customers (id varchar(64) PRIMARY KEY, email text NOT NULL, balance_cache bigint,
  balance_cache_ledger_timestamp bigint);
INSERT INTO customers (id, email) VALUES ('cus_1', 'a@b.example'), ('cus_2', 'c@d.example');
"""
NOBODY_LISTENS = "postgresql://app:hunter2@127.0.0.1:1/app"

pytestmark = pytest.mark.postgres


def do(dsn: str, statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statements.encode())


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


@contextmanager
def opened(dsn: str, *, seconds: float = 10, **options: Any) -> Iterator[PostgresCache]:
    with closing(PostgresCache(dsn, deadline_seconds=seconds, **options)) as cache:
        yield cache


def row(key: str, balance: int, at: int) -> BalanceRow:
    return BalanceRow(key, "", balance, at)


def test_the_row_says_when_it_was_true(database: str) -> None:
    """Made by `--create`, a row holds key, currency, balance and the ledger's time."""
    at = 1_767_225_600_000_000_001
    with opened(database) as cache:
        lacks = cache.lacking([MANY])
        cache.make(lacks)
        assert cache.lacking([MANY]) == []
        cache.write({MANY: [BalanceRow("cus_1", "usd", -5, at)]})
    assert ask(database, "SELECT * FROM customers") == [("cus_1", "usd", -5, at)]


def test_rows_of_peoples_own_table_are_updated(database: str) -> None:
    """A row that is there moves, whatever else it must hold; nothing else of it changes."""
    do(database, PEOPLES)
    with opened(database) as cache:
        assert cache.lacking([TARGET]) == []
        assert cache.write({TARGET: [row("cus_1", 7, 3)]}) == WriteResult(1)
        with pytest.raises(UsageError) as refused:
            cache.write({TARGET: [row("cus_2", 8, 3), row("cus_9", 9, 3)]})
        assert cache.write({TARGET: [row("cus_1", 8, 4)]}) == WriteResult(1)
    assert str(refused.value) == (
        "PostgreSQL refused: not null violation, customers.email;"
        " sync.add_rows = false leaves keys without a row out"
    )
    with opened(database, add_rows=False) as cache:
        assert cache.write({TARGET: [row("cus_9", 9, 3)]}) == WriteResult(0, 1)
    assert ask(database, "SELECT * FROM customers ORDER BY id") == [
        ("cus_1", "a@b.example", 8, 4),
        ("cus_2", "c@d.example", None, None),
    ]


@pytest.mark.parametrize(
    ("change", "rows", "says"),
    [
        ("DROP TABLE customers", [row("cus_1", 1, 1)], 'relation "customers" does not exist'),
        ("SELECT 1", [row("cus_1", 1 << 70, 1)], "numeric value out of range"),
        ("SELECT 1", [row("x" * 65, 1, 1)], "string data right truncation"),
        ("ALTER TABLE customers ADD CHECK (balance_cache > 0)", [row("cus_1", 0, 1)],
            "check violation, customers, customers_balance_cache_check"),
    ],
)  # fmt: skip
def test_what_the_database_refuses_is_said_without_values(
    change: str, rows: list[BalanceRow], says: str, database: str
) -> None:
    """One sentence with names of columns; no key and no amount."""
    do(database, PEOPLES + change)
    with opened(database) as cache, pytest.raises(UsageError, match=says) as refused:
        cache.write({TARGET: rows})
    said = str(refused.value)
    assert "cus_1" not in said
    assert str(1 << 70) not in said
    assert len(said.splitlines()) == 1


def test_a_missing_right_is_said(database: str) -> None:
    """Who may not write gets PostgreSQL's own words."""
    role = "reader" + database[-12:]
    do(database, f"{PEOPLES} CREATE ROLE {role} LOGIN; GRANT SELECT ON customers TO {role};")
    with (
        opened(database.replace("tester@", f"{role}@")) as cache,
        pytest.raises(UsageError, match="permission denied for table customers"),
    ):
        cache.write({TARGET: [row("cus_1", 1, 1)]})


def test_a_table_is_found_by_the_search_path(database: str) -> None:
    """`sync_to` names no schema: the connection string may."""
    do(database, "CREATE SCHEMA app")
    with opened(database + "?options=-csearch_path%3Dapp") as cache:
        cache.make(cache.lacking([TARGET]))
        cache.write({TARGET: [row("cus_1", 1, 1)]})
    assert ask(database, "SELECT count(*) FROM app.customers") == [(1,)]


def test_an_index_of_part_of_the_table_is_not_enough(database: str) -> None:
    """Unique where a condition holds is not unique."""
    columns = "id text, balance_cache bigint, balance_cache_ledger_timestamp bigint"
    do(database, f"CREATE TABLE customers ({columns});")
    do(database, "CREATE UNIQUE INDEX ON customers (id) WHERE balance_cache > 0")
    do(database, "CREATE UNIQUE INDEX ON customers (lower(id))")
    do(database, "CREATE UNIQUE INDEX ON customers (id) INCLUDE (balance_cache)")
    with opened(database) as cache:
        assert cache.lacking([TARGET]) == []
    do(database, "DROP INDEX customers_id_balance_cache_idx")
    with opened(database) as cache:
        (lack,) = cache.lacking([TARGET])
        assert lack.what == "a unique index on customers (id)"
        cache.make([lack])
        assert cache.write({TARGET: [row("a", 1, 1)]}) == WriteResult(1)


def test_a_broken_connection_is_made_again(postgres: PostgresServer, database: str) -> None:
    """A restart in between is not noticed; a server that comes back late is waited for."""
    do(database, PEOPLES)
    with opened(database) as cache:
        cache.write({TARGET: [row("cus_1", 1, 1)]})
        postgres.stop()
        postgres.start()
        assert cache.write({TARGET: [row("cus_1", 2, 2)]}) == WriteResult(1)
        postgres.stop()
        with ThreadPoolExecutor(1) as waiting:
            written = waiting.submit(cache.write, {TARGET: [row("cus_1", 3, 3)]})
            time.sleep(0.3)
            postgres.start()  # here, because it ends with the thread that started it
            assert written.result() == WriteResult(1)


def test_a_standby_is_left_for_a_new_connection(database: str) -> None:
    """After a failover the old connection may still reach the old server, which only reads."""
    do(database, PEOPLES)
    name = database.rpartition("/")[2]
    do(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with opened(database) as cache, ThreadPoolExecutor(1) as waiting:
        written = waiting.submit(cache.write, {TARGET: [row("cus_1", 3, 3)]})
        time.sleep(0.3)
        do(database, f"BEGIN READ WRITE; ALTER DATABASE {name} RESET ALL; COMMIT")
        assert written.result() == WriteResult(1)


def test_two_who_add_one_row_leave_the_newer(database: str) -> None:
    """Who waited for the other's row looks at its time again."""
    do(database, PEOPLES)
    do(database, "ALTER TABLE customers ALTER email DROP NOT NULL")
    with (
        psycopg.connect(database) as other,
        opened(database) as cache,
        ThreadPoolExecutor(1) as waiting,
    ):
        other.execute("INSERT INTO customers VALUES ('cus_3', NULL, 100, 100)")
        written = waiting.submit(cache.write, {TARGET: [row("cus_3", 50, 50)]})
        while not ask(database, "SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not written.done()
        other.commit()
        assert written.result() == WriteResult(0)
    newer = ("cus_3", None, 100, 100)
    assert ask(database, "SELECT * FROM customers WHERE id = 'cus_3'") == [newer]


def test_a_database_that_stays_away_is_given_up() -> None:
    """After the deadline, one sentence with the reason, and without the password."""
    started = time.monotonic()
    with opened(NOBODY_LISTENS, seconds=0.5) as cache, pytest.raises(DependencyUnavailable) as away:
        cache.write({TARGET: [row("cus_1", 1, 1)]})
    assert str(away.value) == (
        "PostgreSQL (sync.dsn) could not be reached for 0.5 s: Connection refused"
    )
    assert time.monotonic() - started < 5


def test_a_stop_ends_the_waiting() -> None:
    """Who is told to stop does not sit out the deadline."""
    started = time.monotonic()
    with (
        opened(NOBODY_LISTENS, seconds=60, stopped=lambda: True) as cache,
        pytest.raises(DependencyUnavailable),
    ):
        cache.write({TARGET: [row("cus_1", 1, 1)]})
    assert time.monotonic() - started < 5


def test_a_lock_that_somebody_holds_is_not_waited_for_for_ever(database: str) -> None:
    """A statement has the deadline too."""
    do(database, PEOPLES)
    with (
        psycopg.connect(database) as other,
        opened(database, seconds=0.5) as cache,
    ):
        other.execute("SELECT FROM customers FOR UPDATE")
        with pytest.raises(DependencyUnavailable, match=r"for 0\.5 s: query canceled"):
            cache.write({TARGET: [row("cus_1", 1, 1)]})
        other.rollback()
        assert cache.write({TARGET: [row("cus_1", 1, 1)]}) == WriteResult(1)


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("", "sync.dsn is not set"),
        ("hunter2", "sync.dsn is no connection string"),
        ("host=a passwort=hunter2", "sync.dsn is no connection string"),
        ("postgresql://app:hunter2@host:port/x", "no connection"),
        ("postgresql://app:hunter2@no-such-host.invalid/x", "no connection"),
    ],
)
def test_no_message_shows_the_password(dsn: str, says: str) -> None:
    """Whatever is wrong with the connection string, its text is not in the sentence."""
    with pytest.raises((UsageError, DependencyUnavailable), match=says) as refused:
        PostgresCache(dsn, deadline_seconds=0.2).write({TARGET: [row("cus_1", 1, 1)]})
    assert "hunter2" not in str(refused.value)
