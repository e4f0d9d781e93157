"""Whose money enters: a connected account's events stay out unless the books are its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.books import Books
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.event import Event
from worker.core.translate import Translator

SELLER = "acct_1Seller"
SECONDS = 1_767_225_600


def delivered(books: Books, **envelope: Any) -> tuple[Event, ...]:
    """A direct charge on a connected account as Connect delivers it, and the fee, told twice."""
    charge = {
        "id": "ch_a01dir", "object": "charge", "amount": 10_000, "amount_captured": 10_000,
        "captured": True, "paid": True, "currency": "usd", "customer": "cus_a01of_seller",
        "created": SECONDS, "status": "succeeded", "balance_transaction": None,
    }  # fmt: skip
    fee = {
        "id": "fee_a0101", "object": "application_fee", "account": SELLER, "amount": 1000,
        "amount_refunded": 0, "balance_transaction": "txn_a01fee", "charge": "ch_a01dir",
        "created": SECONDS + 30, "currency": "usd", "refunded": False,
        "refunds": {"object": "list", "data": [], "has_more": False, "total_count": 0},
    }  # fmt: skip
    earned = {
        "id": "txn_a01fee", "object": "balance_transaction", "amount": 1000, "fee": 0, "net": 1000,
        "currency": "usd", "created": SECONDS + 5, "available_on": SECONDS + 200_000,
        "reporting_category": "platform_earning", "type": "application_fee", "source": "fee_a0101",
        "status": "pending", "exchange_rate": None, "description": None, "fee_details": [],
    }  # fmt: skip
    return (
        books.event("charge.succeeded", charge, **envelope),
        books.event("application_fee.created", fee),
        books.event("balance_transaction.created", earned),
    )


CONNECT = {"account": SELLER, "context": f"acct_1Platform/{SELLER}"}
TOLD = [
    # books        envelope                   charge        clearing
    ("",           {"account": SELLER},       "wrong_mode", 1000),
    ("",           {"context": SELLER},       "wrong_mode", 1000),
    ("",           CONNECT,                   "wrong_mode", 1000),
    ("acct_other", CONNECT,                   "wrong_mode", 1000),
    (SELLER,       CONNECT,                   "posted",     None),
    ("*",          CONNECT,                   "posted",     None),
]  # fmt: skip


@pytest.mark.parametrize(("account", "envelope", "charge", "clearing"), TOLD)
def test_a_connected_accounts_charge_is_not_the_platforms(
    account: str, envelope: dict[str, Any], charge: str, clearing: int | None
) -> None:
    """By default, and for any other account's books, it is a dead letter and nothing is posted."""
    books = Books(PACKAGED_RULEBOOK)
    books.translator = Translator(books.rulebook, account=account)
    assert books.kinds(*delivered(books, **envelope))[0] == charge
    wallets = [name for name in books.balances() if name.startswith("customer_wallet")]
    if clearing is not None:
        assert books.balances()["stripe_clearing usd"] == clearing
        assert wallets == []
    else:
        assert wallets == ["customer_wallet[cus_a01of_seller] usd"]
