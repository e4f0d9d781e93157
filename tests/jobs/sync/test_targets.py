"""What is copied where, and what a table lacks: pure decisions, in tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from tests.jobs.sync.world import RULES, rules
from worker.config.sections import KafkaSettings, SyncSettings
from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.jobs.sync.schema import Table, schema_problems
from worker.jobs.sync.targets import SyncTarget, find_targets, group_of

MANY = SyncTarget("wallets", "id", "currency", "balance", "balance_ledger_timestamp")
OWED = MANY._replace(balance="owed", time="owed_ledger_timestamp")
ONE = SyncTarget("customers", "stripe_id", "", "balance_cache", "balance_cache_at")
KEYED = frozenset({"id"})
PAIRED = frozenset({"id", "currency"})
COLUMNS = {
    "id": "text",
    "currency": "text",
    "balance": "numeric",
    "balance_ledger_timestamp": "bigint",
    "email": "text",
}
NEW_CUSTOMERS = (
    'CREATE TABLE "customers" ("stripe_id" text, "balance_cache" numeric(39, 0),'
    ' "balance_cache_at" bigint, PRIMARY KEY ("stripe_id"))'
)
NEW_WALLETS = (
    'CREATE TABLE "wallets" ("id" text, "currency" text, "balance" numeric(39, 0),'
    ' "balance_ledger_timestamp" bigint, "owed" numeric(39, 0),'
    ' "owed_ledger_timestamp" bigint, PRIMARY KEY ("id", "currency"))'
)


def test_the_rulebook_and_the_settings_name_the_columns(tmp_path: Path) -> None:
    """Several currencies need a currency column; one does not, and a table has its own key."""
    rulebook = rules(tmp_path)
    house = SyncTarget("house", "id", "currency", "balance", "balance_ledger_timestamp")
    assert find_targets(rulebook, SyncSettings()).columns == [house, MANY, OWED]
    only = SyncSettings(currency="usd", key_columns={"wallets": "wallet_id"}, time_suffix="_at")
    assert find_targets(rulebook, only).columns == [
        SyncTarget("house", "id", "", "balance", "balance_at"),
        SyncTarget("wallets", "wallet_id", "", "balance", "balance_at"),
        SyncTarget("wallets", "wallet_id", "", "owed", "owed_at"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "settings", "says"),
    [
        ("sync_to", "sync_to", {"currency": "gbp"}, "no ledger for the currency 'gbp'"),
        ("wallets.owed", "wallets.balance", {}, "wallet and owed both have `sync_to: wallets.bal"),
        ("wallets.owed", "wallets.balance_ledger_timestamp", {}, "two accounts write the column"),
        ("wallets.owed", "wallets.id", {}, "key, currency, balance and time of wallets.id"),
        ("wallets.owed", "wallets.", {}, "is no table and column"),
        ("sync_to: wallets.owed", "title: x", {"currency_column": "id"}, "collide"),
    ],
)  # fmt: skip
def test_what_cannot_be_copied_is_refused(
    old: str, new: str, settings: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """Two accounts never share a cell, and every mistake is one sentence."""
    with pytest.raises(UsageError, match=says):
        find_targets(rules(tmp_path, RULES.replace(old, new)), SyncSettings(**settings))


def test_a_rulebook_without_sync_to_is_refused(tmp_path: Path) -> None:
    """There would be nothing to do."""
    lines = [
        line.replace(", sync_to: house.balance", "").replace(", sync_to: wallets.balance", "")
        for line in RULES.replace(", sync_to: wallets.owed", "").splitlines()
    ]
    with pytest.raises(UsageError, match="no account of the rulebook has `sync_to`"):
        find_targets(rules(tmp_path, "\n".join(lines)), SyncSettings())


def test_the_group_is_not_the_workers() -> None:
    """Its own by default, and never the one that posts."""
    kafka = KafkaSettings(group_id="books")
    assert group_of(Settings(kafka=kafka)) == "books-sync"
    with pytest.raises(UsageError, match="the workers' own group"):
        group_of(Settings(kafka=kafka, sync=SyncSettings(group_id="books")))


@pytest.mark.parametrize(
    ("targets", "table", "statements"),
    [
        ([ONE], Table(), [
            NEW_CUSTOMERS,
        ]),
        ([MANY, OWED], Table(), [
            NEW_WALLETS,
        ]),
        ([ONE], Table({"stripe_id": "text"}, [frozenset({"stripe_id"})]), [
            'ALTER TABLE "customers" ADD COLUMN "balance_cache" numeric(39, 0)',
            'ALTER TABLE "customers" ADD COLUMN "balance_cache_at" bigint',
        ]),
        ([MANY], Table(COLUMNS, [PAIRED]), []),
        ([MANY], Table(COLUMNS, [frozenset({"email"})]), [
            'CREATE UNIQUE INDEX ON "wallets" ("id", "currency")',
        ]),
    ],
)  # fmt: skip
def test_what_a_table_lacks(targets: list[SyncTarget], table: Table, statements: list[str]) -> None:
    """Only what is missing is named, table by table."""
    found = schema_problems(targets, table, add_rows=True)
    assert [lack.statement for lack in found] == statements


def test_without_adding_rows_no_unique_index_is_needed() -> None:
    """Updating rows needs none."""
    assert schema_problems([MANY], Table(COLUMNS), add_rows=False) == []


def test_names_are_quoted() -> None:
    """A name is a name, whatever it holds."""
    odd = SyncTarget('a"b', "select", "", "c; DROP TABLE x", "d")
    (made,) = schema_problems([odd], Table(), add_rows=True)
    assert made.statement.startswith('CREATE TABLE "a""b" ("select" text, "c; DROP TABLE x" num')


@pytest.mark.parametrize(
    ("change", "unique", "says"),
    [
        ({"id": "bytea"}, PAIRED, "wallets.id is bytea: the cache needs bigint or character"),
        ({"currency": "uuid"}, PAIRED, "wallets.currency is uuid: the cache needs character"),
        ({"balance": "real"}, PAIRED, "wallets.balance is real: the cache needs bigint or"),
        ({"balance_ledger_timestamp": "text"}, PAIRED, "is text: the cache needs bigint or num"),
        ({"balance": "numeric(12,2)"}, PAIRED, r"is numeric\(12,2\), and balances are in minor"),
        ({"balance_ledger_timestamp": "timestamp with time zone"}, PAIRED, "is timestamp with"),
        ({}, KEYED, "one row for each id, and the rulebook several currencies"),
    ],
)  # fmt: skip
def test_a_table_that_would_not_do_is_refused(
    change: dict[str, str], unique: frozenset[str], says: str
) -> None:
    """Nothing is added to it, and the sentence says what it is."""
    with pytest.raises(UsageError, match=says):
        schema_problems([MANY], Table(COLUMNS | change, [unique]), add_rows=True)


@pytest.mark.parametrize(
    ("declared", "fits"),
    [
        *[("numeric", True), ("text", True), ("numeric(12,3)", True), ("numeric(12,2)", True)],
        *[("numeric(12,1)", False), ("numeric(12)", False), ("numeric(12,0)", False)],
        *[("bigint", False), ("integer", False)],
    ],
)
def test_a_balance_in_units_of_the_currency_needs_its_places(declared: str, *, fits: bool) -> None:
    """12.30 in a column of one place or none would be another amount."""
    table, target = Table(COLUMNS | {"balance": declared}, [PAIRED]), MANY._replace(places=2)
    if fits:
        assert schema_problems([target], table, add_rows=True) == []
        return
    with pytest.raises(UsageError, match=r"in `major` units .* has 2 decimal places"):
        schema_problems([target], table, add_rows=True)


def test_a_column_in_units_is_made_with_its_places() -> None:
    """And what is written beside it stays as it is."""
    (made,) = schema_problems([MANY._replace(places=3), OWED], Table(), add_rows=True)
    assert '"balance" numeric(39, 3)' in made.statement
    assert '"owed" numeric(39, 0)' in made.statement


def test_units_are_of_columns_that_are_copied(tmp_path: Path) -> None:
    """The most decimal places of any currency that is copied; a mistyped column is named."""
    units: dict[str, Literal["minor", "major"]] = {"wallets.balance": "major"}
    places = {
        target.text: target.places
        for target in find_targets(rules(tmp_path), SyncSettings(units=units)).columns
    }
    assert places == {"house.balance": 0, "wallets.balance": 2, "wallets.owed": 0}
    with pytest.raises(UsageError, match=r"sync.units: no account .* `sync_to: wallet.balance`"):
        find_targets(rules(tmp_path), SyncSettings(units={"wallet.balance": "major"}))
