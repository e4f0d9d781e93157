"""From announcements to rows: what a balance is, whose it is, and when an offset is committed."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.jobs.sync.world import (
    EUR,
    OUTBOX,
    PLACE,
    RULES,
    USD,
    AnnouncedLedger,
    MemoryCache,
    MemoryOutbox,
    balances_of,
    follower,
    rules,
)
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.ids import account_id
from worker.core.ports import AccountsNow, Record, TopicPartition
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.sync import follow
from worker.jobs.sync.balances import read_nets
from worker.jobs.sync.cache import BalanceRow, WriteResult
from worker.jobs.sync.cells import stored_cells
from worker.jobs.sync.targets import SyncTarget
from worker.ledger.embedded import EmbeddedLedger

LONG = "b7e23ec29af22b0b4e41da31e868d572"


@pytest.fixture
def books(tmp_path: Path) -> AnnouncedLedger:
    return AnnouncedLedger(rules(tmp_path))


def copied(books: AnnouncedLedger, *batches: Sequence[Record], **settings: Any) -> MemoryCache:
    """The cache after these batches."""
    cache = MemoryCache()
    following = follower(books, MemoryOutbox(*batches), cache, **settings)
    for _ in batches:
        following.step()
    return cache


def test_a_balance_is_posted_money_on_the_side_the_account_grows_by(books: AnnouncedLedger) -> None:
    """A liability holds credits minus debits, an asset debits minus credits, per currency."""
    books.move("clearing", "wallet[a]", 100)
    books.move("wallet[a]", "wallet[b]", 30)
    books.move("owed[b]", "fees", 7)
    books.move("clearing", "wallet[a]", 5, ledger=EUR)
    books.move("wallet[a]", "clearing", 2)
    assert balances_of(copied(books, books.records)) == {
        "house/clearing/usd.balance": 98,
        "house/clearing/eur.balance": 5,
        "wallets/a/usd.balance": 68,
        "wallets/a/eur.balance": 5,
        "wallets/b/usd.balance": 30,
        "wallets/b/usd.owed": 7,
    }


def test_one_currency_only(books: AnnouncedLedger) -> None:
    """With `sync.currency`, a row is found by key alone, and other currencies are left out."""
    books.move("clearing", "wallet[a]", 5, ledger=EUR)
    books.move("clearing", "wallet[a]", 100)
    books.move("clearing", "wallet[a]", 1, told={"ledger": 999})
    cache = copied(books, books.records, currency="EUR")
    assert balances_of(cache) == {"house/clearing/.balance": 5, "wallets/a/.balance": 5}


def test_disorder_and_replays_end_in_the_ledgers_balances(books: AnnouncedLedger) -> None:
    """Any order, doubled, in any batches and followers: never a step back, and the truth last."""
    dice = random.Random(7)
    cache = MemoryCache()
    expected: dict[tuple[str, str, str], int] = {}
    for _ in range(60):
        left, right = dice.sample("abcde", 2)
        books.move(f"wallet[{left}]", f"wallet[{right}]", dice.randrange(1, 50))
        if dice.random() < 0.3:
            told = dice.choices(books.records, k=5)
            follower(books, MemoryOutbox(told), cache).step()
            times = {place: row["balance"][1] for place, row in cache.rows.items()}
            assert all(times[place] >= seen for place, seen in expected.items())
            expected = times
    shuffled = [*books.records, *books.records]
    dice.shuffle(shuffled)
    following = follower(books, MemoryOutbox(shuffled[:50], shuffled[50:]), cache)
    following.step()
    following.step()
    assert balances_of(cache) == {
        f"wallets/{key}/usd.balance": books.balance("wallet", key) for key in "abcde"
    }


def test_what_is_as_new_already_is_not_read_again(books: AnnouncedLedger) -> None:
    """A catch-up reads each account once, not once for each of its transfers."""
    for _ in range(20):
        books.move("clearing", "wallet[a]", 1)
    batches = [[one] for one in books.records]
    outbox, cache = MemoryOutbox(*batches, batches[0]), MemoryCache()
    following = follower(books, outbox, cache)
    for _ in books.records:
        following.step()
    tally = following.tally
    assert (tally.records, tally.balances_read, tally.rows_written) == (20, 2, 2)
    assert outbox.committed == {PLACE: 20}
    outbox.add([books.move("clearing", "wallet[a]", 1)])
    following.step()
    following.step()
    assert balances_of(cache)["wallets/a/usd.balance"] == 21


class Interrupted(MemoryCache):
    """A cache after which the process ends, before it can commit."""

    def write(
        self,
        rows: Mapping[SyncTarget, Sequence[BalanceRow]],
        offsets: Mapping[TopicPartition, int] = MappingProxyType({}),
    ) -> WriteResult:
        super().write(rows, offsets)
        raise DependencyUnavailable("the process was killed here")


def test_a_crash_between_rows_and_offsets_changes_nothing(books: AnnouncedLedger) -> None:
    """The offset is not committed, the record comes again, and says the same balances."""
    books.move("clearing", "wallet[a]", 100)
    cache, outbox = Interrupted(), MemoryOutbox(books.records)
    with pytest.raises(DependencyUnavailable):
        follower(books, outbox, cache).step()
    assert outbox.committed == {}
    again = MemoryCache()
    again.rows = dict(cache.rows)
    outbox = MemoryOutbox(books.records)
    following = follower(books, outbox, again)
    following.step()
    assert (
        balances_of(again)
        == balances_of(cache)
        == {
            "house/clearing/usd.balance": 100,
            "wallets/a/usd.balance": 100,
        }
    )
    assert outbox.committed == {PLACE: 1}


def test_offsets_that_a_changing_group_refuses_are_said_again(books: AnnouncedLedger) -> None:
    """Until it takes them; those of a partition that left are not ours to say."""
    books.move("clearing", "wallet[a]", 100)
    elsewhere = replace(ArchivedRecord(OUTBOX, 1, 6, b"", books.records[0].value()))
    outbox = MemoryOutbox([*books.records, elsewhere], refuse={1})
    following = follower(books, outbox, MemoryCache())
    following.step()
    assert outbox.committed == {}
    outbox.add([elsewhere])
    outbox.lost = [(OUTBOX, 1)]
    following.step()
    assert outbox.committed == {PLACE: 1}


def test_the_end_of_a_partition_is_committed_too(books: AnnouncedLedger) -> None:
    """A transaction's marker comes after its records, and a drain waits for the offset behind."""
    outbox = MemoryOutbox([books.move("clearing", "wallet[a]", 100)])
    outbox.ends = {PLACE: 2}
    follower(books, outbox, MemoryCache()).step()
    assert outbox.committed == {PLACE: 2}


def test_a_long_key_is_known_by_its_hash(books: AnnouncedLedger) -> None:
    """An announcement that knows the hash only finds the row: by this batch, or by the table."""
    first = books.move("clearing", f"wallet[{LONG}]", 100)
    told = {"debit_key": stored_cells(LONG)}
    back = books.move(f"wallet[{LONG}]", "clearing", 30, told=told)
    assert balances_of(copied(books, [back, first]))[f"wallets/{LONG}/usd.balance"] == 70
    cache = MemoryCache()
    follower(books, MemoryOutbox([first]), cache).step()
    more = books.move(f"wallet[{LONG}]", "clearing", 5, told=told)
    follower(books, MemoryOutbox([more]), cache).step()
    assert balances_of(cache)[f"wallets/{LONG}/usd.balance"] == 65


def test_a_hash_before_its_key_is_left_out_until_the_key_comes(books: AnnouncedLedger) -> None:
    """Out of order, the later transfer is not lost: the first one brings the newest balance."""
    first = books.move("clearing", f"wallet[{LONG}]", 100)
    back = books.move(f"wallet[{LONG}]", "fees", 30, told={"debit_key": stored_cells(LONG)})
    cache, outbox = MemoryCache(), MemoryOutbox([back], [first])
    following = follower(books, outbox, cache)
    following.step()
    assert (following.tally.unnamed, cache.rows) == (1, {})
    following.step()
    assert balances_of(cache)[f"wallets/{LONG}/usd.balance"] == 70


@pytest.mark.parametrize(
    "told",
    [
        {"credit_key": "victim"},
        {"credit_account_id": "zz"},
        {"ledger_timestamp": None},
        {"ledger": None},
        {"credit_account": "owed"},
    ],
)
def test_a_key_that_is_not_the_accounts_writes_nothing(
    told: dict[str, Any], books: AnnouncedLedger
) -> None:
    """A record that the worker did not write is counted and passed, and moves no row of anybody."""
    books.move("clearing", "wallet[victim]", 1)
    bad = books.move("fees", "wallet[a]", 100, told=told)
    good = books.move("clearing", "wallet[b]", 3)
    cache, outbox = MemoryCache(), MemoryOutbox([bad, good])
    following = follower(books, outbox, cache)
    following.step()
    assert following.tally.unreadable == 1
    assert balances_of(cache) == {"house/clearing/usd.balance": 4, "wallets/b/usd.balance": 3}
    assert outbox.committed == {PLACE: 3}


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\0\0\0\0\4x", b'{"transfer_id":"1"}'])
def test_bytes_that_are_no_announcement_are_passed(value: bytes, books: AnnouncedLedger) -> None:
    """Counted, told with their place, and never in the way."""
    outbox = MemoryOutbox([ArchivedRecord(OUTBOX, 0, 0, b"", value)])
    following = follower(books, outbox, MemoryCache())
    following.step()
    assert (following.tally.unreadable, outbox.committed) == (1, {PLACE: 1})


@pytest.mark.parametrize("holds", ["nothing", "less"])
def test_another_ledgers_outbox_is_refused(holds: str, books: AnnouncedLedger) -> None:
    """A ledger that is behind its announcements would write yesterday's balances."""
    books.move("clearing", "wallet[a]", 100)
    later = {"ledger_timestamp": str((1 << 62) + 1)}
    ahead = books.move("clearing", "wallet[a]", 1, told=later)
    if holds == "nothing":
        books.ledger = EmbeddedLedger()
    cache, outbox = MemoryCache(), MemoryOutbox([ahead])
    with pytest.raises(UsageError, match="does not hold what the outbox announced"):
        follower(books, outbox, cache).step()
    assert (cache.rows, outbox.committed) == ({}, {})


def test_a_balance_has_the_time_of_its_reading(books: AnnouncedLedger) -> None:
    """Between the last transfer in it and the next; an account that is not there has none."""
    clearing = account_id(ledger=USD, name="clearing", key="")
    for _ in range(3):
        before = books.move("clearing", "wallet[a]", 100)
        nets = read_nets(books.ledger, [clearing, 1])
        after = books.move("clearing", "wallet[a]", 1)
        assert nets.keys() == {clearing}
        assert nets[clearing].amount == books.balance("clearing") + 1
        assert announced_at(before) <= nets[clearing].timestamp < announced_at(after)


def announced_at(record: Record) -> int:
    return int(json.loads(record.value() or b"")["ledger_timestamp"])


def test_what_is_remembered_has_a_limit(
    books: AnnouncedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond it, accounts are read again, and nothing else changes."""
    monkeypatch.setattr(follow, "KNOWN_MAX", 1)
    for key in "abc":
        books.move("clearing", f"wallet[{key}]", 1)
    cache = copied(books, *([one] for one in books.records), books.records)
    assert balances_of(cache)["house/clearing/usd.balance"] == 3


class CountedLedger(EmbeddedLedger):
    """Counts the balances that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def accounts_now(self, ids: Sequence[int]) -> AccountsNow:
        self.read += ids
        return super().accounts_now(ids)


def test_a_row_that_is_as_new_is_not_read_again(
    books: AnnouncedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not within the limit of what is remembered; beyond it everything is read once more."""
    books.ledger = CountedLedger()
    for key in "ab":
        books.move("clearing", f"wallet[{key}]", 1)

    def reads(limit: int) -> int:
        monkeypatch.setattr(follow, "KNOWN_MAX", limit)
        following = follower(books, MemoryOutbox(*[books.records] * 3), MemoryCache())
        following.step()
        first = len(set(books.ledger.read))  # type: ignore[attr-defined] # it counts
        assert first == 3
        books.ledger.read.clear()  # type: ignore[attr-defined] # it counts
        following.step()
        following.step()
        again = len(set(books.ledger.read))  # type: ignore[attr-defined] # it counts
        assert len(following._known) <= max(limit, 3)
        books.ledger.read.clear()  # type: ignore[attr-defined] # it counts
        return again

    assert reads(3) == 0
    for number, key in enumerate("cdefg"):
        books.move("clearing", f"wallet[{key}]", 1 + number)
    following = follower(books, MemoryOutbox(*([one] for one in books.records)), MemoryCache())
    for _ in books.records:
        following.step()
        assert len(following._known) <= 3 + 2


def test_offsets_are_committed_once(books: AnnouncedLedger) -> None:
    """When they have moved: another member may have the partition and be further by then."""
    books.move("clearing", "wallet[a]", 1)
    outbox = MemoryOutbox(books.records, [], books.records)
    following = follower(books, outbox, MemoryCache())
    following.step()
    assert outbox.committed == {PLACE: 1}
    outbox.committed.clear()
    following.step()
    assert outbox.committed == {}
    following.step()
    assert outbox.committed == {PLACE: 1}


def test_single_accounts_have_rows_by_their_names(tmp_path: Path) -> None:
    """Two accounts without `per` may share a column: each has its own row."""
    text = RULES.replace("type: revenue}", "type: revenue, sync_to: house.balance}")
    books = AnnouncedLedger(rules(tmp_path, text))
    books.move("clearing", "fees", 9)
    assert balances_of(copied(books, books.records)) == {
        "house/clearing/usd.balance": 9,
        "house/fees/usd.balance": 9,
    }
