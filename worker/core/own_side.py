"""An account's figures on its own side: posted, pending, available.

An account's own side is the one that its limit flag protects, else its type's: credits for a
wallet, debits for a bank. For a wallet that took 100 in, spent 30, and has 20 reserved for a
withdrawal:

| figure    | is                                                           | the wallet |
|-----------|--------------------------------------------------------------|------------|
| posted    | own side posted, less the other side posted                  | 70         |
| pending   | the other side's pending: reserved to leave and not yet gone | 20         |
| available | posted less pending; 0 when the account is closed            | 50         |
"""

from __future__ import annotations

from typing import Final, NamedTuple

from worker.core.rulebook import Side
from worker.core.wire import Account, AccountFlags

BY_CREDITS: Final = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
BY_DEBITS: Final = AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS


class OwnFigures(NamedTuple):
    """What an account holds, in minor units, positive on its own side.

    side: the one that it grows by.
    pending: reserved to leave it and not yet gone.
    available: what can still leave it, never more than the ledger would let; negative only where
        the ledger refuses nothing.
    """

    side: Side
    posted: int
    pending: int
    available: int


def own_side(*, debit_normal: bool, flags: int) -> Side:
    """The side that an account grows by. A limit comes before the type: the ledger keeps it."""
    if flags & BY_CREDITS:
        return "credit"
    return "debit" if flags & BY_DEBITS or debit_normal else "credit"


def own_figures(account: Account, *, debit_normal: bool) -> OwnFigures:
    """An account's figures. debit_normal: does its type grow by debits?"""
    side = own_side(debit_normal=debit_normal, flags=account.flags)
    posted, pending = account.credits_posted - account.debits_posted, account.debits_pending
    if side == "debit":
        posted, pending = -posted, account.credits_pending
    closed = account.flags & AccountFlags.CLOSED
    return OwnFigures(side, posted, pending, 0 if closed else posted - pending)
