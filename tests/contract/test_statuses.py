"""Our numbers, flags and packed rows are the installed TigerBeetle client's, exactly.

A status that a new client adds fails here, so that nobody meets it first in production.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import Any

import pytest

from worker.core import wire
from worker.ledger.query_rows import (
    ACCOUNT_FILTER,
    BALANCE,
    QUERY_FILTER,
    pack_account_filter,
    pack_query_filter,
    unpack_balances,
)

bindings = pytest.importorskip(
    "tigerbeetle.bindings", reason="no TigerBeetle client: pip install ledger-worker[tigerbeetle]"
)
WIDE = (1 << 128) - 3
ACCOUNT = wire.Account(
    WIDE, 2, 3 << 64, 4, 5, WIDE - 1, (1 << 64) - 2, (1 << 32) - 3, 0, 7, 65534, 8 | 32, 9 << 40
)
TRANSFER = wire.Transfer(
    WIDE, 2, 3 << 64, 4, 5, WIDE - 1, (1 << 64) - 2, (1 << 32) - 3, 6, 7, 65534, 1 | 256, 9 << 40
)


@pytest.mark.parametrize(
    "name",
    ["CreateAccountStatus", "CreateTransferStatus", "AccountFlags", "TransferFlags"],
)
def test_every_status_and_flag_is_the_clients(name: str) -> None:
    """Names and numbers are the client's, none missing and none more."""
    ours: type[IntEnum] = getattr(wire, name)
    theirs: type[IntEnum] = getattr(bindings, name)
    assert {member: int(value) for member, value in ours.__members__.items()} == {
        member: int(value) for member, value in theirs.__members__.items()
    }


def _official(struct: Any, record: Any) -> bytes:
    """The record's bytes by the way the official client takes."""
    return bytes(struct.from_param(record))


def test_a_packed_account_is_the_official_one() -> None:
    """An account's row is what the official object path sends."""
    fields = ACCOUNT._asdict()
    del fields["reserved"]
    official = bindings.Account(**fields)
    assert wire.pack_account(ACCOUNT) == _official(bindings.CAccount, official)
    assert wire.unpack_accounts(_official(bindings.CAccount, official)) == [ACCOUNT]


def test_a_packed_transfer_is_the_official_one() -> None:
    """A transfer's row is what the official object path sends."""
    official = bindings.Transfer(**TRANSFER._asdict())
    assert wire.pack_transfer(TRANSFER) == _official(bindings.CTransfer, official)
    assert wire.unpack_transfers(_official(bindings.CTransfer, official)) == [TRANSFER]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_packed_query_filter_is_the_official_one(newest_first: bool) -> None:  # noqa: FBT001
    """A query filter's bytes are the official client's; its limit is clamped."""
    ours = wire.QueryFilter(WIDE, 2 << 60, 3 << 30, 4, 65534, 5, 6 << 50, 9000, newest_first)
    theirs = bindings.QueryFilter(
        user_data_128=WIDE,
        user_data_64=2 << 60,
        user_data_32=3 << 30,
        ledger=4,
        code=65534,
        timestamp_min=5,
        timestamp_max=6 << 50,
        limit=253,
        flags=bindings.QueryFilterFlags.REVERSED if newest_first else 0,
    )
    assert pack_query_filter(ours, limit_max=253) == _official(bindings.CQueryFilter, theirs)


@pytest.mark.parametrize(
    ("sides", "flags"),
    [
        ((True, True, False), "DEBITS CREDITS"),
        ((True, False, True), "DEBITS REVERSED"),
        ((False, True, False), "CREDITS"),
        ((False, False, False), ""),
    ],
)
def test_a_packed_account_filter_is_the_official_one(
    sides: tuple[bool, bool, bool], flags: str
) -> None:
    """An account filter's bytes are the official client's."""
    ours = wire.AccountFilter(WIDE, 2 << 120, 3 << 60, 4 << 29, 65534, 5, 6 << 50, 7, *sides)
    theirs = bindings.AccountFilter(
        account_id=WIDE,
        user_data_128=2 << 120,
        user_data_64=3 << 60,
        user_data_32=4 << 29,
        code=65534,
        timestamp_min=5,
        timestamp_max=6 << 50,
        limit=7,
        flags=sum(bindings.AccountFilterFlags[flag] for flag in flags.split()),
    )
    assert pack_account_filter(ours, limit_max=253) == _official(bindings.CAccountFilter, theirs)


def test_balances_and_results_are_read_as_the_client_does() -> None:
    """A balance and a create result are read from the official layouts."""
    official = bindings.AccountBalance(1, 2 << 64, 3, WIDE, 5)
    row = _official(bindings.CAccountBalance, official)
    assert unpack_balances(row * 2) == [wire.AccountBalance(1, 2 << 64, 3, WIDE, 5)] * 2
    result = bindings.CreateTransferResult(9 << 40, bindings.CreateTransferStatus.CREATED)
    packed = _official(bindings.CCreateTransferResult, result)
    assert wire.RESULT_ROW.unpack(packed) == (9 << 40, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (wire.TRANSFER_ROW, "CTransfer"),
        (wire.ACCOUNT_ROW, "CAccount"),
        (wire.RESULT_ROW, "CCreateTransferResult"),
        (wire.RESULT_ROW, "CCreateAccountResult"),
        (QUERY_FILTER, "CQueryFilter"),
        (ACCOUNT_FILTER, "CAccountFilter"),
        (BALANCE, "CAccountBalance"),
    ],
)
def test_every_record_has_the_clients_size(ours: Any, theirs: str) -> None:
    """A field that a new client adds shows in the size."""
    assert ours.size == ctypes.sizeof(getattr(bindings, theirs))
