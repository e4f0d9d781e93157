"""What an account's figures mean to the app: posted, pending, available.

The invariant: `available` is never more than the ledger would let leave the account. Pure: from
what is declared and what the ledger holds to a document. Imports the core only.

An account grows by one side: by credits a wallet, by debits a bank. A limit flag says which; where
there is none, the account's type does. With that side as "own", and a wallet that took 100 in,
spent 30, and has 20 reserved for a withdrawal as the example:

| figure    | is                                                           | the wallet |
|-----------|--------------------------------------------------------------|------------|
| posted    | own side posted, less the other side posted                  | 70         |
| pending   | the other side's pending: reserved to leave and not yet gone | 20         |
| available | posted less pending; 0 when the account is closed            | 50         |
"""

from __future__ import annotations

from typing import Any, Final

from worker.core.ids import hex_id
from worker.core.money import Currency
from worker.core.rulebook import DEBIT_NORMAL, Side
from worker.core.rulebook import DeclaredAccount as Declared
from worker.core.wire import Account as Held
from worker.core.wire import AccountFlags

BY_CREDITS: Final = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
BY_DEBITS: Final = AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS


def own_side(declared: Declared, flags: int) -> Side:
    """The side that the account grows by. A limit comes before the type: the ledger keeps it."""
    if flags & BY_CREDITS:
        return "credit"
    if flags & BY_DEBITS:
        return "debit"
    return "debit" if declared.type in DEBIT_NORMAL else "credit"


def limit(flags: int) -> str | None:
    """What the ledger refuses on this account; None: it lets any amount leave."""
    if flags & BY_CREDITS:
        return "debits_must_not_exceed_credits"
    return "credits_must_not_exceed_debits" if flags & BY_DEBITS else None


def balance(
    *, declared: Declared, key: str, currency: Currency, account_id: int, held: Held | None
) -> dict[str, Any]:
    """The document of one account; amounts are decimal strings of minor units.

    Strings, because JSON's numbers are doubles in most languages: exact to 2^53, and the ledger
    counts to 2^128. held: None for an account that no transfer has used yet; it holds nothing, and
    the flags are those that it will be made with.
    """
    flags = held.flags if held else declared.flags
    figures = held or Held()
    side = own_side(declared, flags)
    posted = figures.credits_posted - figures.debits_posted
    pending = figures.debits_pending
    if side == "debit":
        posted, pending = -posted, figures.credits_pending
    closed = bool(flags & AccountFlags.CLOSED)
    return {
        "account": declared.name,
        "key": key,
        "currency": currency.name,
        "scale": currency.scale,
        "posted": str(posted),
        "pending": str(pending),
        "available": "0" if closed else str(posted - pending),
        "type": declared.type,
        "side": side,
        "limit": limit(flags),
        "exists": held is not None,
        "closed": closed,
        "ledger": currency.ledger,
        "account_id": hex_id(account_id),
        "debits_posted": str(figures.debits_posted),
        "debits_pending": str(figures.debits_pending),
        "credits_posted": str(figures.credits_posted),
        "credits_pending": str(figures.credits_pending),
    }
