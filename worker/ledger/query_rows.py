"""The filters of queries as TigerBeetle's packed records, byte for byte the official client's.

Source: TigerBeetle 0.17.9's Python bindings.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from worker.core.wire import AccountBalance, AccountFilter, QueryFilter

QUERY_FILTER: Final = Struct("<16sQIIH6xQQII")
"""user_data_128, _64, _32, ledger, code, timestamp_min, timestamp_max, limit, flags."""

ACCOUNT_FILTER: Final = Struct("<16s16sQIH58xQQII")
"""account_id, user_data_128, _64, _32, code, timestamp_min, timestamp_max, limit, flags."""

BALANCE: Final = Struct("<16s16s16s16sQ56x")
"""debits_pending, debits_posted, credits_pending, credits_posted, timestamp."""

QUERY_REVERSED: Final = 1
ACCOUNT_DEBITS: Final = 1
ACCOUNT_CREDITS: Final = 2
ACCOUNT_REVERSED: Final = 4


def pack_query_filter(query: QueryFilter, *, limit_max: int) -> bytes:
    """The 64-byte filter; the server refuses a limit above what a reply holds."""
    return QUERY_FILTER.pack(
        query.user_data_128.to_bytes(16, "little"),
        query.user_data_64,
        query.user_data_32,
        query.ledger,
        query.code,
        query.timestamp_min,
        query.timestamp_max,
        min(query.limit, limit_max),
        QUERY_REVERSED * query.reversed,
    )


def pack_account_filter(query: AccountFilter, *, limit_max: int) -> bytes:
    """The 128-byte filter; the server refuses a limit above what a reply holds."""
    return ACCOUNT_FILTER.pack(
        query.account_id.to_bytes(16, "little"),
        query.user_data_128.to_bytes(16, "little"),
        query.user_data_64,
        query.user_data_32,
        query.code,
        query.timestamp_min,
        query.timestamp_max,
        min(query.limit, limit_max),
        ACCOUNT_DEBITS * query.debits
        + ACCOUNT_CREDITS * query.credits
        + ACCOUNT_REVERSED * query.reversed,
    )


def unpack_balances(rows: bytes) -> list[AccountBalance]:
    """The balances in n × 128 bytes."""
    return [
        AccountBalance(
            int.from_bytes(debits_pending, "little"),
            int.from_bytes(debits_posted, "little"),
            int.from_bytes(credits_pending, "little"),
            int.from_bytes(credits_posted, "little"),
            timestamp,
        )
        for debits_pending, debits_posted, credits_pending, credits_posted, timestamp in (
            BALANCE.iter_unpack(rows)
        )
    ]
