"""Packed rows: what goes in comes out, at the offsets that TigerBeetle documents."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.core.wire import (
    ACCOUNT_ROW,
    ROW_BYTES,
    TRANSFER_ROW,
    Account,
    CreateAccountStatus,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
    pack_account,
    pack_transfer,
    unpack_accounts,
    unpack_transfers,
)
from worker.ledger.request_split import FLAGS_AT

u128 = st.integers(0, (1 << 128) - 1)
u64 = st.integers(0, (1 << 64) - 1)
u32 = st.integers(0, (1 << 32) - 1)
u16 = st.integers(0, (1 << 16) - 1)
# A busy machine is no failure: neither a slow example nor slow generation counts.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIELDS = (*[u128] * 6, u64, u32, u32, u32, u16, u16, u64)


@unhurried
@given(st.lists(st.builds(Transfer, *FIELDS), max_size=3))
def test_transfers_come_out_as_they_went_in(transfers: list[Transfer]) -> None:
    """Unpacking packed transfers gives the same transfers, in order."""
    assert unpack_transfers(b"".join(map(pack_transfer, transfers))) == transfers


@unhurried
@given(st.lists(st.builds(Account, *FIELDS), max_size=3))
def test_accounts_come_out_as_they_went_in(accounts: list[Account]) -> None:
    """Unpacking packed accounts gives the same accounts, in order."""
    assert unpack_accounts(b"".join(map(pack_account, accounts))) == accounts


def test_rows_have_the_documented_layout() -> None:
    """128 bytes; the id comes first, low byte first; flags and timestamp come last."""
    row = pack_transfer(Transfer(id=0x0102, flags=TransferFlags.IMPORTED, timestamp=3))
    assert ACCOUNT_ROW.size == TRANSFER_ROW.size == ROW_BYTES == len(row)
    assert row[:3] == bytes([2, 1, 0])
    assert row[FLAGS_AT : FLAGS_AT + 2] == bytes([0, 1])
    assert row[120:] == bytes([3, 0, 0, 0, 0, 0, 0, 0])


def test_both_kinds_share_the_statuses_of_a_chain() -> None:
    """The engine tells of chains in one way for accounts and transfers."""
    shared = ("CREATED", "LINKED_EVENT_FAILED", "LINKED_EVENT_CHAIN_OPEN", "TIMESTAMP_MUST_BE_ZERO")
    for name in shared:
        assert CreateAccountStatus[name] == int(CreateTransferStatus[name])
