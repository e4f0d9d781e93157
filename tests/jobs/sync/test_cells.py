"""Whose balance an announcement is about: keys, hashes of keys, and a memory that is bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs.sync.world import EUR, AnnouncedLedger, MemoryCache, MemoryOutbox, follower, rules
from worker.config.sections import SyncSettings
from worker.core.errors import UsageError
from worker.core.ids import FAMILY_KEY_BYTES, account_id
from worker.core.ports import Record
from worker.jobs.sync import cells as cells_of
from worker.jobs.sync.cells import AccountSide, Cells, Unreadable, stored_cells
from worker.jobs.sync.targets import find_targets
from worker.ledger.embedded import EmbeddedLedger

LONG, LONGER = "k" * (FAMILY_KEY_BYTES + 1), "m" * 60


@pytest.fixture
def books(tmp_path: Path) -> AnnouncedLedger:
    return AnnouncedLedger(rules(tmp_path))


def cells(books: AnnouncedLedger) -> Cells:
    return Cells(find_targets(books.rulebook, SyncSettings()))


def credited(books: AnnouncedLedger, of: Cells, key: str, **told: Any) -> AccountSide:
    """The wallet's side of an announcement."""
    record = books.move("clearing", f"wallet[{key}]", 1, told=told)
    (side,) = (each for each in of.sides(record) if each.account.name == "wallet")
    return side


@pytest.mark.parametrize("key", ["a", "k" * FAMILY_KEY_BYTES, LONG])
def test_an_account_is_known_by_its_key(books: AnnouncedLedger, key: str) -> None:
    """However long it is."""
    of = cells(books)
    found = of.cell(credited(books, of, key))
    assert found is not None
    assert found.key == key


def test_a_hash_is_known_once_its_key_was_seen(books: AnnouncedLedger) -> None:
    """And is then the same cell; before, it is nobody's."""
    of = cells(books)
    hashed = credited(books, of, LONG, credit_key=stored_cells(LONG))
    assert of.cell(hashed) is None
    whole = of.cell(credited(books, of, LONG))
    assert of.cell(hashed) == whole


def test_a_hash_is_another_account_s_where_its_id_does_not_follow(books: AnnouncedLedger) -> None:
    """The key alone would be right: the id says that it is another family's or ledger's."""
    of = cells(books)
    assert of.cell(credited(books, of, LONG))
    for number in (
        account_id(ledger=840, name="owed", key=LONG),
        account_id(ledger=EUR, name="wallet", key=LONG),
    ):
        told = {"credit_account_id": f"{number:032x}", "credit_key": stored_cells(LONG)}
        assert of.cell(credited(books, of, LONG, **told)) is None
        with pytest.raises(Unreadable):
            of.cell(credited(books, of, LONG, **told | {"credit_key": LONG}))


def test_long_keys_are_kept_within_a_bound(
    books: AnnouncedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full memory starts over: the key that has just come is known, those before it are not."""
    monkeypatch.setattr(cells_of, "LONG_KEYS_MAX", 1)
    of = cells(books)
    hashed = credited(books, of, LONG, credit_key=stored_cells(LONG))
    assert of.cell(credited(books, of, LONG))
    assert of.cell(hashed)
    assert of.cell(credited(books, of, LONGER))
    assert of.cell(hashed) is None


def test_a_ledger_that_was_moved_back_is_not_this_one(books: AnnouncedLedger) -> None:
    """It has the older announcements' transfers: the newest one of a batch is asked for."""
    restored = AnnouncedLedger(books.rulebook, EmbeddedLedger(now_ns=lambda: 1000))
    older = restored.move("clearing", "wallet[a]", 1)
    _, newer = (books.move("clearing", "wallet[a]", 1) for _ in range(2))
    for batch in ([older, newer], [newer, older]):
        following = follower(restored, MemoryOutbox(batch), MemoryCache())
        with pytest.raises(UsageError, match="does not hold what the outbox announced"):
            following.step()


def test_a_database_that_is_up_to_date_is_followed_from_there(books: AnnouncedLedger) -> None:
    """At the first record of what comes: nothing is read again."""
    records: list[Record] = [books.move("clearing", "wallet[a]", 1) for _ in range(4)]
    cache = MemoryCache()
    follower(books, MemoryOutbox(records[:2]), cache).step()
    partition = (records[0].topic(), 0)
    assert cache.saved == {partition: 2}
    outbox = MemoryOutbox(records[2:])
    outbox.gained = [partition]
    following = follower(books, outbox, cache)
    following.step()
    assert following.tally.read_again == 0
    assert outbox.sought == []
    assert outbox.committed == {partition: 4}
