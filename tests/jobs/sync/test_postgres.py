"""Real PostgreSQL: people's own tables, connections that break, and what is said about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.servers.postgres import PostgresServer
from worker.core.errors import DependencyUnavailable, UsageError
from worker.jobs.sync.cache import BalanceRow, SetAsideRow, WriteResult
from worker.jobs.sync.own_tables import OWN_TABLES
from worker.jobs.sync.portions import LOCKED
from worker.jobs.sync.postgres import PostgresCache
from worker.jobs.sync.targets import SyncTarget

TARGET = SyncTarget("customers", "id", "", "balance_cache", "balance_cache_ledger_timestamp")
MANY = TARGET._replace(currency="currency")
OWN = ";".join(OWN_TABLES.values()) + ";"
PEOPLES = (
    OWN
    + """
CREATE TABLE customers (id varchar(64) PRIMARY KEY, email text NOT NULL, balance_cache bigint,
  balance_cache_ledger_timestamp bigint);
INSERT INTO customers (id, email) VALUES ('cus_1', 'a@b.example'), ('cus_2', 'c@d.example');
"""
)
REFERS = """
CREATE TABLE known (id varchar PRIMARY KEY);
INSERT INTO known SELECT 'cus_' || n FROM generate_series(1, 6) AS n;
ALTER TABLE customers ADD FOREIGN KEY (id) REFERENCES known DEFERRABLE INITIALLY DEFERRED;
"""
RAISES = """
CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'not % of %', NEW.balance_cache, NEW.id; END $$;
CREATE TRIGGER raises BEFORE INSERT OR UPDATE ON customers FOR EACH ROW
  WHEN (NEW.balance_cache = 13) EXECUTE FUNCTION raises();
"""
REASONS = "SELECT key, reason, tries FROM ledger_sync_set_aside ORDER BY key"
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
    return BalanceRow(key, "", balance, at, int(key.encode().hex(), 16), 2)


def test_the_row_says_when_it_was_true(database: str) -> None:
    """Made by `--create`, a row holds key, currency, balance and the ledger's time."""
    at = 1_767_225_600_000_000_001
    with opened(database) as cache:
        lacks = cache.lacking([MANY])
        cache.make(lacks)
        assert cache.lacking([MANY]) == []
        cache.write({MANY: [BalanceRow("cus_1", "usd", -5, at, 7, 2)]})
    assert ask(database, "SELECT * FROM customers") == [("cus_1", "usd", -5, at)]


def test_rows_of_peoples_own_table_are_updated(database: str) -> None:
    """A row that is there moves, whatever else it must hold; nothing else of it changes."""
    do(database, PEOPLES)
    with opened(database) as cache:
        assert cache.lacking([TARGET]) == []
        assert cache.write({TARGET: [row("cus_1", 7, 3)]}) == WriteResult(1)
        assert cache.write({TARGET: [row("cus_2", 5, 1), row("cus_9", 9, 3)]}) == WriteResult(
            1, 0, 1
        )
        assert cache.write({TARGET: [row("cus_1", 8, 4)]}) == WriteResult(1)
    assert ask(database, REASONS) == [("cus_9", "not null violation, customers.email", 1)]
    with opened(database, add_rows=False) as cache:
        assert cache.write({TARGET: [row("cus_9", 9, 3)]}) == WriteResult(0, 1)
    assert ask(database, "SELECT * FROM customers ORDER BY id") == [
        ("cus_1", "a@b.example", 8, 4),
        ("cus_2", "c@d.example", 5, 1),
    ]


@pytest.mark.parametrize(
    ("change", "refused", "says"),
    [
        ("SELECT 1", row("cus_1", 1 << 70, 1), "numeric value out of range"),
        ("SELECT 1", row("x" * 65, 1, 1), "string data right truncation"),
        ("ALTER TABLE customers ADD CHECK (balance_cache > 0)", row("cus_1", 0, 1),
            "check violation, customers, customers_balance_cache_check"),
        (REFERS, row("cus_9", 1, 1), "foreign key violation, customers, customers_id_fkey"),
        (RAISES, row("cus_1", 13, 1), "raise exception"),
    ],
)  # fmt: skip
def test_a_row_that_the_database_refuses_stops_no_other(
    change: str, refused: BalanceRow, says: str, database: str
) -> None:
    """Set aside with its reason, which shows no value; written once it can be."""
    do(database, f"{PEOPLES} ALTER TABLE customers ALTER email DROP NOT NULL; {change}")
    others = [row(f"cus_{number}", 5, 1) for number in range(2, 7)]
    do(database, "INSERT INTO customers SELECT 'cus_' || n FROM generate_series(3, 6) AS n")
    with opened(database) as cache:
        written = cache.write({TARGET: sorted([refused, *others])})
        assert written == WriteResult(moved=5, set_aside=1)
        assert cache.write({TARGET: [refused]}) == WriteResult(set_aside=1)
        assert ask(database, REASONS) == [(refused.key, says, 2)]
        (due,) = cache.set_aside(tried_before_seconds=0, locked_before_seconds=3600)
        assert due == SetAsideRow("customers.balance_cache", *refused[:2], refused.account_id)
        assert cache.set_aside(tried_before_seconds=60, locked_before_seconds=0) == []
        assert cache.set_aside_count() == 1
        do(database, "DROP TRIGGER IF EXISTS raises ON customers")
        cache.write({TARGET: [row("cus_1", 9, 2)]})
        if refused.key == "cus_1":
            assert cache.set_aside_count() == 0
        else:
            cache.forget([due])
            assert cache.set_aside_count() == 0


@pytest.mark.parametrize("kind", ["row", "added"])
def test_a_locked_row_delays_no_other(kind: str, database: str) -> None:
    """It is set aside at once, its reason says lock, and the rest of the batch is written."""
    do(database, f"{PEOPLES} ALTER TABLE customers ALTER email DROP NOT NULL;")
    taken = {
        "row": "SELECT FROM customers WHERE id = 'cus_1' FOR UPDATE",
        "added": "DELETE FROM customers WHERE id = 'cus_2'; INSERT INTO customers VALUES ('cus_7')",
    }[kind]
    locked = {"row": ["cus_1"], "added": ["cus_2", "cus_7"]}[kind]
    rows = [row(f"cus_{number}", 5, 1) for number in range(1, 10)]
    with psycopg.connect(database) as other, opened(database) as cache:
        other.execute(taken)
        assert cache.write({TARGET: rows}) == WriteResult(9 - len(locked), 0, len(locked))
        assert ask(database, REASONS) == [(key, LOCKED, 1) for key in locked]
        assert cache.set_aside(tried_before_seconds=60, locked_before_seconds=60) == []
        due = cache.set_aside(tried_before_seconds=60, locked_before_seconds=0)
        assert [each.key for each in due] == locked
        other.rollback()
        again = [each for each in rows if each.key in locked]
        assert cache.write({TARGET: again}) == WriteResult(len(locked))
        assert cache.set_aside_count() == 0


def test_a_table_that_is_gone_is_said(database: str) -> None:
    """That is about no row: nothing is written, and one sentence names it."""
    do(database, f"{PEOPLES} DROP TABLE customers")
    with opened(database) as cache, pytest.raises(UsageError) as refused:
        cache.write({TARGET: [row("cus_1", 1, 1)]})
    assert str(refused.value) == 'PostgreSQL refused: relation "customers" does not exist'


@pytest.mark.parametrize(
    "key",
    [
        ("uuid", "0b7e23ec-29af-4b0b-8e41-da31e868d572", "0B7E23EC-29AF-4B0B-8E41-DA31E868D572"),
        ("bigint", "-7", "07"),
        ("integer", "7", "٣"),
        ("integer", "0", str(1 << 33)),
        ("bigint", "9007199254740993", "cus_1"),
    ],
)
@pytest.mark.parametrize(
    "balance",
    [
        ("bigint", 0, -1230),
        ("integer", 0, -1230),
        ("numeric", 0, Decimal(-1230)),
        ("text", 0, "-1230"),
        ("text", 2, "-12.30"),
        ("varchar", 2, "-12.30"),
        ("numeric(14,2)", 2, Decimal("-12.30")),
        ("numeric(14,3)", 2, Decimal("-12.300")),
    ],
)
def test_keys_and_balances_of_other_types(
    key: tuple[str, str, str], balance: tuple[str, int, Any], database: str
) -> None:
    """A key is found as its column writes it; one that it could not hold is set aside."""
    key_type, good, bad = key
    balance_type, places, shown = balance
    do(
        database,
        f"{OWN} CREATE TABLE customers (id {key_type} PRIMARY KEY, balance_cache {balance_type},"
        " balance_cache_ledger_timestamp bigint)",
    )
    target = TARGET._replace(places=places)
    with opened(database) as cache:
        assert cache.lacking([target]) == []
        written = cache.write({target: sorted([row(good, -1230, 1), row(bad, 5, 1)])})
        assert written == WriteResult(1, 0, 1)
        assert cache.write({target: [row(good, -1230, 2)]}) == WriteResult(1)
        cache.long_keys(target, {"#00"})
    assert ask(database, "SELECT id::text, balance_cache FROM customers") == [(good, shown)]
    ((refused, reason, _),) = ask(database, REASONS)
    assert refused == bad
    assert reason in {f"the key is no {key_type}", "numeric value out of range"}


def test_a_view_is_refused_for_what_it_is(database: str) -> None:
    """The cache writes tables."""
    do(database, f"{PEOPLES} ALTER TABLE customers RENAME TO people;")
    do(database, "CREATE VIEW customers AS SELECT * FROM people")
    with opened(database) as cache, pytest.raises(UsageError, match="customers is a view"):
        cache.lacking([TARGET])


def test_offsets_are_kept_with_the_rows(database: str) -> None:
    """Each group's own, and none of a batch that was not written."""
    do(database, PEOPLES)
    with opened(database, group="a") as cache, opened(database, group="b") as other:
        cache.write({TARGET: [row("cus_1", 1, 1)]}, {("outbox", 0): 5, ("outbox", 1): 1})
        cache.write({}, {("outbox", 0): 4})
        other.write({}, {("outbox", 0): 9})
        with pytest.raises(UsageError):
            cache.write({TARGET._replace(balance="gone"): [row("x", 1, 1)]}, {("outbox", 1): 99})
        assert cache.offsets() == {("outbox", 0): 4, ("outbox", 1): 1}
        assert other.offsets() == {("outbox", 0): 9}


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
    do(database, f"{OWN} CREATE TABLE customers ({columns});")
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
        other.execute("LOCK TABLE customers")
        with pytest.raises(
            DependencyUnavailable, match=r"took nothing for 0\.5 s: the table is locked"
        ):
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
