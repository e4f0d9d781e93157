"""What every ledger behind the port does with money that is reserved: post, void, expire."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.contract.world import LedgerSentences
from worker.core.wire import AMOUNT_MAX, TransferFlags

T = TransferFlags
POST, VOID = T.POST_PENDING_TRANSFER, T.VOID_PENDING_TRANSFER
SWEEP_SECONDS = 5.0
"""The longest that a sweep is waited for; a real server does it about every 100 ms."""


def test_a_pending_transfer_reserves(world: LedgerSentences) -> None:
    """A pending transfer adds to what is pending on both sides, and posts nothing."""
    debit, credit = world.account(), world.account()
    assert world.post(world.move(debit, credit, 9, T.PENDING)) == ["CREATED"]
    assert world.balances(debit) == (9, 0, 0, 0)
    assert world.balances(credit) == (0, 0, 9, 0)


@pytest.mark.parametrize(
    ("flags", "amount", "status", "debits"),
    [
        (POST, AMOUNT_MAX, "CREATED", (0, 9)),
        (POST, 9, "CREATED", (0, 9)),
        (POST, 4, "CREATED", (0, 4)),
        (POST, 0, "CREATED", (0, 0)),
        (POST, 10, "EXCEEDS_PENDING_TRANSFER_AMOUNT", (9, 0)),
        (VOID, 0, "CREATED", (0, 0)),
        (VOID, 9, "CREATED", (0, 0)),
        (VOID, 4, "PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT", (9, 0)),
        (VOID, AMOUNT_MAX, "EXCEEDS_PENDING_TRANSFER_AMOUNT", (9, 0)),
    ],
)
def test_posts_and_voids_release_all_that_was_reserved(
    world: LedgerSentences, flags: int, amount: int, status: str, debits: tuple[int, int]
) -> None:
    """A post moves its amount, the rest is free again; a void moves nothing."""
    debit = world.account()
    pending = world.move(debit, world.account(), 9, T.PENDING)
    assert world.post(pending) == ["CREATED"]
    assert world.post(world.settle(flags, pending, amount)) == [status]
    assert world.balances(debit) == (*debits, 0, 0)


def test_a_post_is_held_with_what_it_left_out(world: LedgerSentences) -> None:
    """A post or void takes accounts, ledger, code and absent user data from its pending."""
    pending = world.move(world.account(), world.account(), 9, T.PENDING)
    pending = pending._replace(user_data_128=1, user_data_64=2, user_data_32=3)
    post = world.settle(POST, pending, AMOUNT_MAX, user_data_64=7)
    assert world.post(pending, post) == ["CREATED", "CREATED"]
    [held] = world.ledger.lookup_transfers([post.id])
    assert held == pending._replace(
        id=post.id, pending_id=pending.id, flags=POST, user_data_64=7, timestamp=held.timestamp
    )


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (POST, POST, "PENDING_TRANSFER_ALREADY_POSTED"),
        (POST, VOID, "PENDING_TRANSFER_ALREADY_POSTED"),
        (VOID, POST, "PENDING_TRANSFER_ALREADY_VOIDED"),
        (VOID, VOID, "PENDING_TRANSFER_ALREADY_VOIDED"),
    ],
)
def test_a_pending_is_settled_once(
    world: LedgerSentences, first: int, second: int, status: str
) -> None:
    """Another post or void under a new id is refused; under the same id it exists."""
    pending = world.move(world.account(), world.account(), 9, T.PENDING)
    settled = world.settle(first, pending, 9)
    assert world.post(pending, settled, settled) == ["CREATED", "CREATED", "EXISTS"]
    assert world.post(world.settle(second, pending, 9)) == [status]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"debit_account_id": 9, "ledger": 9}, "PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID"),
        ({"credit_account_id": 9, "code": 9}, "PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID"),
        ({"ledger": 9, "code": 9}, "PENDING_TRANSFER_HAS_DIFFERENT_LEDGER"),
        ({"code": 9, "amount": 10}, "PENDING_TRANSFER_HAS_DIFFERENT_CODE"),
        ({"amount": 10}, "EXCEEDS_PENDING_TRANSFER_AMOUNT"),
        ({"code": 1}, "CREATED"),
    ],
)
def test_what_a_post_says_must_agree_with_its_pending(
    world: LedgerSentences, changes: dict[str, Any], status: str
) -> None:
    """Accounts, ledger and code may be left out of a post, but not differ."""
    pending = world.move(world.account(), world.account(), 9, T.PENDING)
    assert world.post(pending) == ["CREATED"]
    assert world.post(world.settle(POST, pending, 9)._replace(**changes)) == [status]


@pytest.mark.parametrize(
    ("flags", "sent", "again", "status"),
    [
        (POST, {"amount": 9}, {"amount": AMOUNT_MAX}, "EXISTS"),
        (POST, {"amount": AMOUNT_MAX}, {"amount": 9}, "EXISTS"),
        (POST, {"amount": 4}, {"amount": AMOUNT_MAX}, "EXISTS_WITH_DIFFERENT_AMOUNT"),
        (POST, {"amount": 4}, {"amount": 9}, "EXISTS_WITH_DIFFERENT_AMOUNT"),
        (VOID, {"amount": 0}, {"amount": 9}, "EXISTS"),
        (VOID, {"amount": 9}, {"amount": 0}, "EXISTS"),
        (VOID, {"amount": 9}, {"amount": 4}, "EXISTS_WITH_DIFFERENT_AMOUNT"),
        (VOID, {}, {"debit_account_id": 5}, "EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID"),
        (VOID, {}, {"credit_account_id": 5}, "EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID"),
        (VOID, {}, {"pending_id": 5}, "EXISTS_WITH_DIFFERENT_PENDING_ID"),
        (VOID, {}, {"user_data_128": 7}, "EXISTS"),
        (VOID, {}, {"user_data_128": 5}, "EXISTS_WITH_DIFFERENT_USER_DATA_128"),
        (VOID, {"user_data_64": 5}, {}, "EXISTS_WITH_DIFFERENT_USER_DATA_64"),
        (VOID, {}, {"user_data_32": 5}, "EXISTS_WITH_DIFFERENT_USER_DATA_32"),
        (VOID, {}, {"ledger": 5}, "EXISTS_WITH_DIFFERENT_LEDGER"),
        (VOID, {}, {"code": 5}, "EXISTS_WITH_DIFFERENT_CODE"),
        (VOID, {}, {"code": 1}, "EXISTS"),
    ],
)
def test_an_existing_post_or_void_is_compared(
    world: LedgerSentences, flags: int, sent: dict[str, Any], again: dict[str, Any], status: str
) -> None:
    """Of a post or void sent again, what was left out means the pending's value."""
    pending = world.move(world.account(), world.account(), 9, T.PENDING, user_data_128=7)
    settled = world.settle(flags, pending, 0)
    assert world.post(pending, settled._replace(**sent)) == ["CREATED", "CREATED"]
    assert world.post(settled._replace(**again)) == [status]


def test_a_pending_rejected_before_its_post(world: LedgerSentences) -> None:
    """A pending that is rejected and its post in one request: not found, and both ids burned."""
    pending = world.move(world.wallet(5), world.account(), 9, T.PENDING)
    post = world.settle(POST, pending, AMOUNT_MAX)
    assert world.post(pending, post) == ["EXCEEDS_CREDITS", "PENDING_TRANSFER_NOT_FOUND"]
    assert world.post(pending, post) == ["ID_ALREADY_FAILED", "ID_ALREADY_FAILED"]


def test_only_pendings_are_posted(world: LedgerSentences) -> None:
    """A post of itself or of a transfer that was not pending is refused."""
    sent = world.move(world.account(), world.account(), 9)
    assert world.post(sent) == ["CREATED"]
    post = world.settle(POST, sent, AMOUNT_MAX)
    assert world.post(post) == ["PENDING_TRANSFER_NOT_PENDING"]
    assert world.post(post._replace(pending_id=post.id)) == ["PENDING_ID_MUST_BE_DIFFERENT"]


def test_a_rolled_back_post_leaves_the_money_reserved(world: LedgerSentences) -> None:
    """A chain that breaks after a post takes the post back."""
    debit, credit = world.account(), world.account()
    pending = world.move(debit, credit, 9, T.PENDING)
    post = world.settle(POST, pending, AMOUNT_MAX)
    bad = world.move(debit, credit, 1, code=0)
    assert world.post(pending) == ["CREATED"]
    assert world.post(*world.chain(post, bad)) == ["LINKED_EVENT_FAILED", "CODE_MUST_NOT_BE_ZERO"]
    assert world.balances(debit) == (9, 0, 0, 0)
    assert world.post(post) == ["CREATED"]
    assert world.balances(debit) == (0, 9, 0, 0)


def test_a_pending_with_a_timeout_expires(world: LedgerSentences) -> None:
    """After its timeout the money is free, a closed account open, and no post or void succeeds."""
    debit, credit = world.account(), world.account()
    flags = T.PENDING | T.CLOSING_CREDIT
    short = world.move(debit, credit, 9, flags, timeout=1)
    long = world.move(debit, world.account(), 4, T.PENDING, timeout=3600)
    assert world.post(short, long) == ["CREATED", "CREATED"]
    assert world.balances(debit) == (13, 0, 0, 0)
    assert world.held(credit).flags == 32
    time.sleep(1.05)
    late = world.settle(POST, short, AMOUNT_MAX), world.settle(VOID, short, 0)
    assert world.post(*late) == ["PENDING_TRANSFER_EXPIRED"] * 2
    swept_by = time.monotonic() + SWEEP_SECONDS
    while world.balances(debit)[0] != 4 and time.monotonic() < swept_by:
        time.sleep(0.05)
    assert world.balances(debit) == (4, 0, 0, 0)
    assert world.held(credit)[1:5] == (0, 0, 0, 0)
    assert world.held(credit).flags == 0
    assert world.post(world.settle(POST, long, AMOUNT_MAX)) == ["CREATED"]


def test_a_pending_posted_in_time_does_not_expire(world: LedgerSentences) -> None:
    """What was posted before its timeout stays posted."""
    debit = world.account()
    pending = world.move(debit, world.account(), 9, T.PENDING, timeout=1)
    assert world.post(pending, world.settle(POST, pending, 5)) == ["CREATED", "CREATED"]
    time.sleep(1.3)
    assert world.balances(debit) == (0, 5, 0, 0)
    assert world.post(world.settle(VOID, pending, 0)) == ["PENDING_TRANSFER_ALREADY_POSTED"]
