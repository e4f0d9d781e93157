"""Payments: charges of customers and guests, captures, fees, and events that carry no money.

The invariant: every charge that captures money has one balance transaction of the same amount,
later, with its fee. What may follow from it is in `aftermath`. Imports this package only.
"""

from __future__ import annotations

from typing import Any, Final

from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.generate.aftermath import follow
from worker.jobs.generate.scene import PAYMENTS, Generated, Scene
from worker.jobs.generate.stripe_events import settled_by, settlement, stripe_event

AMOUNTS: Final = {"usd": (500, 50_000), "eur": (500, 40_000), "gbp": (400, 40_000)}
"""Least and most of a charge in minor units; jpy, which has no minor digits, is the default."""
JPY_AMOUNTS: Final = (600, 60_000)

FIXED_FEES: Final = {"usd": 30, "eur": 25, "gbp": 20, "jpy": 0}
FEE_PER_MILLE: Final = 29
TAX_PERCENT: Final = {"eur": 19, "gbp": 20}
"""Currencies whose fees bear VAT."""

GUESTS_PER_MILLE: Final = 200
PARTIAL_PER_MILLE: Final = 300
TAX_PER_MILLE: Final = 250
SETTLED_TICKS: Final = (10, 150)
CAPTURED_TICKS: Final = (20, 200)


def charge(scene: Scene) -> Generated:
    """A charge that is captured at once; its fee follows."""
    paid = new_charge(scene, captured=True)
    receive(scene, paid, paid["amount"])
    note = "charge" if paid["customer"] else "guest charge"
    return payment(scene, "charge.succeeded", paid, note)


def authorized_charge(scene: Scene) -> Generated:
    """A charge that is captured later, sometimes for less: its `charge.succeeded` moves nothing."""
    held = new_charge(scene, captured=False)
    part = scene.chance.happens(PARTIAL_PER_MILLE)
    captured = held["amount"] * 3 // 4 if part else held["amount"]

    def capture() -> Generated:
        taken = {
            **held,
            "amount_captured": captured,
            "amount_refunded": held["amount"] - captured,
            "captured": True,
        }
        receive(scene, taken, captured)
        return payment(scene, "charge.captured", taken, "capture")

    scene.later(scene.chance.between(*CAPTURED_TICKS), capture)
    return payment(scene, "charge.succeeded", held, "ignored: authorization")


def new_charge(scene: Scene, *, captured: bool) -> dict[str, Any]:
    """A charge made now, of a customer or a guest."""
    currency = scene.wallets.currency()
    amount = scene.chance.between(*AMOUNTS.get(currency, JPY_AMOUNTS))
    guest = scene.chance.happens(GUESTS_PER_MILLE)
    return shapes.charge(
        charge_id=scene.chance.new_id("ch"),
        payment_intent=scene.chance.new_id("pi"),
        customer=None if guest else scene.wallets.payer(currency),
        amount=amount,
        amount_captured=amount if captured else 0,
        currency=currency,
        created=scene.now,
    )


def receive(scene: Scene, paid: dict[str, Any], amount: int) -> None:
    """Fill the wallet of a charge, and have its fee told later."""
    if paid["customer"]:
        scene.wallets.receive(paid["customer"], paid["currency"], amount, tick=scene.tick)
    scene.later(scene.chance.between(*SETTLED_TICKS), lambda: charge_settled(scene, paid, amount))
    follow(scene, paid, amount)


def charge_settled(scene: Scene, paid: dict[str, Any], amount: int) -> Generated:
    """The balance transaction of a charge: what Stripe keeps of it.

    A partial capture has two: the whole charge, and later a reversal of what was not taken.
    """
    if amount < paid["amount"]:
        rest = amount - paid["amount"]
        settled_by(scene, paid, category="partial_capture_reversal", kind="refund", amount=rest)
    currency = paid["currency"]
    fee = amount * FEE_PER_MILLE // 1000 + FIXED_FEES[currency]
    details = [shapes.fee_detail(kind="stripe_fee", amount=fee, currency=currency)]
    if currency in TAX_PERCENT:
        tax = fee * TAX_PERCENT[currency] // 100
        details.append(shapes.fee_detail(kind="tax", amount=tax, currency=currency))
    settled = shapes.balance_transaction(
        txn_id=scene.chance.new_id("txn"),
        category="charge",
        kind="charge",
        amount=paid["amount"],
        fee_details=details,
        currency=currency,
        created=paid["created"],
        source=paid["id"],
    )
    return settlement(scene, settled, "fee")


def platform_fee(scene: Scene) -> Generated:
    """What Stripe takes for its own services, or the tax on it: no payment event tells it."""
    taxed = scene.chance.happens(TAX_PER_MILLE)
    settled = shapes.balance_transaction(
        txn_id=scene.chance.new_id("txn"),
        category="tax" if taxed else "fee",
        kind="tax_fee" if taxed else "stripe_fee",
        amount=-scene.chance.between(50, 2_000),
        fee_details=[],
        currency=scene.wallets.currency(),
        created=scene.now,
        source=None,
        description="Billing - Usage Fee",
    )
    return settlement(scene, settled, "platform tax" if taxed else "platform fee")


def unbooked(scene: Scene) -> Generated:
    """An event that the rulebook ignores, because no money moves or another event tells it."""
    return scene.chance.pick((_declined, _intent_succeeded, _customer_created))(scene)


def _declined(scene: Scene) -> Generated:
    declined = shapes.failed(new_charge(scene, captured=False))
    return payment(scene, "charge.failed", declined, "ignored: declined")


def _intent_succeeded(scene: Scene) -> Generated:
    currency = scene.wallets.currency()
    intent = shapes.payment_intent(
        intent_id=scene.chance.new_id("pi"),
        customer=scene.wallets.payer(currency),
        amount=scene.chance.between(*AMOUNTS.get(currency, JPY_AMOUNTS)),
        currency=currency,
        created=scene.now,
    )
    return payment(scene, "payment_intent.succeeded", intent, "ignored: payment intent")


def _customer_created(scene: Scene) -> Generated:
    known = shapes.customer(
        customer_id=scene.chance.new_id("cus"),
        currency=scene.wallets.currency(),
        created=scene.now,
    )
    return payment(scene, "customer.created", known, "ignored: customer")


def payment(scene: Scene, kind: str, about: dict[str, Any], note: str) -> Generated:
    """A Stripe event, keyed by its customer so that one customer's stay in order."""
    key = about.get("customer") or about["id"]
    return stripe_event(scene, PAYMENTS, kind=kind, about=about, key=key, note=note)
