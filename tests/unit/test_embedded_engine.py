"""The embedded ledger by itself: its clock, expiry by time, and what a chain leaves behind."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.core.errors import BrokenInvariant, LedgerClosed
from worker.core.wire import (
    AMOUNT_MAX,
    Account,
    AccountFilter,
    AccountFlags,
    CreateTransferStatus,
    QueryFilter,
    Transfer,
    TransferFlags,
    pack_account,
    pack_transfer,
)
from worker.ledger.embedded import EmbeddedLedger

T = TransferFlags
SECOND = 1_000_000_000


class EngineClock:
    """A clock that a test sets, in nanoseconds."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def two_accounts(clock: EngineClock, flags: int = 0) -> EmbeddedLedger:
    """A ledger with the accounts 1 and 2."""
    ledger = EmbeddedLedger(now_ns=clock)
    rows = (Account(id=n, ledger=1, code=1, flags=flags) for n in (1, 2))
    ledger.create_accounts(b"".join(map(pack_account, rows)))
    return ledger


def post(ledger: EmbeddedLedger, *transfers: Transfer) -> list[tuple[int, str]]:
    """Timestamp and status of each."""
    results = ledger.create_transfers(b"".join(map(pack_transfer, transfers)))
    return [(timestamp, CreateTransferStatus(status).name) for timestamp, status in results]


def move(transfer_id: int, amount: int = 1, flags: int = 0, timeout: int = 0) -> Transfer:
    """A transfer from account 1 to 2."""
    return Transfer(transfer_id, 1, 2, amount, ledger=1, code=1, flags=flags, timeout=timeout)


@pytest.mark.parametrize(
    ("clock", "times"),
    [
        (1000, [1001, 1002, 1003]),
        (5, [1001, 1002, 1003]),
        (2000, [2001, 2002, 2003]),
    ],
)
def test_time_never_goes_back(clock: int, times: list[int]) -> None:
    """A request's events get consecutive times after the clock and after every earlier one."""
    now = EngineClock(998)
    ledger = two_accounts(now)
    now.now = clock
    posted = post(ledger, move(1), move(2), move(3))
    assert posted == [(time, "CREATED") for time in times]


@pytest.mark.parametrize(
    ("after_ns", "status"),
    [
        (SECOND - 3, "CREATED"),
        (SECOND - 1, "PENDING_TRANSFER_EXPIRED"),
        (SECOND, "PENDING_TRANSFER_EXPIRED"),
        (9 * SECOND, "PENDING_TRANSFER_EXPIRED"),
    ],
)
def test_a_pending_expires_by_the_event_s_own_time(after_ns: int, status: str) -> None:
    """A post whose time is at or after the expiry is refused, even before any sweep."""
    clock = EngineClock(SECOND)
    ledger = two_accounts(clock)
    [(pending_at, _)] = post(ledger, move(1, 5, T.PENDING, timeout=1))
    clock.now = pending_at + after_ns
    settle = Transfer(2, amount=AMOUNT_MAX, pending_id=1, flags=T.POST_PENDING_TRANSFER)
    assert [found for _, found in post(ledger, settle)] == [status]


def test_expired_money_is_free_before_the_next_request() -> None:
    """A read or a post after the timeout finds the money released, in whatever order they end."""
    clock = EngineClock(SECOND)
    ledger = two_accounts(clock)
    post(
        ledger,
        move(1, 5, T.PENDING, timeout=3),
        move(2, 7, T.PENDING, timeout=1),
        move(3, 9, T.PENDING | T.CLOSING_DEBIT, timeout=2),
    )
    pending = []
    for seconds in range(4):
        clock.now = (1 + seconds) * SECOND + 100
        [account] = ledger.lookup_accounts([1])
        pending.append((account.debits_pending, account.flags))
    closed = int(AccountFlags.CLOSED)
    assert pending == [(21, closed), (14, closed), (5, 0), (0, 0)]


def test_a_pending_taken_back_does_not_expire_another() -> None:
    """A rolled-back pending's id, used again with a longer timeout, keeps the longer one."""
    clock = EngineClock(SECOND)
    ledger = two_accounts(clock)
    broken = move(2)._replace(code=0)
    post(ledger, move(1, 5, T.PENDING | T.LINKED, timeout=1), broken)
    post(ledger, move(1, 5, T.PENDING, timeout=5))
    clock.now += 3 * SECOND
    assert ledger.lookup_accounts([1])[0].debits_pending == 5


def test_a_timeout_may_not_pass_the_end_of_time() -> None:
    """A pending that would expire after 2^63 nanoseconds is refused, after the sums."""
    clock = EngineClock((1 << 63) - 10 * SECOND)
    ledger = two_accounts(clock)
    posted = post(
        ledger,
        move(1, 1, T.PENDING, timeout=9),
        move(2, 1, T.PENDING, timeout=11),
        move(3, AMOUNT_MAX, T.PENDING, timeout=11),
    )
    assert [status for _, status in posted] == [
        "CREATED",
        "OVERFLOWS_TIMEOUT",
        "OVERFLOWS_DEBITS_PENDING",
    ]


def test_what_would_stop_a_server_is_refused() -> None:
    """An imported post of a pending with a timeout trips an assertion in TigerBeetle 0.17.9."""
    clock = EngineClock(SECOND)
    ledger = two_accounts(clock)
    [(pending_at, _)] = post(ledger, move(1, 5, T.PENDING, timeout=60))
    clock.now += SECOND
    settle = Transfer(2, amount=5, pending_id=1, flags=T.POST_PENDING_TRANSFER | T.IMPORTED)
    with pytest.raises(BrokenInvariant, match="would stop a TigerBeetle"):
        post(ledger, settle._replace(timestamp=pending_at + 1))
    assert ledger.lookup_transfers([2]) == []
    post(ledger, move(3, 5, T.PENDING))
    third = settle._replace(pending_id=3, timestamp=ledger.lookup_transfers([3])[0].timestamp + 1)
    clock.now += SECOND
    assert [status for _, status in post(ledger, third)] == ["CREATED"]


def test_a_closed_ledger_answers_nothing() -> None:
    """After `close` every call fails."""
    ledger = two_accounts(EngineClock(1))
    ledger.close()
    with pytest.raises(LedgerClosed):
        ledger.lookup_accounts([1])
    with pytest.raises(LedgerClosed):
        ledger.create_transfers(pack_transfer(move(1)))


@st.composite
def moves(draw: st.DrawFn) -> Transfer:
    """A transfer among three accounts, mostly well formed."""
    return Transfer(
        id=draw(st.integers(1, 12)),
        debit_account_id=draw(st.integers(0, 3)),
        credit_account_id=draw(st.integers(0, 3)),
        amount=draw(st.sampled_from([0, 1, 3, 1 << 127, AMOUNT_MAX])),
        pending_id=draw(st.sampled_from([0, 0, 1, 2, 3])),
        ledger=1,
        code=1,
        timeout=draw(st.sampled_from([0, 0, 1])),
        flags=draw(st.sampled_from([0, 0, 1, 1, 2, 4, 8, 16, 32, 66, 130])),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(moves(), min_size=1, max_size=6), max_size=6), st.integers(0, 31))
def test_debits_equal_credits_and_limits_hold(batches: list[list[Transfer]], kind: int) -> None:
    """Whatever is sent: debits equal credits, both explained by transfers, and limits hold."""
    ticks = count(SECOND, SECOND // 3)
    ledger = EmbeddedLedger(now_ns=lambda: next(ticks))
    kinds = [kind & 2, kind & 4, 8]
    rows = (Account(id=n + 1, ledger=1, code=1, flags=kinds[n]) for n in range(3))
    ledger.create_accounts(b"".join(map(pack_account, rows)))
    for batch in batches:
        post(ledger, *batch)
    accounts = ledger.query_accounts(QueryFilter())
    assert len(accounts) == 3
    assert sum(a.debits_posted - a.credits_posted for a in accounts) == 0
    assert sum(a.debits_pending - a.credits_pending for a in accounts) == 0
    for account in accounts:
        made = ledger.account_transfers(AccountFilter(account.id))
        posted = [t for t in made if not t.flags & (T.PENDING | T.VOID_PENDING_TRANSFER)]
        debits = sum(t.amount for t in posted if t.debit_account_id == account.id)
        assert (account.debits_posted, account.debits_pending >= 0) == (debits, True)
        if account.flags & AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS:
            assert account.debits_posted + account.debits_pending <= account.credits_posted
