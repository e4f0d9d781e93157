"""The port to the database: one contract, for PostgreSQL and for what stands in for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.jobs.sync.world import MemoryCache
from worker.jobs.sync.cache import BalanceCache, BalanceRow, StoredBalance, WriteResult
from worker.jobs.sync.cells import stored_cells
from worker.jobs.sync.postgres import PostgresCache
from worker.jobs.sync.targets import SyncTarget

BALANCE = SyncTarget("wallets", "id", "currency", "balance", "balance_ledger_timestamp")
OWED = BALANCE._replace(balance="owed", time="owed_ledger_timestamp")
PLAIN = SyncTarget("customers", "stripe id", "", "balance_cache", "balance_cache_ledger_timestamp")
ACCOUNT = 7
LONG = "b7e23ec29af22b0b4e41da31e868d572"

Open = Callable[..., BalanceCache]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a cache with the tables of the three targets, empty at first."""
    if request.param == "memory":
        memory = MemoryCache()

        def remember(*, add_rows: bool = True) -> BalanceCache:
            again = MemoryCache(add_rows=add_rows)
            again.rows = memory.rows
            return again

        yield remember
        return
    dsn: str = request.getfixturevalue("database")
    caches: list[PostgresCache] = []

    def connect(*, add_rows: bool = True) -> BalanceCache:
        caches.append(PostgresCache(dsn, deadline_seconds=10, add_rows=add_rows))
        return caches[-1]

    with closing(PostgresCache(dsn, deadline_seconds=10)) as cache:
        cache.make(cache.lacking([BALANCE, OWED, PLAIN]))
    yield connect
    for cache in caches:
        cache.close()


def row(key: str, balance: int, at: int, currency: str = "usd") -> BalanceRow:
    return BalanceRow(key, currency, balance, at, ACCOUNT, 2)


def test_a_row_moves_forward_only(opened: Open) -> None:
    """Later is written, the same moment and earlier change nothing."""
    cache = opened()
    assert cache.write({BALANCE: [row("a", 5, 100)]}) == WriteResult(1)
    assert cache.write({BALANCE: [row("a", 4, 99)]}) == WriteResult(0)
    assert cache.write({BALANCE: [row("a", 6, 100)]}) == WriteResult(0)
    assert cache.write({BALANCE: [row("a", 7, 101), row("b", 1, 1)]}) == WriteResult(2)
    assert cache.write({}) == WriteResult(0)


def test_each_column_and_currency_has_its_own_time(opened: Open) -> None:
    """Two balances in one row, and one key in two currencies, do not hold each other back."""
    cache = opened()
    assert cache.write({BALANCE: [row("a", 5, 100)]}) == WriteResult(1)
    assert cache.write({OWED: [row("a", 5, 50)]}) == WriteResult(1)
    assert cache.write({BALANCE: [row("a", 5, 50, "eur")]}) == WriteResult(1)
    assert cache.write({PLAIN: [row("a", 5, 50, "")]}) == WriteResult(1)
    again = {BALANCE: [row("a", 9, 100)], OWED: [row("a", 9, 50)], PLAIN: [row("a", 9, 50, "")]}
    assert cache.write(again) == WriteResult(0)


def test_any_order_ends_in_the_newest(opened: Open) -> None:
    """Whatever the order, and from two writers, what stands is the newest."""
    rows = [row(key, at, at) for key in "abc" for at in range(1, 30)]
    random.Random(4).shuffle(rows)
    writers = [opened(), opened()]
    for number, one in enumerate(rows):
        writers[number % 2].write({BALANCE: [one]})
    newest = [row(key, 29, 29) for key in "abc"]
    assert writers[0].write({BALANCE: newest}) == WriteResult(0)


def test_balances_have_any_size_and_sign(opened: Open) -> None:
    """The largest that a ledger holds fits, and so does less than nothing."""
    cache = opened()
    huge = (1 << 128) - 1
    assert cache.write({BALANCE: [row("a", huge, 1), row("b", -huge, 1)]}) == WriteResult(2)


def test_without_adding_rows_a_key_without_one_is_counted(opened: Open) -> None:
    """Only rows that are there move; the others are told."""
    opened().write({BALANCE: [row("a", 1, 1)]})
    cache = opened(add_rows=False)
    assert cache.write({BALANCE: [row("a", 2, 2), row("b", 2, 2)]}) == WriteResult(1, 1)
    assert cache.write({BALANCE: [row("a", 2, 2), row("b", 3, 3)]}) == WriteResult(0, 1)


def test_long_keys_are_found_by_what_the_ledger_shows(opened: Open) -> None:
    """The table's own keys tell which one a hash stands for."""
    cache = opened()
    cache.write({PLAIN: [row(key, 1, 1, "") for key in (LONG, "short", "another " + LONG)]})
    assert cache.long_keys(PLAIN, {stored_cells(LONG), "#00"}) == {stored_cells(LONG): LONG}
    assert cache.long_keys(BALANCE, {stored_cells(LONG)}) == {}


@pytest.mark.parametrize("key", ["%s", "Ö'\"\\", "a,b{}", "x" * 500, "NULL", " "])
def test_keys_are_text(key: str, opened: Open) -> None:
    """Whatever a key holds is a key, and nothing else."""
    cache = opened()
    assert cache.write({BALANCE: [row(key, 1, 1)]}) == WriteResult(1)
    assert cache.write({BALANCE: [row(key, 2, 1)]}) == WriteResult(0)


def test_what_is_stored_is_read_back(opened: Open) -> None:
    """By key and currency; a key without a row is left out."""
    cache = opened()
    rows = [row("a", -1230, 7), row("b", 0, 8, "eur")]
    cache.write({BALANCE: rows})
    asked = [*rows, row("a", 1, 1, "eur"), row("c", 1, 1)]
    assert cache.stored(BALANCE, asked) == {
        ("a", "usd"): StoredBalance(-1230, 7),
        ("b", "eur"): StoredBalance(0, 8),
    }
    assert cache.stored(OWED, rows[:1]) == {("a", "usd"): StoredBalance(None, 0)}
    assert cache.stored(BALANCE, []) == {}


def test_older_rows_are_counted(opened: Open) -> None:
    """Those with a balance that was true before then; in a table of one row per key as well."""
    cache = opened()
    cache.write({BALANCE: [row("a", 1, 7), row("b", 1, 8), row("b", 1, 6, "eur")]})
    cache.write({PLAIN: [row("a", 1, 7, "")]})
    assert [cache.count_older(BALANCE, time) for time in (6, 7, 8, 9)] == [0, 1, 2, 3]
    assert [cache.count_older(PLAIN, time) for time in (7, 8)] == [0, 1]
    assert cache.count_older(OWED, 99) == 0
