"""Creating one transfer: its checks, in the order that decides which status wins.

Source: TigerBeetle 0.17.9's state machine and its reference for `create_transfers`. A hot path.
"""

from __future__ import annotations

from typing import Final

from worker.core.iso_times import NANOSECONDS
from worker.core.wire import Account, AccountFlags, CreateTransferStatus, Transfer, TransferFlags
from worker.ledger.engine.pendings import (
    CREATED,
    FINE,
    ID_MAX,
    IMPORTED,
    amount_settled,
    regresses,
    settle,
)
from worker.ledger.engine.state import (
    CLOSED,
    CLOSING_CREDIT,
    CLOSING_DEBIT,
    PENDING,
    SETTLING,
    LedgerState,
    moved,
)

U128_MAX: Final = (1 << 128) - 1
TIMESTAMP_MAX: Final = (1 << 63) - 1
ALL_FLAGS: Final = int(sum(TransferFlags))
CLOSING: Final = CLOSING_DEBIT | CLOSING_CREDIT
BALANCING_DEBIT: Final = int(TransferFlags.BALANCING_DEBIT)
BALANCING_CREDIT: Final = int(TransferFlags.BALANCING_CREDIT)
BALANCING: Final = BALANCING_DEBIT | BALANCING_CREDIT
DEBITS_LIMITED: Final = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
CREDITS_LIMITED: Final = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)

Status = CreateTransferStatus

TRANSIENT: Final = frozenset(
    {
        Status.DEBIT_ACCOUNT_NOT_FOUND,
        Status.CREDIT_ACCOUNT_NOT_FOUND,
        Status.PENDING_TRANSFER_NOT_FOUND,
        Status.EXCEEDS_CREDITS,
        Status.EXCEEDS_DEBITS,
        Status.DEBIT_ACCOUNT_ALREADY_CLOSED,
        Status.CREDIT_ACCOUNT_ALREADY_CLOSED,
    }
)
"""Failures that could succeed later; they burn the id so that they never do."""


def create_transfer(  # noqa: PLR0911 - one line for each status
    books: LedgerState, transfer: Transfer, timestamp: int
) -> int:
    """Store the transfer at `timestamp` (an imported one at its own), or say why not."""
    if status := _identity(books, transfer):
        return status
    flags = transfer.flags
    if flags & SETTLING:
        return settle(books, transfer, timestamp)
    if status := _form(transfer, flags):
        return status
    debit = books.accounts.get(transfer.debit_account_id)
    if debit is None:
        return Status.DEBIT_ACCOUNT_NOT_FOUND
    credit = books.accounts.get(transfer.credit_account_id)
    if credit is None:
        return Status.CREDIT_ACCOUNT_NOT_FOUND
    if flags & IMPORTED:
        timestamp = transfer.timestamp
    amount = transfer.amount
    if flags & BALANCING:
        amount = _balancing(amount, flags, debit, credit)
    status = _ledgers(transfer, debit, credit) or _imported(books, transfer, debit, credit)
    status = status or _closed(debit, credit)
    status = status or _overflow(transfer, amount, debit, credit, timestamp)
    if status := status or _limits(amount, debit, credit):
        return status
    stored = transfer._replace(amount=amount, timestamp=timestamp)
    books.post(stored, (debit, credit), _moved(stored, debit, credit))
    return CREATED


def _identity(books: LedgerState, transfer: Transfer) -> int:
    if transfer.flags & ~ALL_FLAGS:
        return Status.RESERVED_FLAG
    transfer_id = transfer.id
    if transfer_id == 0:
        return Status.ID_MUST_NOT_BE_ZERO
    if transfer_id == ID_MAX:
        return Status.ID_MUST_NOT_BE_INT_MAX
    stored = books.transfers.get(transfer_id)
    if stored is not None:
        return _exists(books, transfer, stored)
    return Status.ID_ALREADY_FAILED if transfer_id in books.burned else FINE


def _exists(books: LedgerState, transfer: Transfer, stored: Transfer) -> int:
    """Compare what was sent with what is stored; a post or void's zeros mean the pending's."""
    meant, amounts_differ = transfer, transfer.amount != stored.amount
    if transfer.flags & BALANCING:
        amounts_differ = transfer.amount < stored.amount
    same_pending = (transfer.flags, transfer.pending_id) == (stored.flags, stored.pending_id)
    if same_pending and transfer.flags & SETTLING:
        meant = _completed(transfer, books.transfers[stored.pending_id])
        amounts_differ = meant.amount != stored.amount
    for differ, status in (
        (transfer.flags != stored.flags, Status.EXISTS_WITH_DIFFERENT_FLAGS),
        (transfer.pending_id != stored.pending_id, Status.EXISTS_WITH_DIFFERENT_PENDING_ID),
        (transfer.timeout != stored.timeout, Status.EXISTS_WITH_DIFFERENT_TIMEOUT),
        (
            meant.debit_account_id != stored.debit_account_id,
            Status.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID,
        ),
        (
            meant.credit_account_id != stored.credit_account_id,
            Status.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID,
        ),
        (amounts_differ, Status.EXISTS_WITH_DIFFERENT_AMOUNT),
        (meant.user_data_128 != stored.user_data_128, Status.EXISTS_WITH_DIFFERENT_USER_DATA_128),
        (meant.user_data_64 != stored.user_data_64, Status.EXISTS_WITH_DIFFERENT_USER_DATA_64),
        (meant.user_data_32 != stored.user_data_32, Status.EXISTS_WITH_DIFFERENT_USER_DATA_32),
        (meant.ledger != stored.ledger, Status.EXISTS_WITH_DIFFERENT_LEDGER),
        (meant.code != stored.code, Status.EXISTS_WITH_DIFFERENT_CODE),
    ):
        if differ:
            return status
    return Status.EXISTS


def _completed(transfer: Transfer, pending: Transfer) -> Transfer:
    """A post or void with the pending transfer's values where it gives none."""
    return transfer._replace(
        debit_account_id=transfer.debit_account_id or pending.debit_account_id,
        credit_account_id=transfer.credit_account_id or pending.credit_account_id,
        amount=amount_settled(transfer, pending),
        user_data_128=transfer.user_data_128 or pending.user_data_128,
        user_data_64=transfer.user_data_64 or pending.user_data_64,
        user_data_32=transfer.user_data_32 or pending.user_data_32,
        ledger=transfer.ledger or pending.ledger,
        code=transfer.code or pending.code,
    )


def _form(transfer: Transfer, flags: int) -> int:  # noqa: C901, PLR0911 - one line for each status
    debit_id, credit_id = transfer.debit_account_id, transfer.credit_account_id
    if debit_id == 0:
        return Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if debit_id == ID_MAX:
        return Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if credit_id == 0:
        return Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if credit_id == ID_MAX:
        return Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if debit_id == credit_id:
        return Status.ACCOUNTS_MUST_BE_DIFFERENT
    if transfer.pending_id:
        return Status.PENDING_ID_MUST_BE_ZERO
    if not flags & PENDING:
        if transfer.timeout:
            return Status.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
        if flags & CLOSING:
            return Status.CLOSING_TRANSFER_MUST_BE_PENDING
    if transfer.ledger == 0:
        return Status.LEDGER_MUST_NOT_BE_ZERO
    return FINE if transfer.code else Status.CODE_MUST_NOT_BE_ZERO


def _ledgers(transfer: Transfer, debit: Account, credit: Account) -> int:
    if debit.ledger != credit.ledger:
        return Status.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER
    if transfer.ledger != debit.ledger:
        return Status.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS
    return FINE


def _imported(books: LedgerState, transfer: Transfer, debit: Account, credit: Account) -> int:
    if not transfer.flags & IMPORTED:
        return FINE
    timestamp = transfer.timestamp
    if regresses(books, timestamp):
        return Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
    if timestamp <= debit.timestamp:
        return Status.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT
    if timestamp <= credit.timestamp:
        return Status.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT
    return Status.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO if transfer.timeout else FINE


def _closed(debit: Account, credit: Account) -> int:
    if debit.flags & CLOSED:
        return Status.DEBIT_ACCOUNT_ALREADY_CLOSED
    return Status.CREDIT_ACCOUNT_ALREADY_CLOSED if credit.flags & CLOSED else FINE


def _balancing(amount: int, flags: int, debit: Account, credit: Account) -> int:
    """The amount that still balances; a debit balance counts what is reserved, too."""
    if flags & BALANCING_DEBIT:
        free = debit.credits_posted - debit.debits_posted - debit.debits_pending
        amount = min(amount, max(0, free))
    if flags & BALANCING_CREDIT:
        free = credit.debits_posted - credit.credits_posted - credit.credits_pending
        amount = min(amount, max(0, free))
    return amount


def _overflow(
    transfer: Transfer, amount: int, debit: Account, credit: Account, timestamp: int
) -> int:
    if timestamp + transfer.timeout * NANOSECONDS > TIMESTAMP_MAX:
        timeout = int(Status.OVERFLOWS_TIMEOUT)
    else:
        timeout = FINE
    debits = debit.debits_pending + debit.debits_posted
    credits_ = credit.credits_pending + credit.credits_posted
    if amount + max(debits, credits_) <= U128_MAX:
        return timeout  # each sum below is part of these two
    room = U128_MAX - amount
    for sum_, pending_only, status in (
        (debit.debits_pending, True, Status.OVERFLOWS_DEBITS_PENDING),
        (credit.credits_pending, True, Status.OVERFLOWS_CREDITS_PENDING),
        (debit.debits_posted, False, Status.OVERFLOWS_DEBITS_POSTED),
        (credit.credits_posted, False, Status.OVERFLOWS_CREDITS_POSTED),
        (debits, False, Status.OVERFLOWS_DEBITS),
        (credits_, False, Status.OVERFLOWS_CREDITS),
    ):
        if sum_ > room and (transfer.flags & PENDING or not pending_only):
            return status
    return timeout


def _limits(amount: int, debit: Account, credit: Account) -> int:
    if (
        debit.flags & DEBITS_LIMITED
        and debit.debits_pending + debit.debits_posted + amount > debit.credits_posted
    ):
        return Status.EXCEEDS_CREDITS
    if (
        credit.flags & CREDITS_LIMITED
        and credit.credits_pending + credit.credits_posted + amount > credit.debits_posted
    ):
        return Status.EXCEEDS_DEBITS
    return FINE


def _moved(stored: Transfer, debit: Account, credit: Account) -> tuple[Account, Account]:
    pending, posted = (stored.amount, 0) if stored.flags & PENDING else (0, stored.amount)
    debit = moved(debit, debits=(pending, posted), credits_=(0, 0))
    credit = moved(credit, debits=(0, 0), credits_=(pending, posted))
    if stored.flags & CLOSING_DEBIT:
        debit = debit._replace(flags=debit.flags | CLOSED)
    if stored.flags & CLOSING_CREDIT:
        credit = credit._replace(flags=credit.flags | CLOSED)
    return debit, credit
