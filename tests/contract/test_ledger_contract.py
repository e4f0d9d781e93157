"""What every ledger behind the port does: creating accounts and transfers, alone and in chains.

Each claim was seen on a real TigerBeetle server, and holds for the embedded ledger too.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.world import LedgerSentences
from worker.core.wire import AMOUNT_MAX, Account, AccountFlags, TransferFlags

A = AccountFlags
T = TransferFlags
MAX = AMOUNT_MAX
FAILED = "LINKED_EVENT_FAILED"


def test_a_created_account_is_held_as_sent(world: LedgerSentences) -> None:
    """A created account starts at zero with every field as sent, stamped with the ledger's time."""
    row = Account(
        id=world.new_id(),
        user_data_128=MAX,
        user_data_64=(1 << 64) - 1,
        user_data_32=(1 << 32) - 1,
        ledger=world.number,
        code=65535,
        flags=A.HISTORY,
    )
    assert world.open_accounts(row) == ["CREATED"]
    held = world.held(row.id)
    assert held._replace(timestamp=0) == row
    assert held.timestamp > 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"reserved": 1, "flags": 64}, "RESERVED_FIELD"),
        ({"flags": 64, "id": 0}, "RESERVED_FLAG"),
        ({"id": 0, "ledger": 0}, "ID_MUST_NOT_BE_ZERO"),
        ({"id": MAX, "ledger": 0}, "ID_MUST_NOT_BE_INT_MAX"),
        ({"flags": 2 | 4, "debits_pending": 1}, "FLAGS_ARE_MUTUALLY_EXCLUSIVE"),
        ({"debits_pending": 1, "debits_posted": 1}, "DEBITS_PENDING_MUST_BE_ZERO"),
        ({"debits_posted": 1, "credits_pending": 1}, "DEBITS_POSTED_MUST_BE_ZERO"),
        ({"credits_pending": 1, "credits_posted": 1}, "CREDITS_PENDING_MUST_BE_ZERO"),
        ({"credits_posted": 1, "ledger": 0}, "CREDITS_POSTED_MUST_BE_ZERO"),
        ({"ledger": 0, "code": 0}, "LEDGER_MUST_NOT_BE_ZERO"),
        ({"code": 0}, "CODE_MUST_NOT_BE_ZERO"),
        ({"timestamp": 1, "flags": 64}, "TIMESTAMP_MUST_BE_ZERO"),
        ({"flags": A.LINKED, "timestamp": 1}, "LINKED_EVENT_CHAIN_OPEN"),
        ({"flags": A.IMPORTED, "timestamp": 0}, "IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE"),
        ({"flags": A.IMPORTED, "timestamp": 1 << 63}, "IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE"),
        ({"flags": 16, "timestamp": (1 << 63) - 1}, "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE"),
        ({"flags": A.CLOSED}, "CREATED"),
    ],
)
def test_the_first_wrong_thing_of_an_account_is_told(
    world: LedgerSentences, changes: dict[str, Any], status: str
) -> None:
    """Of two wrong things in a new account, the one checked first decides the status."""
    row = Account(id=world.new_id(), ledger=world.number, code=1)._replace(**changes)
    assert world.open_accounts(row) == [status]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "EXISTS"),
        ({"flags": A.HISTORY, "user_data_128": 9}, "EXISTS_WITH_DIFFERENT_FLAGS"),
        ({"user_data_128": 9, "user_data_64": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_128"),
        ({"user_data_64": 9, "user_data_32": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_64"),
        ({"user_data_32": 9, "ledger": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_32"),
        ({"ledger": 0, "code": 9}, "EXISTS_WITH_DIFFERENT_LEDGER"),
        ({"code": 0, "debits_posted": 9}, "EXISTS_WITH_DIFFERENT_CODE"),
        ({"debits_posted": 9}, "EXISTS"),
    ],
)
def test_an_existing_account_is_compared(
    world: LedgerSentences, changes: dict[str, Any], status: str
) -> None:
    """An account sent again is compared field by field; balances are not compared."""
    row = Account(id=world.new_id(), ledger=world.number, code=1, user_data_32=1)
    assert world.open_accounts(row, row._replace(**changes)) == ["CREATED", status]


def test_an_account_closed_since_has_different_flags(world: LedgerSentences) -> None:
    """Creating an account again that was closed in between tells of different flags."""
    row = Account(id=world.new_id(), ledger=world.number, code=1)
    assert world.open_accounts(row) == ["CREATED"]
    closing = world.move(row.id, world.account(), 0, T.PENDING | T.CLOSING_DEBIT)
    assert world.post(closing) == ["CREATED"]
    assert world.open_accounts(row) == ["EXISTS_WITH_DIFFERENT_FLAGS"]


def test_linked_accounts_are_all_or_none(world: LedgerSentences) -> None:
    """One bad account takes back those linked to it, and leaves the next one alone."""
    good = [Account(id=world.new_id(), ledger=world.number, code=1) for _ in range(3)]
    first = good[0]._replace(flags=A.LINKED)
    bad = Account(id=world.new_id(), ledger=world.number, code=0)
    assert world.open_accounts(first, bad, good[2]) == [FAILED, "CODE_MUST_NOT_BE_ZERO", "CREATED"]
    assert world.ledger.lookup_accounts([first.id, bad.id]) == []


def test_a_transfer_moves_its_amount(world: LedgerSentences) -> None:
    """A transfer adds its amount to what is posted on both sides; zero is an amount."""
    debit, credit = world.account(), world.account()
    sent = world.move(debit, credit, 7, user_data_128=3, user_data_64=4, user_data_32=5)
    assert world.post(sent, world.move(debit, credit, 0)) == ["CREATED", "CREATED"]
    assert world.balances(debit) == (0, 7, 0, 0)
    assert world.balances(credit) == (0, 0, 0, 7)
    [held] = world.ledger.lookup_transfers([sent.id])
    assert held._replace(timestamp=0) == sent


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"flags": 512, "id": 0}, "RESERVED_FLAG"),
        ({"id": 0, "debit_account_id": 0}, "ID_MUST_NOT_BE_ZERO"),
        ({"id": MAX, "debit_account_id": 0}, "ID_MUST_NOT_BE_INT_MAX"),
        ({"debit_account_id": 0, "credit_account_id": 0}, "DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO"),
        ({"debit_account_id": MAX, "ledger": 0}, "DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX"),
        ({"credit_account_id": 0, "ledger": 0}, "CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO"),
        ({"credit_account_id": MAX, "ledger": 0}, "CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX"),
        ({"debit_account_id": 9, "credit_account_id": 9}, "ACCOUNTS_MUST_BE_DIFFERENT"),
        ({"pending_id": 1, "timeout": 1}, "PENDING_ID_MUST_BE_ZERO"),
        ({"timeout": 1, "flags": T.CLOSING_DEBIT}, "TIMEOUT_RESERVED_FOR_PENDING_TRANSFER"),
        ({"flags": T.CLOSING_CREDIT, "ledger": 0}, "CLOSING_TRANSFER_MUST_BE_PENDING"),
        ({"ledger": 0, "code": 0}, "LEDGER_MUST_NOT_BE_ZERO"),
        ({"code": 0, "debit_account_id": 9}, "CODE_MUST_NOT_BE_ZERO"),
        ({"debit_account_id": 9, "credit_account_id": 8}, "DEBIT_ACCOUNT_NOT_FOUND"),
        ({"credit_account_id": 9}, "CREDIT_ACCOUNT_NOT_FOUND"),
        ({"ledger": (1 << 32) - 1}, "TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS"),
        ({"timestamp": 1, "flags": 512}, "TIMESTAMP_MUST_BE_ZERO"),
        ({"flags": T.LINKED, "timestamp": 1}, "LINKED_EVENT_CHAIN_OPEN"),
        ({"flags": T.IMPORTED}, "IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE"),
        ({"flags": 256, "timestamp": (1 << 63) - 1}, "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE"),
        ({"flags": 256, "timestamp": 1}, "IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS"),
        ({"flags": T.POST_PENDING_TRANSFER | 8}, "FLAGS_ARE_MUTUALLY_EXCLUSIVE"),
        ({"flags": T.POST_PENDING_TRANSFER | 16}, "FLAGS_ARE_MUTUALLY_EXCLUSIVE"),
        ({"flags": T.VOID_PENDING_TRANSFER, "timeout": 1}, "PENDING_ID_MUST_NOT_BE_ZERO"),
        ({"flags": 4, "pending_id": MAX}, "PENDING_ID_MUST_NOT_BE_INT_MAX"),
        ({"flags": 4, "pending_id": 1, "timeout": 1}, "TIMEOUT_RESERVED_FOR_PENDING_TRANSFER"),
        ({"flags": 4, "pending_id": 1}, "PENDING_TRANSFER_NOT_FOUND"),
    ],
)
def test_the_first_wrong_thing_of_a_transfer_is_told(
    world: LedgerSentences, changes: dict[str, Any], status: str
) -> None:
    """Of two wrong things in a new transfer, the one checked first decides the status."""
    before = world.move(world.account(), world.account(), 1)
    row = world.move(world.account(), world.account(), 1)._replace(**changes)
    assert world.post(before) == ["CREATED"]
    assert world.post(row) == [status]


def test_accounts_of_two_ledgers_do_not_mix(world: LedgerSentences) -> None:
    """A transfer needs both accounts on one ledger, but a chain may span two ledgers."""
    here, there = world.account(), world.account(ledger=world.number + 1)
    assert world.post(world.move(here, there, 1)) == ["ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER"]
    legs = world.chain(
        world.move(here, world.account(), 1),
        world.move(there, world.account(ledger=world.number + 1), 2, ledger=world.number + 1),
    )
    assert world.post(*legs) == ["CREATED", "CREATED"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "EXISTS"),
        ({"flags": T.PENDING, "pending_id": 1}, "EXISTS_WITH_DIFFERENT_FLAGS"),
        ({"flags": T.POST_PENDING_TRANSFER}, "EXISTS_WITH_DIFFERENT_FLAGS"),
        ({"pending_id": 1, "timeout": 1}, "EXISTS_WITH_DIFFERENT_PENDING_ID"),
        ({"timeout": 1, "debit_account_id": 9}, "EXISTS_WITH_DIFFERENT_TIMEOUT"),
        ({"debit_account_id": 0, "amount": 9}, "EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID"),
        ({"credit_account_id": 0, "amount": 9}, "EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID"),
        ({"amount": 9, "user_data_128": 9}, "EXISTS_WITH_DIFFERENT_AMOUNT"),
        ({"user_data_128": 9, "user_data_64": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_128"),
        ({"user_data_64": 9, "user_data_32": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_64"),
        ({"user_data_32": 9, "ledger": 9}, "EXISTS_WITH_DIFFERENT_USER_DATA_32"),
        ({"ledger": 9, "code": 9}, "EXISTS_WITH_DIFFERENT_LEDGER"),
        ({"code": 9}, "EXISTS_WITH_DIFFERENT_CODE"),
    ],
)
def test_an_existing_transfer_is_compared(
    world: LedgerSentences, changes: dict[str, Any], status: str
) -> None:
    """A transfer sent again is compared field by field, in the ledger's order."""
    sent = world.move(world.account(), world.account(), 1)
    first, again = world.post(sent), world.post(sent._replace(**changes))
    assert (first, again) == (["CREATED"], [status])


def test_a_chain_sent_again_exists(world: LedgerSentences) -> None:
    """A committed chain sent again: `exists` with the original time, then linked-event-failed."""
    debit, credit = world.account(), world.account()
    legs = world.chain(*(world.move(debit, credit, 1) for _ in range(3)))
    first = world.send(*legs)
    assert [first[n].timestamp - first[0].timestamp for n in range(3)] == [0, 1, 2]
    again = world.send(*legs)
    assert again[0].timestamp == first[0].timestamp
    assert all(result.timestamp > first[2].timestamp for result in again[1:])
    assert world.post(*legs) == ["EXISTS", FAILED, FAILED]
    assert world.balances(debit) == (0, 3, 0, 0)


def test_a_broken_chain_leaves_nothing(world: LedgerSentences) -> None:
    """A leg that fails takes back the legs before it; the event after the chain is not touched."""
    debit, credit = world.account(), world.account()
    legs = world.chain(*(world.move(debit, credit, 5) for _ in range(4)))
    bad = legs[2]._replace(code=0)
    alone = world.move(debit, credit, 1)
    assert world.post(legs[0], legs[1], bad, legs[3], alone) == [
        FAILED,
        FAILED,
        "CODE_MUST_NOT_BE_ZERO",
        FAILED,
        "CREATED",
    ]
    assert world.balances(debit) == (0, 1, 0, 0)
    assert world.ledger.lookup_transfers([leg.id for leg in legs]) == []
    assert world.post(*legs) == ["CREATED"] * 4


def test_a_chain_may_not_be_open(world: LedgerSentences) -> None:
    """A request that ends inside a chain fails that chain, even one that broke before."""
    debit, credit = world.account(), world.account()
    one, two, three = (world.move(debit, credit, 1, T.LINKED) for _ in range(3))
    assert world.post(one, two) == [FAILED, "LINKED_EVENT_CHAIN_OPEN"]
    assert world.post(one._replace(code=0), two, three) == [
        "CODE_MUST_NOT_BE_ZERO",
        FAILED,
        "LINKED_EVENT_CHAIN_OPEN",
    ]


def test_a_leg_that_exists_alone_has_other_flags_in_a_chain(world: LedgerSentences) -> None:
    """`linked` is part of what is compared."""
    legs = [world.move(world.account(), world.account(), 1) for _ in range(2)]
    assert world.post(legs[0]) == ["CREATED"]
    assert world.post(*world.chain(*legs)) == ["EXISTS_WITH_DIFFERENT_FLAGS", FAILED]
