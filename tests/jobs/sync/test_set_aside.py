"""What stops no other row: refusals, locks, and a database that was moved back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.sync.world import (
    EUR,
    PLACE,
    USD,
    AnnouncedLedger,
    MemoryCache,
    MemoryOutbox,
    balances_of,
    follower,
    rules,
)
from worker.core.ids import account_id
from worker.jobs.sync import follow
from worker.jobs.sync.cache import SetAsideRow
from worker.jobs.sync.follow import OutboxFollower


@pytest.fixture
def books(tmp_path: Path) -> AnnouncedLedger:
    return AnnouncedLedger(rules(tmp_path))


def again(following: OutboxFollower) -> None:
    """A step a second later, when locked rows are tried again."""
    following._retried_at -= follow.LOCKED_AGAIN_SECONDS
    following.step()


def test_a_row_that_is_set_aside_gets_the_newest_balance(books: AnnouncedLedger) -> None:
    """It stops no other, is tried again, and what is no longer copied is forgotten."""
    cache, outbox = MemoryCache(), MemoryOutbox([books.move("clearing", "wallet[a]", 100)])
    cache.locked = {"a"}
    following = follower(books, outbox, cache)
    following.step()
    assert outbox.committed == {PLACE: 1}
    assert balances_of(cache) == {"house/clearing/usd.balance": 100}
    books.move("clearing", "wallet[a]", 11)
    again(following)
    assert cache.set_aside_count() == 1
    cache.locked = set()
    again(following)
    assert cache.set_aside_count() == 0
    assert balances_of(cache)["wallets/a/usd.balance"] == 111
    again(following)
    assert following.tally.set_aside == 2
    gone = SetAsideRow("wallets.balance", "a", "usd", 12)
    elsewhere = SetAsideRow("gone.balance", "a", "usd", account_id(ledger=USD, name="x", key=""))
    cache.aside = {row[:3]: (row, True) for row in (gone, elsewhere)}
    before = balances_of(cache)
    again(following)
    assert (cache.aside, balances_of(cache)) == ({}, before)


def test_single_accounts_that_were_set_aside_are_known(books: AnnouncedLedger) -> None:
    """Their rows have the account's name for a key."""
    cache = MemoryCache()
    cache.locked = {"clearing"}
    books.move("clearing", "wallet[a]", 5, ledger=EUR)
    following = follower(books, MemoryOutbox(books.records), cache)
    following.step()
    cache.locked = set()
    again(following)
    assert balances_of(cache)["house/clearing/eur.balance"] == 5


def test_a_database_that_was_moved_back_is_filled_from_there(books: AnnouncedLedger) -> None:
    """A restore, or a standby that lacks the last minute: read again from the rows' own offset."""
    for key in "abcd":
        books.move("clearing", f"wallet[{key}]", 1)
    cache, outbox = MemoryCache(), MemoryOutbox(books.records[:2])
    follower(books, outbox, cache).step()
    rows, saved = dict(cache.rows), dict(cache.saved)
    assert saved == {PLACE: 2}
    outbox.add(books.records[2:])
    follower(books, outbox, cache).step()
    cache.rows, cache.saved = rows, saved
    outbox.add([books.move("clearing", "wallet[e]", 1)])
    outbox.gained = [PLACE]
    following = follower(books, outbox, cache)
    following.step()
    assert outbox.sought == [(PLACE, 2)]
    assert (outbox.committed, cache.saved) == ({PLACE: 4}, {PLACE: 2})
    outbox.add(books.records[2:])
    following.step()
    assert outbox.committed == cache.saved == {PLACE: 5}
    assert {key for _, key, _ in cache.rows} == {"clearing", *"abcde"}
    assert (following.tally.read_again, outbox.sought) == (1, [(PLACE, 2)])


@pytest.mark.parametrize("known", [{}, {PLACE: 1}, {PLACE: 7}])
def test_a_database_that_is_not_behind_is_read_on(
    known: dict[tuple[str, int], int], books: AnnouncedLedger
) -> None:
    """Nothing is read again where its offset is the first one's, or none is known."""
    books.move("clearing", "wallet[a]", 1)
    cache, outbox = MemoryCache(), MemoryOutbox([books.move("clearing", "wallet[b]", 1)])
    cache.saved = dict(known)
    outbox.gained = [PLACE]
    follower(books, outbox, cache).step()
    assert (outbox.sought, outbox.committed) == ([], {PLACE: 2})


def test_what_comes_before_it_can_go_back_is_left_out(books: AnnouncedLedger) -> None:
    """Until it can: then all of it comes again. Also where only the end has come."""
    for key in "abc":
        books.move("clearing", f"wallet[{key}]", 1)
    cache, outbox = MemoryCache(), MemoryOutbox([], books.records[2:])
    cache.saved = {PLACE: 1}
    outbox.gained, outbox.ends, outbox.seekable = [PLACE], {PLACE: 3}, False
    following = follower(books, outbox, cache)
    following.step()
    assert (outbox.committed, cache.rows) == ({}, {})
    outbox.seekable = True
    following.step()
    assert (outbox.sought, outbox.committed, cache.rows) == ([(PLACE, 1)], {}, {})
    outbox.add(books.records[1:])
    following.step()
    assert outbox.committed == {PLACE: 3}
    assert {key for _, key, _ in cache.rows} == {"clearing", "b", "c"}
