"""`sync --verify`: every row against the ledger, whatever was done to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs.sync.world import EUR, AnnouncedLedger, MemoryCache, rules
from worker.config.sections import SyncSettings
from worker.core.ids import account_id
from worker.core.wire import Account, pack_account
from worker.jobs.sync import verify as module
from worker.jobs.sync.cells import stored_cells
from worker.jobs.sync.targets import find_targets
from worker.jobs.sync.verify import Verification, Verifier

LONG = "b7e23ec29af22b0b4e41da31e868d572"


@pytest.fixture
def books(tmp_path: Path) -> AnnouncedLedger:
    """Two wallets in two currencies, one of a long key, and accounts that are not copied."""
    books = AnnouncedLedger(rules(tmp_path))
    books.move("clearing", "wallet[a]", 100)
    books.move("owed[a]", "fees", 7)
    books.move("clearing", "wallet[a]", 5, ledger=EUR)
    books.move("clearing", f"wallet[{LONG}]", 9)
    return books


def verified(
    books: AnnouncedLedger, cache: MemoryCache, *, start_ns: int = 0, **settings: Any
) -> Verification:
    targets = find_targets(books.rulebook, SyncSettings(**settings))
    verifier = Verifier(ledger=books.ledger, cache=cache, targets=targets, rulebook=books.rulebook)
    return verifier.verify(start_ns=start_ns, stopped=lambda: False)


def filled(books: AnnouncedLedger) -> MemoryCache:
    cache = MemoryCache()
    cache.rows["wallets", LONG, "usd"] = {}
    verified(books, cache)
    return cache


def balances_of(cache: MemoryCache) -> dict[tuple[str, str, str], dict[str, int]]:
    return {
        where: {name: balance for name, (balance, _) in row.items()}
        for where, row in cache.rows.items()
    }


TRUE = {
    ("house", "clearing", "usd"): {"balance": 109},
    ("house", "clearing", "eur"): {"balance": 5},
    ("wallets", "a", "usd"): {"balance": 100, "owed": 7},
    ("wallets", "a", "eur"): {"balance": 5},
    ("wallets", LONG, "usd"): {"balance": 9},
}


def test_an_empty_database_is_filled(books: AnnouncedLedger) -> None:
    """All but an account that only a hash is known of."""
    cache = MemoryCache()
    found = verified(books, cache)
    assert balances_of(cache) == {key: row for key, row in TRUE.items() if key[1] != LONG}
    assert (found.accounts, found.missing, found.unnamed, found.differing) == (6, 5, 1, 0)
    assert (found.written, found.problems, found.resume_at) == (5, True, 0)


def test_what_is_right_stays(books: AnnouncedLedger) -> None:
    """Nothing differs, and every row has a newer time."""
    cache = filled(books)
    assert balances_of(cache) == TRUE
    before = {key: row["balance"][1] for key, row in cache.rows.items()}
    found = verified(books, cache)
    assert found == Verification(accounts=6, written=6)
    assert not found.problems
    assert all(row["balance"][1] >= before[key] for key, row in cache.rows.items())


@pytest.mark.parametrize("balance", [101, 0, -100, None])
@pytest.mark.parametrize("aged", [True, False])
def test_a_row_changed_by_hand_is_mended(
    balance: int | None, books: AnnouncedLedger, *, aged: bool
) -> None:
    """Whether its time was changed or not; a row that another process wrote later is left."""
    cache = filled(books)
    row = cache.rows["wallets", "a", "usd"]
    row["balance"] = (balance, 0 if aged else row["balance"][1])  # type: ignore[assignment] # none
    found = verified(books, cache)
    assert (found.differing, found.problems) == (1, True)
    assert balances_of(cache) == TRUE
    cache.rows["wallets", "a", "usd"]["balance"] = (3, 1 << 62)
    assert verified(books, cache).differing == 0
    assert balances_of(cache)["wallets", "a", "usd"]["balance"] == 3


def test_rows_of_nobody_are_counted_and_left(books: AnnouncedLedger) -> None:
    """A balance under a key that the ledger does not know is a person's to look at."""
    cache = filled(books)
    cache.rows["wallets", "stranger", "usd"] = {"balance": (5, 1)}
    cache.rows["wallets", "empty", "usd"] = {}
    found = verified(books, cache)
    assert (found.without_account, found.problems) == (1, True)
    assert cache.rows["wallets", "stranger", "usd"] == {"balance": (5, 1)}


def test_a_locked_row_is_set_aside(books: AnnouncedLedger) -> None:
    """Here too, and it is no row of nobody."""
    cache = filled(books)
    cache.locked = {"a"}
    found = verified(books, cache)
    assert (found.set_aside, found.without_account, found.problems) == (3, 0, True)


def test_without_adding_rows_a_missing_one_is_no_problem(books: AnnouncedLedger) -> None:
    """Who keeps their own table decides what has a row."""
    found = verified(books, MemoryCache(add_rows=False))
    assert (found.missing, found.without_row, found.problems) == (5, 5, False)


def test_a_stopped_one_says_where_it_goes_on(
    books: AnnouncedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both together have seen every account once."""
    monkeypatch.setattr(module, "PAGE", 2)
    cache = MemoryCache()
    targets = find_targets(books.rulebook, SyncSettings())
    verifier = Verifier(ledger=books.ledger, cache=cache, targets=targets, rulebook=books.rulebook)
    looks = iter([False, False, True])
    first = verifier.verify(start_ns=0, stopped=lambda: next(looks))
    assert (first.accounts, first.without_account) == (4, 0)
    rest = verified(books, cache, start_ns=first.resume_at)
    assert (rest.accounts, rest.resume_at) == (2, 0)
    assert len(cache.rows) == 4


def test_one_currency_and_other_accounts_are_left_out(books: AnnouncedLedger) -> None:
    """As following does; an account that the rulebook does not declare is none of ours."""
    books.ledger.create_accounts(pack_account(Account(77, ledger=840, code=9)))
    cache = MemoryCache()
    found = verified(books, cache, currency="eur")
    assert found.accounts == 2
    assert balances_of(cache) == {
        ("house", "clearing", ""): {"balance": 5},
        ("wallets", "a", ""): {"balance": 5},
    }


def test_a_key_that_looks_like_a_hash_is_a_key(books: AnnouncedLedger) -> None:
    """Whether the ledger keeps a hash is told by the account's id."""
    odd = stored_cells(LONG)[:10]
    books.move("clearing", f"wallet[{odd}]", 4)
    cache = filled(books)
    assert balances_of(cache)["wallets", odd, "usd"] == {"balance": 4}
    assert account_id(ledger=840, name="wallet", key=odd)


def test_an_account_that_never_moved_needs_no_row(books: AnnouncedLedger) -> None:
    """A chain that was refused leaves one behind; a row that is there says nothing else than 0."""
    books.account("wallet", "new", 840)
    cache = filled(books)
    assert not verified(books, cache).problems
    assert ("wallets", "new", "usd") not in cache.rows
    cache.rows["wallets", "new", "usd"] = {"balance": (9, 1)}
    assert verified(books, cache).differing == 1
    assert balances_of(cache)["wallets", "new", "usd"] == {"balance": 0}
