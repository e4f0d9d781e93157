"""Posting and voiding a pending transfer: checks in the order that decides which status wins.

Source: TigerBeetle 0.17.9's state machine.
"""

from __future__ import annotations

from typing import Final

from worker.core.wire import AMOUNT_MAX, CreateTransferStatus, Transfer, TransferFlags
from worker.ledger.engine.state import CLOSED, OPEN, PENDING, LedgerState, expires_at, released

ID_MAX: Final = (1 << 128) - 1
FINE: Final = 0
CREATED: Final = int(CreateTransferStatus.CREATED)
IMPORTED: Final = int(TransferFlags.IMPORTED)
POST: Final = int(TransferFlags.POST_PENDING_TRANSFER)
VOID: Final = int(TransferFlags.VOID_PENDING_TRANSFER)
NOT_WITH_EITHER: Final = int(
    TransferFlags.PENDING
    | TransferFlags.BALANCING_DEBIT
    | TransferFlags.BALANCING_CREDIT
    | TransferFlags.CLOSING_DEBIT
    | TransferFlags.CLOSING_CREDIT
)

Status = CreateTransferStatus


def settle(books: LedgerState, transfer: Transfer, timestamp: int) -> int:
    """Post or void what `transfer.pending_id` reserved, or say why not."""
    if status := _form(transfer):
        return status
    pending = books.transfers.get(transfer.pending_id)
    if pending is None:
        return Status.PENDING_TRANSFER_NOT_FOUND
    amount = amount_settled(transfer, pending)
    if status := (
        _match(transfer, pending)
        or _amount(transfer, pending, amount)
        or _state(books, pending, timestamp)
        or _time(books, transfer)
        or _closed(books, transfer, pending)
    ):
        return status
    if transfer.flags & IMPORTED:
        timestamp = transfer.timestamp
    _store(books, transfer, pending, amount, timestamp)
    return CREATED


def amount_settled(transfer: Transfer, pending: Transfer) -> int:
    """The amount meant: a void of 0 and a post of AMOUNT_MAX mean all that was reserved."""
    all_of_it = 0 if transfer.flags & VOID else AMOUNT_MAX
    return pending.amount if transfer.amount == all_of_it else transfer.amount


def regresses(books: LedgerState, timestamp: int) -> bool:
    """Whether an imported transfer's time is not after the newest, or is an account's."""
    newest = books.by_time[-1].timestamp if books.by_time else 0
    return timestamp <= newest or books.account_at(timestamp)


def _form(transfer: Transfer) -> int:
    flags, pending_id = transfer.flags, transfer.pending_id
    if flags & NOT_WITH_EITHER or flags & (POST | VOID) == POST | VOID:
        return Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if pending_id == 0:
        return Status.PENDING_ID_MUST_NOT_BE_ZERO
    if pending_id == ID_MAX:
        return Status.PENDING_ID_MUST_NOT_BE_INT_MAX
    if pending_id == transfer.id:
        return Status.PENDING_ID_MUST_BE_DIFFERENT
    if transfer.timeout:
        return Status.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
    return FINE


def _match(transfer: Transfer, pending: Transfer) -> int:
    """Zero takes the pending transfer's value; user data may differ."""
    if not pending.flags & PENDING:
        return Status.PENDING_TRANSFER_NOT_PENDING
    if transfer.debit_account_id not in (0, pending.debit_account_id):
        return Status.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID
    if transfer.credit_account_id not in (0, pending.credit_account_id):
        return Status.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID
    if transfer.ledger not in (0, pending.ledger):
        return Status.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER
    if transfer.code not in (0, pending.code):
        return Status.PENDING_TRANSFER_HAS_DIFFERENT_CODE
    return FINE


def _amount(transfer: Transfer, pending: Transfer, amount: int) -> int:
    if amount > pending.amount:
        return Status.EXCEEDS_PENDING_TRANSFER_AMOUNT
    if transfer.flags & VOID and amount < pending.amount:
        return Status.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT
    return FINE


def _state(books: LedgerState, pending: Transfer, timestamp: int) -> int:
    settled = books.settled[pending.id]
    if settled == OPEN and pending.timeout and expires_at(pending) <= timestamp:
        return Status.PENDING_TRANSFER_EXPIRED
    return settled


def _time(books: LedgerState, transfer: Transfer) -> int:
    if transfer.flags & IMPORTED and regresses(books, transfer.timestamp):
        return Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
    return FINE


def _closed(books: LedgerState, transfer: Transfer, pending: Transfer) -> int:
    """A closed account takes nothing but voids."""
    if transfer.flags & VOID:
        return FINE
    if books.accounts[pending.debit_account_id].flags & CLOSED:
        return Status.DEBIT_ACCOUNT_ALREADY_CLOSED
    if books.accounts[pending.credit_account_id].flags & CLOSED:
        return Status.CREDIT_ACCOUNT_ALREADY_CLOSED
    return FINE


def _store(
    books: LedgerState, transfer: Transfer, pending: Transfer, amount: int, timestamp: int
) -> None:
    posts = transfer.flags & POST
    stored = transfer._replace(
        debit_account_id=pending.debit_account_id,
        credit_account_id=pending.credit_account_id,
        amount=amount,
        user_data_128=transfer.user_data_128 or pending.user_data_128,
        user_data_64=transfer.user_data_64 or pending.user_data_64,
        user_data_32=transfer.user_data_32 or pending.user_data_32,
        ledger=pending.ledger,
        code=pending.code,
        timestamp=timestamp,
    )
    before = books.accounts[pending.debit_account_id], books.accounts[pending.credit_account_id]
    books.post(stored, before, released(books, pending, amount if posts else 0))
    books.settled[pending.id] = int(
        Status.PENDING_TRANSFER_ALREADY_POSTED if posts else Status.PENDING_TRANSFER_ALREADY_VOIDED
    )
