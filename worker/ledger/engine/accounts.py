"""Creating one account: its checks, in the order that decides which status wins.

Source: TigerBeetle 0.17.9's state machine and its reference for `create_accounts`.
"""

from __future__ import annotations

from typing import Final

from worker.core.wire import Account, AccountFlags, CreateAccountStatus
from worker.ledger.engine.state import LedgerState

ID_MAX: Final = (1 << 128) - 1
FINE: Final = 0
"""No check objects; no status has this number."""

CREATED: Final = int(CreateAccountStatus.CREATED)
ALL_FLAGS: Final = int(sum(AccountFlags))
IMPORTED: Final = int(AccountFlags.IMPORTED)
BOTH_LIMITS: Final = int(
    AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS
)

Status = CreateAccountStatus


def create_account(books: LedgerState, account: Account, timestamp: int) -> int:
    """Store the account at `timestamp` (an imported one at its own), or say why not."""
    if status := _identity(account):
        return status
    if stored := books.accounts.get(account.id):
        return _exists(account, stored)
    if status := _form(account):
        return status
    if account.flags & IMPORTED:
        if _regresses(books, account.timestamp):
            return Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
        timestamp = account.timestamp
    books.open_account(account._replace(timestamp=timestamp))
    return CREATED


def _identity(account: Account) -> int:
    if account.reserved:
        return Status.RESERVED_FIELD
    if account.flags & ~ALL_FLAGS:
        return Status.RESERVED_FLAG
    if account.id == 0:
        return Status.ID_MUST_NOT_BE_ZERO
    if account.id == ID_MAX:
        return Status.ID_MUST_NOT_BE_INT_MAX
    return FINE


def _exists(account: Account, stored: Account) -> int:
    """Compared with the flags it has now: an account that was closed since has another flag."""
    for theirs, ours, status in (
        (account.flags, stored.flags, Status.EXISTS_WITH_DIFFERENT_FLAGS),
        (
            account.user_data_128,
            stored.user_data_128,
            Status.EXISTS_WITH_DIFFERENT_USER_DATA_128,
        ),
        (account.user_data_64, stored.user_data_64, Status.EXISTS_WITH_DIFFERENT_USER_DATA_64),
        (account.user_data_32, stored.user_data_32, Status.EXISTS_WITH_DIFFERENT_USER_DATA_32),
        (account.ledger, stored.ledger, Status.EXISTS_WITH_DIFFERENT_LEDGER),
        (account.code, stored.code, Status.EXISTS_WITH_DIFFERENT_CODE),
    ):
        if theirs != ours:
            return status
    return Status.EXISTS


def _form(account: Account) -> int:
    for wrong, status in (
        (account.flags & BOTH_LIMITS == BOTH_LIMITS, Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE),
        (account.debits_pending != 0, Status.DEBITS_PENDING_MUST_BE_ZERO),
        (account.debits_posted != 0, Status.DEBITS_POSTED_MUST_BE_ZERO),
        (account.credits_pending != 0, Status.CREDITS_PENDING_MUST_BE_ZERO),
        (account.credits_posted != 0, Status.CREDITS_POSTED_MUST_BE_ZERO),
        (account.ledger == 0, Status.LEDGER_MUST_NOT_BE_ZERO),
        (account.code == 0, Status.CODE_MUST_NOT_BE_ZERO),
    ):
        if wrong:
            return status
    return FINE


def _regresses(books: LedgerState, timestamp: int) -> bool:
    newest = books.account_times[-1] if books.account_times else 0
    return timestamp <= newest or books.transfer_at(timestamp)
