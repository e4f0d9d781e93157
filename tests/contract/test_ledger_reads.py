"""What every ledger behind the port tells: lookups, queries and balances; and how it cuts requests.

Queries filter on a ledger number of the test's own, because tests share a real server.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.world import LedgerSentences
from worker.core.errors import BrokenInvariant
from worker.core.ports import Ledger
from worker.core.wire import (
    AMOUNT_MAX,
    AccountBalance,
    AccountFilter,
    AccountFlags,
    QueryFilter,
    Transfer,
    TransferFlags,
    pack_transfer,
)

T = TransferFlags
SMALL = 253
"""Rows a request on a `--development` server."""


def test_lookups_keep_the_order_asked(world: LedgerSentences) -> None:
    """A lookup answers in the order of the ids, twice if asked twice, without what is missing."""
    one, two = world.account(), world.account()
    found = world.ledger.lookup_accounts([two, world.new_id(), one, 0, two, AMOUNT_MAX])
    assert [account.id for account in found] == [two, one, two]
    first, second = world.move(one, two, 1), world.move(one, two, 2)
    world.post(first, second)
    found_transfers = world.ledger.lookup_transfers([second.id, 0, first.id, world.new_id()])
    assert [transfer.id for transfer in found_transfers] == [second.id, first.id]
    assert world.ledger.lookup_accounts([]) == []


def test_failed_transfers_are_not_found(world: LedgerSentences) -> None:
    """A burned id is no transfer."""
    sent = world.move(world.account(), 1, 1)
    assert world.post(sent) == ["CREDIT_ACCOUNT_NOT_FOUND"]
    assert world.ledger.lookup_transfers([sent.id]) == []


def _five(world: LedgerSentences) -> tuple[int, list[Transfer]]:
    """An account and its transfers as held: debits and credits by turns."""
    account, other = world.account(AccountFlags.HISTORY), world.account()
    sent = [
        world.move(
            *((account, other) if n % 2 == 0 else (other, account)),
            n + 1,
            user_data_128=world.tag + n // 2,
            user_data_64=n % 3,
            user_data_32=n,
            code=1 + n // 3,
        )
        for n in range(5)
    ]
    assert world.post(*sent) == ["CREATED"] * 5
    return account, world.ledger.lookup_transfers([transfer.id for transfer in sent])


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"reversed": True}, [4, 3, 2, 1, 0]),
        ({"limit": 2}, [0, 1]),
        ({"limit": 2, "reversed": True}, [4, 3]),
        ({"user_data_64": 1}, [1, 4]),
        ({"user_data_32": 3}, [3]),
        ({"code": 2}, [3, 4]),
        ({"code": 2, "user_data_64": 1}, [4]),
        ({"code": 3}, []),
        ({"limit": 0}, []),
        ({"timestamp_min": 1 << 63}, []),
        ({"timestamp_max": 1 << 63}, []),
        ({"timestamp_min": 9, "timestamp_max": 8}, []),
    ],
)
def test_transfers_are_queried(
    world: LedgerSentences, changes: dict[str, Any], numbers: list[int]
) -> None:
    """Zero means no filter, filters are joined by and, an invalid one answers nothing."""
    _, held = _five(world)
    query = QueryFilter(ledger=world.number)._replace(**changes)
    assert world.ledger.query_transfers(query) == [held[n] for n in numbers]


def test_queries_find_by_tag_and_time(world: LedgerSentences) -> None:
    """User data of 128 bits finds a chain's legs; both ends of a time range are included."""
    account, held = _five(world)
    ledger = world.ledger
    assert ledger.query_transfers(QueryFilter(user_data_128=world.tag + 1)) == held[2:4]
    low, high = held[1].timestamp, held[3].timestamp
    times = QueryFilter(ledger=world.number, timestamp_min=low, timestamp_max=high)
    assert ledger.query_transfers(times) == held[1:4]
    assert ledger.query_transfers(times._replace(user_data_128=world.tag + 1)) == held[2:4]
    assert ledger.account_transfers(
        AccountFilter(account, timestamp_min=low, timestamp_max=high, credits=False)
    ) == [held[2]]


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"credits": False}, [0, 2, 4]),
        ({"debits": False}, [1, 3]),
        ({"debits": False, "credits": False}, []),
        ({"reversed": True, "limit": 3}, [4, 3, 2]),
        ({"user_data_64": 1}, [1, 4]),
        ({"user_data_32": 3, "debits": False}, [3]),
        ({"code": 2}, [3, 4]),
        ({"limit": 0}, []),
        ({"account_id": 0}, []),
        ({"account_id": AMOUNT_MAX}, []),
        ({"account_id": 1}, []),
    ],
)
def test_an_accounts_transfers_and_balances(
    world: LedgerSentences, changes: dict[str, Any], numbers: list[int]
) -> None:
    """One account's transfers by side, and with `history` its balances after each of them."""
    account, held = _five(world)
    query = AccountFilter(account)._replace(**changes)
    assert world.ledger.account_transfers(query) == [held[n] for n in numbers]
    after = [(1, 0), (1, 2), (4, 2), (4, 6), (9, 6)]
    assert world.ledger.account_balances(query) == [
        AccountBalance(0, after[n][0], 0, after[n][1], held[n].timestamp) for n in numbers
    ]


def test_no_balances_without_history(world: LedgerSentences) -> None:
    """An account without the flag `history` has no balances to tell."""
    plain = world.account()
    world.post(world.move(plain, world.account(), 1))
    assert world.ledger.account_balances(AccountFilter(plain)) == []
    assert world.ledger.account_balances(AccountFilter(world.new_id())) == []


def test_balances_follow_pendings(world: LedgerSentences) -> None:
    """A pending, its post, and a transfer of nothing each make one balance."""
    account = world.account(AccountFlags.HISTORY)
    pending = world.move(account, world.account(), 9, T.PENDING)
    post = world.settle(T.POST_PENDING_TRANSFER, pending, 4)
    nothing = world.move(account, world.account(), 0)
    assert world.post(pending, post, nothing) == ["CREATED"] * 3
    balances = world.ledger.account_balances(AccountFilter(account))
    assert [balance[:2] for balance in balances] == [(9, 0), (0, 4), (0, 4)]


def test_a_rolled_back_transfer_makes_no_balance(world: LedgerSentences) -> None:
    """What a broken chain takes back is in no query."""
    account = world.account(AccountFlags.HISTORY)
    legs = world.chain(
        world.move(account, world.account(), 1), world.move(account, world.account(), 1, code=0)
    )
    world.post(*legs)
    assert world.ledger.account_balances(AccountFilter(account)) == []
    assert world.ledger.account_transfers(AccountFilter(account)) == []
    assert world.ledger.query_transfers(QueryFilter(ledger=world.number)) == []


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({}, [0, 1, 2, 3]),
        ({"reversed": True, "limit": 3}, [3, 2, 1]),
        ({"code": 2}, [1, 3]),
        ({"user_data_64": 7}, [2, 3]),
        ({"user_data_64": 7, "code": 2}, [3]),
        ({"user_data_32": 5}, []),
        ({"limit": 0}, []),
    ],
)
def test_accounts_are_queried(
    world: LedgerSentences, changes: dict[str, Any], numbers: list[int]
) -> None:
    """Accounts are found by the same filters, in the order they were made."""
    made = [world.account(code=1 + n % 2, user_data_64=7 * (n // 2)) for n in range(4)]
    query = QueryFilter(ledger=world.number)._replace(**changes)
    found = world.ledger.query_accounts(query)
    assert [account.id for account in found] == [made[n] for n in numbers]


def test_batch_max_is_known(ledger: Ledger, small_ledger: Ledger) -> None:
    """A ledger tells how many rows one request takes."""
    assert (ledger.batch_max, small_ledger.batch_max) == (8189, SMALL)


def test_the_time_is_told_and_nothing_made(world: LedgerSentences) -> None:
    """It lies between two transfers of that moment, and asking leaves nothing behind."""
    debit, credit = world.account(), world.account()
    everybody = QueryFilter(limit=8189)
    accounts = [one.id for one in world.ledger.query_accounts(everybody)]
    (before,) = world.send(world.move(debit, credit, 1))
    told = world.ledger.time_ns
    (after,) = world.send(world.move(debit, credit, 1))
    assert before.timestamp < told < after.timestamp
    assert [one.id for one in world.ledger.query_accounts(everybody)] == accounts


def test_accounts_are_found_with_the_time_of_the_reading(world: LedgerSentences) -> None:
    """After every transfer in the balances, before the next; ids in order."""
    debit, credit = world.account(), world.account()
    for count in range(1, 4):
        (before,) = world.send(world.move(debit, credit, 5))
        now = world.ledger.accounts_now([credit, 999_999_999, debit])
        (after,) = world.send(world.move(debit, credit, 5))
        assert before.timestamp <= now.time_ns < after.timestamp
        assert [each.id for each in now.accounts] == [credit, debit]
        assert now.accounts[0].credits_posted == 10 * count - 5
    assert world.ledger.accounts_now([]).accounts == []


def test_more_rows_than_one_request_takes(small_ledger: Ledger) -> None:
    """Many rows go in several requests, cut between chains, with one result for each."""
    world = LedgerSentences(small_ledger)
    debit, credit = world.account(), world.account()
    chains = [world.chain(*(world.move(debit, credit, 1) for _ in range(3))) for _ in range(200)]
    rows = [leg for chain in chains for leg in chain]
    results = world.send(*rows)
    assert [result.status for result in results] == [0xFFFFFFFF] * 600
    times = [result.timestamp for result in results]
    assert times == sorted(times)
    # A chain that was cut would have failed as open; each has consecutive times.
    assert all(times[n + 2] - times[n] == 2 for n in range(0, 600, 3))
    ids = [row.id for row in rows]
    assert [row.id for row in small_ledger.lookup_transfers(ids)] == ids
    query = QueryFilter(ledger=world.number)
    assert len(small_ledger.query_transfers(query)) == SMALL


def test_a_chain_as_long_as_a_request(small_ledger: Ledger) -> None:
    """The longest chain fills one request; a longer one is the caller's mistake."""
    world = LedgerSentences(small_ledger)
    debit, credit = world.account(), world.account()
    longest = world.chain(*(world.move(debit, credit, 1) for _ in range(SMALL)))
    alone = world.move(debit, credit, 1)
    assert world.post(alone, *longest) == ["CREATED"] * (SMALL + 1)
    longer = world.chain(*(world.move(debit, credit, 1) for _ in range(SMALL + 1)))
    with pytest.raises(BrokenInvariant, match="more legs than one request takes"):
        world.send(*longer)
    assert small_ledger.lookup_transfers([longer[0].id]) == []


def test_bytes_that_are_no_rows(ledger: Ledger) -> None:
    """Half a row is the caller's mistake."""
    with pytest.raises(BrokenInvariant, match="not a whole number of 128-byte rows"):
        ledger.create_transfers(pack_transfer(Transfer())[:64])


def test_waiting_is_over_when_answered(world: LedgerSentences) -> None:
    """With no request under way nothing is waited for."""
    world.account()
    assert world.ledger.waiting_seconds == 0.0
