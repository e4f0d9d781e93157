"""Lookups and queries. Zero means no filter, times are inclusive, a wrong filter finds nothing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from worker.core.wire import Account, AccountBalance, AccountFilter, QueryFilter, Transfer
from worker.ledger.engine.state import LedgerState

ID_MAX: Final = (1 << 128) - 1
TIMESTAMP_MAX: Final = (1 << 63) - 1

Item = TypeVar("Item")
Filter = QueryFilter | AccountFilter


def lookup(stored: dict[int, Item], ids: Iterable[int]) -> list[Item]:
    """Those that exist, in the order of the ids."""
    return [stored[number] for number in ids if number in stored]


def query_accounts(books: LedgerState, query: QueryFilter, *, at_most: int) -> list[Account]:
    """Accounts that match, in timestamp order."""
    if not _valid(query):
        return []
    chosen = _window(books.account_ids, books.account_times.__getitem__, query)
    accounts = (books.accounts[account_id] for account_id in chosen)
    return _matching(accounts, lambda account: _query_matches(account, query), query, at_most)


def query_transfers(books: LedgerState, query: QueryFilter, *, at_most: int) -> list[Transfer]:
    """Transfers that match, in timestamp order; `user_data_128` is an index."""
    if not _valid(query):
        return []
    tag = query.user_data_128
    found: Sequence[Transfer] = books.by_tag.get(tag, []) if tag else books.by_time
    chosen = _window(found, lambda index: found[index].timestamp, query)
    return _matching(chosen, lambda transfer: _query_matches(transfer, query), query, at_most)


def account_transfers(books: LedgerState, query: AccountFilter, *, at_most: int) -> list[Transfer]:
    """One account's transfers that match, in timestamp order."""
    if not _valid_account(query):
        return []
    found = books.by_account.get(query.account_id, [])
    chosen = _window(found, lambda index: found[index].timestamp, query)
    return _matching(chosen, lambda transfer: _account_matches(transfer, query), query, at_most)


def account_balances(
    books: LedgerState, query: AccountFilter, *, at_most: int
) -> list[AccountBalance]:
    """One account's balances after each transfer that matches; only with the flag `history`."""
    if not _valid_account(query):
        return []
    found = books.balances.get(query.account_id, [])
    chosen = _window(found, lambda index: found[index][0].timestamp, query)
    matching = _matching(chosen, lambda pair: _account_matches(pair[0], query), query, at_most)
    return [balance for _, balance in matching]


def _valid(query: Filter) -> bool:
    low, high = query.timestamp_min, query.timestamp_max
    return query.limit > 0 and max(low, high) <= TIMESTAMP_MAX and (high == 0 or low <= high)


def _valid_account(query: AccountFilter) -> bool:
    return _valid(query) and query.account_id not in (0, ID_MAX) and (query.debits or query.credits)


def _window(
    found: Sequence[Item], timestamp: Callable[[int], int], query: Filter
) -> Iterator[Item]:
    """What lies in the time bounds, newest first if reversed."""
    indexes = range(len(found))
    start = bisect_left(indexes, query.timestamp_min, key=timestamp)
    end = bisect_right(indexes, query.timestamp_max or TIMESTAMP_MAX, key=timestamp)
    chosen = range(start, end)
    return (found[index] for index in (reversed(chosen) if query.reversed else chosen))


def _matching(
    chosen: Iterable[Item], matches: Callable[[Item], bool], query: Filter, at_most: int
) -> list[Item]:
    return list(islice(filter(matches, chosen), min(query.limit, at_most)))


def _query_matches(row: Account | Transfer, query: QueryFilter) -> bool:
    return _user_data_matches(row, query) and query.ledger in (0, row.ledger)


def _account_matches(transfer: Transfer, query: AccountFilter) -> bool:
    side = query.debits if transfer.debit_account_id == query.account_id else query.credits
    return side and _user_data_matches(transfer, query)


def _user_data_matches(row: Account | Transfer, query: Filter) -> bool:
    return (
        query.user_data_128 in (0, row.user_data_128)
        and query.user_data_64 in (0, row.user_data_64)
        and query.user_data_32 in (0, row.user_data_32)
        and query.code in (0, row.code)
    )
