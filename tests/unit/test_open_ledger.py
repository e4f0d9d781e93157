"""Opening a ledger by its configured address, and cutting rows into requests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.core.errors import BrokenInvariant, UsageError
from worker.core.ports import Ledger
from worker.core.wire import Account, Transfer, pack_account, pack_transfer
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.open import open_ledger, resolve
from worker.ledger.request_split import request_parts, whole_chains


def opened(addresses: str) -> Ledger:
    """The ledger at these addresses."""
    return open_ledger(addresses=addresses, cluster_id=0, deadline_seconds=1, now_ns=lambda: 1_000)


def test_embedded_in_memory() -> None:
    """`embedded` is a new, empty ledger each time, on the given clock."""
    ledger = opened("embedded")
    assert isinstance(ledger, EmbeddedLedger)
    [result] = ledger.create_accounts(pack_account(Account(id=1, ledger=1, code=1)))
    assert result == (1_001, 0xFFFFFFFF)
    assert opened("embedded").lookup_accounts([1]) == []


def test_embedded_in_a_file(tmp_path: Path) -> None:
    """`embedded:FILE` is there again when opened again."""
    address = f"embedded:{tmp_path / 'the books'}"
    ledger = opened(address)
    ledger.create_accounts(pack_account(Account(id=1, ledger=1, code=1)))
    ledger.close()
    again = opened(address)
    assert [account.id for account in again.lookup_accounts([1])] == [1]
    again.close()


@pytest.mark.parametrize(
    ("address", "resolved"),
    [
        ("127.0.0.1:3000", "127.0.0.1:3000"),
        (" 10.1.2.3:3001 ", "10.1.2.3:3001"),
        ("localhost:3000", "127.0.0.1:3000"),
        ("3000", "127.0.0.1:3000"),
        ("[::1]:3000", "[::1]:3000"),
    ],
)
def test_addresses_are_resolved(address: str, resolved: str) -> None:
    """The client gets IPs and ports only."""
    assert resolve(address) == resolved


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "is not host:port"),
        ("localhost", "is not host:port"),
        ("localhost:", "is not host:port"),
        ("localhost:0", "is not host:port"),
        ("localhost:65536", "is not host:port"),
        ("localhost:²", "is not host:port"),
        ("127.0.0.1:3000,", "is not host:port"),
        ("nowhere.invalid:3000", "'nowhere.invalid' does not resolve"),
        ("a..b:3000", "'a..b' does not resolve"),
    ],
)
def test_wrong_addresses_are_told(address: str, message: str) -> None:
    """A wrong address is bad usage, in one sentence that quotes it."""
    with pytest.raises(UsageError, match=message):
        opened(address)


def test_the_client_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "tigerbeetle", None)
    monkeypatch.delitem(sys.modules, "worker.ledger.tigerbeetle", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'ledger-worker\[tigerbeetle\]'"):
        opened("127.0.0.1:3000")


def test_the_embedded_ledger_needs_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is imported only for a TigerBeetle ledger."""
    monkeypatch.setitem(sys.modules, "tigerbeetle", None)
    assert opened("embedded").batch_max == 8189


def rows_of(lengths: list[int]) -> bytes:
    """Chains of these lengths, one after the other."""
    return b"".join(
        pack_transfer(Transfer(flags=leg < length - 1))
        for length in lengths
        for leg in range(length)
    )


@pytest.mark.parametrize(
    ("lengths", "batch_max", "requests"),
    [
        ([], 4, []),
        ([4], 4, [4]),
        ([1, 1, 1, 1, 1], 4, [4, 1]),
        ([2, 2, 1], 4, [4, 1]),
        ([3, 2, 2], 4, [3, 4]),
        ([1, 4, 1], 4, [1, 4, 1]),
        ([3, 3, 3], 4, [3, 3, 3]),
    ],
)
def test_rows_are_cut_between_chains(
    lengths: list[int], batch_max: int, requests: list[int]
) -> None:
    """Each request is as full as whole chains allow."""
    found = whole_chains(rows_of(lengths), batch_max)
    assert [len(request) // 128 for request in found] == requests


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 5), max_size=20), st.integers(5, 9))
def test_no_row_is_lost(lengths: list[int], batch_max: int) -> None:
    """The requests together are the rows; none is too long or ends inside a chain."""
    rows = rows_of(lengths)
    requests = whole_chains(rows, batch_max)
    assert b"".join(requests) == rows
    assert all(0 < len(request) <= batch_max * 128 for request in requests)
    assert not any(request[-10] & 1 for request in requests)


@pytest.mark.parametrize("lengths", [[5], [1, 5], [5, 1], [4, 4, 5, 4]])
def test_a_chain_longer_than_a_request(lengths: list[int]) -> None:
    """A chain that no request takes is a broken invariant, before anything is sent."""
    with pytest.raises(BrokenInvariant, match="more legs than one request takes"):
        whole_chains(rows_of(lengths), 4)


def test_ids_are_cut_in_order() -> None:
    """Many ids go in parts of at most the limit."""
    assert [list(part) for part in request_parts(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
