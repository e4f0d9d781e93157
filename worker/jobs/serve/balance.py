"""An account's figures for the app, as `own_side` has them: posted, pending, available."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.core.ids import hex_id
from worker.core.money import Currency
from worker.core.own_side import BY_CREDITS, BY_DEBITS, own_figures
from worker.core.rulebook import AccountType, DeclaredAccount, Side
from worker.core.wire import Account, AccountFlags

# Amounts are decimal strings of minor units, because JSON's numbers are doubles in most languages:
# exact to 2^53, and the ledger counts to 2^128.
Amount = Annotated[str, Field(pattern="^(0|-?[1-9][0-9]*)$", examples=["5000"])]
Total = Annotated[str, Field(pattern="^(0|[1-9][0-9]*)$", examples=["7000"])]
Limit = Literal["debits_must_not_exceed_credits", "credits_must_not_exceed_debits"]


class Balance(BaseModel):
    """What an account holds at one moment; amounts are decimal strings of minor units."""

    model_config = ConfigDict(extra="forbid")

    account: str = Field(description="the account's name in the rulebook")
    key: str = Field(description="which of a family; empty for a single account")
    currency: str = Field(description="in lower case")
    scale: int = Field(
        ge=0,
        description="minor digits, Stripe's: 2 for usd, 0 for jpy; 5000 at scale 2 is 50.00",
    )
    posted: Amount = Field(
        description="what the account holds: positive on the side that it grows by"
    )
    pending: Total = Field(
        description="reserved to leave the account and not yet gone, as by a withdrawal"
    )
    available: Amount = Field(
        description="what can still leave: posted less pending, 0 when the account is closed."
        " Where `limit` is null the ledger refuses nothing, and this can be negative"
    )
    type: AccountType
    side: Side = Field(
        description="the side that the account grows by; money leaves by the other one"
    )
    limit: Limit | None = Field(
        description="what the ledger refuses on this account; null: it lets any amount leave"
    )
    exists: bool = Field(
        description="false until the first transfer: then it holds nothing, and all is zero"
    )
    closed: bool = Field(description="true: the ledger refuses every transfer")
    ledger: int = Field(description="TigerBeetle's ledger number of the currency")
    account_id: str = Field(pattern="^[0-9a-f]{32}$", description="as in the announcements")
    debits_posted: Total
    debits_pending: Total
    credits_posted: Total
    credits_pending: Total


def limit(flags: int) -> Limit | None:
    """What the ledger refuses on this account; None: it lets any amount leave."""
    if flags & BY_CREDITS:
        return "debits_must_not_exceed_credits"
    return "credits_must_not_exceed_debits" if flags & BY_DEBITS else None


def balance(
    *,
    declared: DeclaredAccount,
    key: str,
    currency: Currency,
    account_id: int,
    stored: Account | None,
) -> Balance:
    """The document of one account.

    stored: None for an account that no transfer has used yet; it holds nothing, and the flags are
    those that it will be made with.
    """
    flags = stored.flags if stored else declared.flags
    figures = stored or Account(flags=flags)
    own = own_figures(figures, debit_normal=declared.debit_normal)
    return Balance(
        account=declared.name,
        key=key,
        currency=currency.name,
        scale=currency.scale,
        posted=str(own.posted),
        pending=str(own.pending),
        available=str(own.available),
        type=declared.type,
        side=own.side,
        limit=limit(flags),
        exists=stored is not None,
        closed=bool(flags & AccountFlags.CLOSED),
        ledger=currency.ledger,
        account_id=hex_id(account_id),
        debits_posted=str(figures.debits_posted),
        debits_pending=str(figures.debits_pending),
        credits_posted=str(figures.credits_posted),
        credits_pending=str(figures.credits_pending),
    )
