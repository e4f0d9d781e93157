"""`ledger-worker sync` as people run it: the worker posts, and the cache follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.draining import drain
from tests.produced import produce
from tests.servers.kafka import free_ports
from worker.commands.cli import main
from worker.config.settings import Settings, load_settings
from worker.jobs.live.compose import open_worker, with_broker
from worker.jobs.reports.balances import balances
from worker.jobs.sync.postgres import PostgresCache
from worker.ledger.books import open_named_ledger

EVENTS = 300
PREFIX = "LEDGER_WORKER_"
END_SECONDS_MAX = 30

BALANCES = "SELECT id, currency, balance_cache FROM customers"
TIMES = "SELECT id, currency, balance_cache, balance_cache_ledger_timestamp FROM customers"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Generated traffic that the worker has posted, once: the variables that name where."""
    books = tmp_path_factory.mktemp("world") / "books"
    variables = {
        "HTTP__PORT": "0",
        "LOG__LEVEL": "warning",
        "LEDGER__ADDRESSES": f"embedded:{books}",
        "KAFKA__BOOTSTRAP_SERVERS": "embedded",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, text in variables.items():
            patch.setenv(PREFIX + name, text)
        with with_broker(load_settings(), ["ledger.transfers.posted"]) as reachable:
            post(reachable, events=EVENTS)
            yield variables | {"KAFKA__BOOTSTRAP_SERVERS": reachable.kafka.bootstrap_servers}


@pytest.fixture
def settings(
    world: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Settings:
    """A group of its own for each test, and where it is marked a database."""
    monkeypatch.chdir(tmp_path)
    dsn = "postgresql://app:hunter2@127.0.0.1:1/app"
    if request.node.get_closest_marker("postgres"):
        dsn = request.getfixturevalue("database")
    (tmp_path / "dsn").write_text(dsn + "\n", encoding="utf-8")
    own = {"DSN_FILE": "dsn", "DEADLINE_SECONDS": "5", "GROUP_ID": f"sync-{uuid.uuid4().hex}"}
    for name, text in (world | {f"SYNC__{key}": one for key, one in own.items()}).items():
        monkeypatch.setenv(PREFIX + name, text)
    return load_settings()


def post(settings: Settings, *, events: int, skip: int = 0) -> None:
    """The worker posts generated traffic and announces it."""
    produce(settings, skip=skip, events=events)
    with open_worker(settings, embedded_broker=True) as worker:
        drain(worker)


def held(settings: Settings) -> set[tuple[str, str, int]]:
    """What each customer has by the ledger, read another way; who never moved has no row."""
    with open_named_ledger(settings) as books:
        return {
            (one.key, one.currency, one.balance)
            for one in balances(books, account="customer_wallet")
            if one.debits or one.credits
        }


def rows(settings: Settings, query: str = BALANCES) -> set[tuple[Any, ...]]:
    with psycopg.connect(settings.sync.dsn) as connection:
        return set(connection.execute(query.encode()).fetchall())


def told(capsys: pytest.CaptureFixture[str], *, whole: bool = False) -> dict[str, Any]:
    """The result on the last line, below the worker's own log; whole: on all of them."""
    out = capsys.readouterr().out
    found: dict[str, Any] = json.loads(out if whole else out.splitlines()[-1])
    return found


@pytest.mark.postgres
def test_the_cache_is_what_the_ledger_holds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made, filled and followed; a new group reads it all again, and fills what was lost."""
    assert main(["sync", "--drain", "--create", "--json"]) == 0
    first = told(capsys)
    assert first["group"] == settings.sync.group_id
    assert len(first["made"]) == 3
    assert first["rows_written"] == len(held(settings)) > 20
    assert rows(settings) == held(settings)
    assert len({currency for _, currency, _ in rows(settings)}) > 1
    later = settings.kafka.model_copy(update={"group_id": "later"})  # the mock keeps old members
    post(settings.model_copy(update={"kafka": later}), skip=EVENTS, events=EVENTS + EVENTS // 10)
    monkeypatch.setenv(f"{PREFIX}SYNC__GROUP_ID", f"{settings.sync.group_id}-again")
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM customers WHERE id = (SELECT min(id) FROM customers)")
    before = rows(settings, TIMES)
    assert main(["sync", "--drain", "--json"]) == 0
    again = told(capsys)
    assert rows(settings) == held(settings)
    assert again["records"] > first["records"]
    assert again["rows_written"] >= len(rows(settings, TIMES) - before) > 1


@pytest.mark.postgres
def test_nothing_is_made_unless_it_is_asked_for(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--create` a missing table is one sentence and exit 2; `--sql` only prints."""
    assert main(["sync", "--drain"]) == 2
    assert capsys.readouterr().err == (
        "ledger-worker: PostgreSQL lacks the table customers, the table ledger_sync_set_aside, the"
        " table ledger_sync_offsets: `sync --create` makes what is missing, `sync --sql` prints"
        " how\n"
    )
    assert main(["sync", "--sql"]) == 0
    statements = capsys.readouterr().out
    assert statements.startswith('CREATE TABLE "customers" ("id" text, "currency" text, "balance')
    assert rows(settings, "SELECT to_regclass('customers')") == {(None,)}
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        connection.execute(statements.encode())
    assert main(["sync", "--sql", "--json"]) == 0
    assert told(capsys) == {"statements": []}


@pytest.mark.postgres
def test_doctor_looks_at_the_tables(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--create` would make is a finding with what to do; then all is well."""
    assert doctor(capsys) == {
        "name": "balance cache",
        "ok": False,
        "detail": "PostgreSQL lacks the table customers, the table ledger_sync_set_aside, the table"
        " ledger_sync_offsets",
        "advice": "ledger-worker sync --create makes what is missing, --sql prints how",
        "exit_code": 2,
    }
    assert main(["sync", "--sql"]) == 0
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        connection.execute(capsys.readouterr().out.encode())
    assert doctor(capsys)["ok"] is True


def doctor(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    main(["doctor", "--json"])
    checks: list[dict[str, Any]] = told(capsys, whole=True)["checks"]
    return next(check for check in checks if check["name"] == "balance cache")


@pytest.mark.postgres
def test_without_adding_rows_people_keep_their_table(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One currency in a table of one row per customer: only rows that are there get a balance."""
    mine = min(key for key, currency, _ in held(settings) if currency == "usd")
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE customers (stripe_id text PRIMARY KEY, name text NOT NULL)"
        )
        connection.execute("INSERT INTO customers VALUES (%s, 'Ann')", [mine])
    monkeypatch.setenv(f"{PREFIX}SYNC__CURRENCY", "usd")
    monkeypatch.setenv(f"{PREFIX}SYNC__ADD_ROWS", "false")
    monkeypatch.setenv(f"{PREFIX}SYNC__KEY_COLUMNS", '{"customers": "stripe_id"}')
    assert main(["sync", "--drain", "--create", "--json"]) == 0
    done = told(capsys)
    assert (done["rows_written"], len(done["made"])) == (1, 4)
    assert done["without_row"] == sum(one[1] == "usd" for one in held(settings)) - 1
    ((balance, name),) = rows(settings, "SELECT balance_cache, name FROM customers")
    assert ((mine, "usd", balance) in held(settings), name) == (True, "Ann")


@pytest.mark.postgres
def test_sigterm_ends_it_cleanly(settings: Settings) -> None:
    """It follows and shows what it does until it is told to stop, then ends with 0."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "sync", "--create", "--json"],
        env=os.environ | {f"{PREFIX}HTTP__PORT": f"{port}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + END_SECONDS_MAX
    balances = len(held(settings))
    while filled(settings) < balances:  # it may write them in two steps
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    metrics = shown(process, port, rows=balances)
    assert f"ledger_worker_sync_rows_written_total {balances:.1f}" in metrics
    assert "ledger_worker_sync_rows_waiting 0.0" in metrics
    assert (
        'ledger_worker_sync_lag_records{partition="0",topic="ledger.transfers.posted"}' in metrics
    )
    process.terminate()
    out, err = process.communicate(timeout=END_SECONDS_MAX)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["rows_written"] == balances


def shown(process: subprocess.Popen[str], port: int, *, rows: int) -> str:
    """Its metrics, once they show so many rows and it says that it is alive and ready."""
    deadline = time.monotonic() + END_SECONDS_MAX
    while True:
        assert time.monotonic() < deadline
        assert process.poll() is None
        with suppress(OSError):
            for probe in ("livez", "readyz"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{probe}", timeout=5).close()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text: str = answer.read().decode()
            if f"rows_written_total {rows:.1f}" in text and "sync_lag_records{" in text:
                return text
        time.sleep(0.05)


def filled(settings: Settings) -> int:
    """How many rows there are."""
    try:
        return len(rows(settings))
    except psycopg.errors.UndefinedTable:
        return 0


@pytest.mark.postgres
def test_rows_that_were_changed_are_verified_and_mended(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Emptied, changed and deleted: found, ends with 1, and the next look finds nothing."""
    assert main(["sync", "--drain", "--create", "--json"]) == 0
    true = rows(settings)
    first, second, third = sorted({key for key, currency, _ in true if currency == "usd"})[:3]
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        change = "UPDATE customers SET balance_cache = %s WHERE id = %s AND currency = 'usd'"
        connection.execute(change, [None, first])
        connection.execute(change, [1 << 40, second])
        connection.execute("DELETE FROM customers WHERE id = %s AND currency = 'usd'", [third])
        connection.execute("INSERT INTO customers VALUES ('nobody', 'usd', 5, 1)")
    capsys.readouterr()
    assert main(["sync", "--verify"]) == 1
    out = capsys.readouterr().out
    assert "2 rows said another balance than the ledger, 1 account had no row" in out
    assert "1 row of no account in the ledger: left as is" in out
    assert rows(settings) == true | {("nobody", "usd", 5)}
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM customers WHERE id = 'nobody'")
    assert main(["sync", "--verify", "--json"]) == 0
    again = told(capsys)
    assert (again["differing"], again["missing"], again["accounts"]) == (0, 0, len(true))


@pytest.mark.postgres
def test_a_restored_database_is_filled_from_where_it_was(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy from before the last postings takes over: it is noticed, and nothing else is told."""
    database, _, name = settings.sync.dsn.rpartition("/")
    assert main(["sync", "--drain", "--create", "--json"]) == 0
    first = told(capsys)
    with psycopg.connect(f"{database}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}_old TEMPLATE {name}".encode())
    later = settings.kafka.model_copy(update={"group_id": f"later-{name}"})
    start = 2 * EVENTS
    post(settings.model_copy(update={"kafka": later}), skip=start, events=start + EVENTS // 10)
    assert main(["sync", "--drain", "--json"]) == 0
    assert told(capsys)["read_again"] == 0
    assert rows(settings) == held(settings)
    (Path.cwd() / "dsn").write_text(f"{settings.sync.dsn}_old\n", encoding="utf-8")
    restored = load_settings()
    assert rows(restored) != held(settings)
    assert main(["sync", "--drain", "--json"]) == 0
    again = told(capsys)
    assert rows(restored) == held(settings)
    assert again["read_again"] > 0
    assert 0 < again["records"] < first["records"]


@pytest.mark.postgres
def test_rows_that_are_refused_wait_and_are_written_once_they_can_be(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """All others are written; the command ends with 1 and says where the reasons are."""
    assert main(["sync", "--sql"]) == 0
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        connection.execute(capsys.readouterr().out.encode())
        connection.execute("ALTER TABLE customers ADD CONSTRAINT poor CHECK (balance_cache < 9999)")
    assert main(["sync", "--drain"]) == 1
    out = capsys.readouterr().out
    rich = {one for one in held(settings) if one[2] >= 9999}
    assert f"{len(rich)} rows set aside: the table ledger_sync_set_aside has the reasons" in out
    assert rows(settings) == held(settings) - rich
    assert rows(settings, "SELECT DISTINCT reason FROM ledger_sync_set_aside") == {
        ("check violation, customers, poor",)
    }
    assert main(["sync", "--retry"]) == 1
    with psycopg.connect(settings.sync.dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE customers DROP CONSTRAINT poor")
    capsys.readouterr()
    assert main(["sync", "--retry"]) == 0
    assert capsys.readouterr().out == f"{len(rich)} rows written that had been set aside\n"
    assert rows(settings) == held(settings)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    "arguments", [["--after", "5"], ["--verify", "--drain"], ["--retry", "--drain"]]
)
def test_options_that_do_not_go_together(arguments: list[str]) -> None:
    """One sentence, and nothing is opened."""
    assert main(["sync", *arguments]) == 2


@pytest.mark.usefixtures("settings")
def test_an_unreachable_database_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the reason, and no password."""
    monkeypatch.setenv(f"{PREFIX}SYNC__DEADLINE_SECONDS", "0.5")
    assert main(["sync", "--drain"]) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "ledger-worker: PostgreSQL (sync.dsn) could not be reached for 0.5 s: Connection refused"
    )


@pytest.mark.usefixtures("settings")
def test_without_its_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL's client is an extra: who lacks it reads one sentence."""
    monkeypatch.delitem(sys.modules, "worker.jobs.sync.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert main(["sync", "--sql"]) == 2
    assert capsys.readouterr().err == (
        "ledger-worker: sync needs the package psycopg: pip install 'ledger-worker[sync]'\n"
    )


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"SYNC__GROUP_ID": "ledger-worker"}, "sync.group_id is the workers' own group"),
        ({"KAFKA__BOOTSTRAP_SERVERS": "embedded"}, "an embedded broker is new"),
        ({"SYNC__CURRENCY": "xxx"}, "no ledger for the currency 'xxx'"),
        ({"SYNC__KEY_COLUMNS": "[]"}, "sync.key_columns (LEDGER_WORKER_SYNC__KEY_COLUMNS)"),
        ({"SYNC__DEADLINE_SECONDS": "241"}, "must be less than or equal to 240"),
    ],
)
@pytest.mark.usefixtures("settings")
def test_wrong_settings_end_with_2(
    variables: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is one sentence, before anything is opened that could change."""
    for name, text in variables.items():
        monkeypatch.setenv(PREFIX + name, text)
    assert main(["sync"]) == 2
    assert says in capsys.readouterr().err


def test_the_connection_string_is_a_secret(settings: Settings) -> None:
    """Neither the settings nor the cache show it."""
    assert "hunter2" in settings.sync.dsn
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(PostgresCache(settings.sync.dsn, deadline_seconds=1))
