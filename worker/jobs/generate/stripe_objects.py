"""Stripe's objects and envelope as webhooks deliver them.

Names and types are those of Stripe's own samples (`tests/stripe/`). Nested constants are shared
between objects and must not be changed. Source: Stripe's API reference and its public fixtures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

API_VERSION: Final = "2025-09-30.clover"
OLD_API_VERSION: Final = "2020-08-27"
"""Before 2024-10-28 only charge.refunded reports a card's refund."""
DAY_SECONDS: Final = 86_400
SETTLE_SECONDS: Final = 2 * DAY_SECONDS

NOBODY: Final = {
    "address": {
        "city": None,
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    },
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}

CARD: Final = {
    "card": {
        "brand": "visa",
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": "ZoVSX2dK5igWt2SB",
        "funding": "credit",
        "installments": None,
        "last4": "4242",
        "mandate": None,
        "network": "visa",
        "three_d_secure": None,
        "wallet": None,
    },
    "type": "card",
}

CHARGE: Final[dict[str, Any]] = {
    "object": "charge",
    "amount_refunded": 0,
    "application": None,
    "application_fee": None,
    "application_fee_amount": None,
    "balance_transaction": None,  # null on fresh charges in current API versions
    "billing_details": NOBODY,
    "calculated_statement_descriptor": "EXAMPLECOMPANY",
    "description": None,
    "disputed": False,
    "failure_balance_transaction": None,
    "failure_code": None,
    "failure_message": None,
    "fraud_details": {},
    "livemode": False,
    "metadata": {},
    "on_behalf_of": None,
    "outcome": {
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "Payment complete.",
        "type": "authorized",
    },
    "paid": True,
    "payment_method_details": CARD,
    "receipt_email": None,
    "receipt_number": None,
    "refunded": False,
    "review": None,
    "shipping": None,
    "source": None,
    "source_transfer": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "succeeded",
    "transfer_data": None,
    "transfer_group": None,
}

NO_REQUEST: Final = {"id": None, "idempotency_key": None}


def envelope(*, event_id: str, kind: str, created: int, about: dict[str, Any]) -> dict[str, Any]:
    """A Stripe event. created: whole seconds since 1970."""
    return {
        "id": event_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": about},
        "livemode": False,
        "pending_webhooks": 1,
        "request": NO_REQUEST,
        "type": kind,
    }


def charge(  # noqa: PLR0913 - what varies between charges
    *,
    charge_id: str,
    payment_intent: str,
    customer: str | None,
    amount: int,
    amount_captured: int,
    currency: str,
    created: int,
) -> dict[str, Any]:
    """A charge that succeeded; amount_captured 0 means authorized only."""
    return {
        "id": charge_id,
        **CHARGE,
        "amount": amount,
        "amount_captured": amount_captured,
        "amount_refunded": amount - amount_captured if amount_captured else 0,
        "captured": amount_captured > 0,
        "created": created,
        "currency": currency,
        "customer": customer,
        "payment_intent": payment_intent,
        "payment_method": payment_intent.replace("pi_", "pm_", 1),
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{charge_id}",
    }


def failed(declined: dict[str, Any]) -> dict[str, Any]:
    """The same charge as the bank declined it."""
    return {
        **declined,
        "amount_captured": 0,
        "captured": False,
        "failure_code": "card_declined",
        "failure_message": "Your card was declined.",
        "paid": False,
        "status": "failed",
    }


def balance_transaction(  # noqa: PLR0913 - what varies between balance transactions
    *,
    txn_id: str,
    category: str,
    kind: str,
    amount: int,
    fees: Sequence[tuple[str, int]],
    currency: str,
    created: int,
    source: str | None,
) -> dict[str, Any]:
    """A balance transaction; amount signed, net = amount − fees."""
    fee = sum(each for _, each in fees)
    return {
        "id": txn_id,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": created,
        "balance_type": "payments",
        "created": created,
        "currency": currency,
        "description": None if source else "Billing - Usage Fee",
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [_fee_detail(each, most, currency) for each, most in fees],
        "net": amount - fee,
        "reporting_category": category,
        "source": source,
        "status": "available",
        "type": kind,
    }


def _fee_detail(kind: str, amount: int, currency: str) -> dict[str, Any]:
    """One part of a fee: `stripe_fee` or `tax`."""
    words = {"stripe_fee": "Stripe processing fees", "tax": "VAT"}
    return {
        "amount": amount,
        "application": None,
        "currency": currency,
        "description": words[kind],
        "type": kind,
    }


def listed(*found: dict[str, Any]) -> dict[str, Any]:
    """A list as Stripe writes one into an object."""
    return {"object": "list", "data": list(found), "has_more": False, "total_count": len(found)}


def transfer(
    *, transfer_id: str, amount: int, currency: str, created: int, destination: str
) -> dict[str, Any]:
    """A transfer to a connected account."""
    return {
        "id": transfer_id,
        "object": "transfer",
        "amount": amount,
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": created,
        "currency": currency,
        "description": None,
        "destination": destination,
        "destination_payment": transfer_id.replace("tr_", "py_", 1),
        "livemode": False,
        "metadata": {},
        "reversals": listed(),
        "reversed": False,
        "source_transaction": None,
        "source_type": "card",
        "transfer_group": None,
    }


def application_fee(
    *, fee_id: str, amount: int, currency: str, created: int, account: str
) -> dict[str, Any]:
    """What a connected account pays the platform."""
    return {
        "id": fee_id,
        "object": "application_fee",
        "account": account,
        "amount": amount,
        "amount_refunded": 0,
        "application": None,
        "balance_transaction": None,
        "charge": fee_id.replace("fee_", "py_", 1),
        "created": created,
        "currency": currency,
        "livemode": False,
        "originating_transaction": None,
        "refunded": False,
        "refunds": listed(),
    }


def part_given_back(
    *, part_id: str, kind: str, whole: dict[str, Any], amount: int, created: int
) -> dict[str, Any]:
    """A transfer's reversal or an application fee's refund."""
    return {
        "id": part_id,
        "object": kind,
        "amount": amount,
        "balance_transaction": None,
        "created": created,
        "currency": whole["currency"],
        "metadata": {},
        {"transfer": "transfer", "application_fee": "fee"}[whole["object"]]: whole["id"],
    }


def topup(*, topup_id: str, amount: int, currency: str, created: int) -> dict[str, Any]:
    """Money from the bank that arrived on Stripe's balance."""
    return {
        "id": topup_id,
        "object": "topup",
        "amount": amount,
        "balance_transaction": None,
        "created": created,
        "currency": currency,
        "description": "Top-up",
        "expected_availability_date": created,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "source": None,
        "statement_descriptor": None,
        "status": "succeeded",
        "transfer_group": None,
    }


def refund(*, refund_id: str, charge: dict[str, Any], amount: int, created: int) -> dict[str, Any]:
    """A refund that succeeded; it names its charge, but no customer."""
    return {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def dispute(
    *, dispute_id: str, charge: dict[str, Any], amount: int, created: int
) -> dict[str, Any]:
    """A dispute that needs a response; it names its charge, but no customer."""
    return {
        "id": dispute_id,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
    }


def payout(*, payout_id: str, amount: int, currency: str, created: int) -> dict[str, Any]:
    """An automatic payout on its way."""
    return {
        "id": payout_id,
        "object": "payout",
        "amount": amount,
        "arrival_date": created + SETTLE_SECONDS,
        "automatic": True,
        "balance_transaction": None,
        "created": created,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": "ba_1Pgc79B7WZ01zgkWoU5vBiXt",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "reconciliation_status": "in_progress",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "in_transit",
        "type": "bank_account",
    }


def payment_intent(
    *, intent_id: str, customer: str | None, amount: int, currency: str, created: int
) -> dict[str, Any]:
    """A payment intent that succeeded; it repeats what its charge says."""
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": amount,
        "capture_method": "automatic",
        "created": created,
        "currency": currency,
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "payment_method_types": ["card"],
        "status": "succeeded",
    }


def customer(*, customer_id: str, currency: str, created: int) -> dict[str, Any]:
    """A customer, without anything that names a person."""
    return {
        "id": customer_id,
        "object": "customer",
        "balance": 0,
        "created": created,
        "currency": currency,
        "delinquent": False,
        "livemode": False,
        "metadata": {},
    }
