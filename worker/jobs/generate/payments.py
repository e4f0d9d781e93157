"""Payments: charges of customers and guests, captures, and events that carry no money."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.generate.aftermath import follow
from worker.jobs.generate.scene import PAYMENTS, Generated, Scene

AMOUNTS: Final = {"usd": (500, 50_000), "eur": (500, 40_000), "gbp": (400, 40_000)}
"""Least and most of a charge in minor units; jpy, which has no minor digits, is the default."""
JPY_AMOUNTS: Final = (600, 60_000)

FIXED_FEES: Final = {"usd": 30, "eur": 25, "gbp": 20, "jpy": 0}
FEE_PER_MILLE: Final = 29
TAX_PERCENT: Final = {"eur": 19, "gbp": 20}
"""Currencies whose fees bear VAT."""

GUESTS_PER_MILLE: Final = 200
PARTIAL_PER_MILLE: Final = 300
SETTLED_TICKS: Final = (10, 150)
CAPTURED_TICKS: Final = (20, 200)


def charge(scene: Scene) -> Generated:
    """A charge that is captured at once."""
    paid = new_charge(scene, captured=True)
    receive(scene, paid, paid["amount"])
    note = "charge" if paid["customer"] else "guest charge"
    return payment(scene, "charge.succeeded", paid, note)


def authorized_charge(scene: Scene) -> Generated:
    """A charge that is captured later, sometimes for less: its `charge.succeeded` moves nothing."""
    authorized = new_charge(scene, captured=False)
    part = scene.chance.happens(PARTIAL_PER_MILLE)
    captured = authorized["amount"] * 3 // 4 if part else authorized["amount"]

    def capture() -> Generated:
        taken = {
            **authorized,
            "amount_captured": captured,
            "amount_refunded": authorized["amount"] - captured,
            "captured": True,
        }
        receive(scene, taken, captured)
        return payment(scene, "charge.captured", taken, "capture")

    scene.later(scene.chance.between(*CAPTURED_TICKS), capture)
    return payment(scene, "charge.succeeded", authorized, "ignored: authorization")


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
    """Fill the wallet of a charge, and settle what Stripe keeps of it.

    A partial capture has two balance transactions: the whole charge, and what was not taken of it.
    """
    currency = paid["currency"]
    if paid["customer"]:
        scene.wallets.receive(paid["customer"], currency, amount, tick=scene.tick)
    fee = amount * FEE_PER_MILLE // 1000 + FIXED_FEES[currency]
    fees = [("stripe_fee", fee)]
    if currency in TAX_PERCENT:
        fees.append(("tax", fee * TAX_PERCENT[currency] // 100))
    settle = partial(scene.settle, paid, ticks=SETTLED_TICKS)
    settle(category="charge", kind="charge", amount=paid["amount"], fees=fees)
    if amount < paid["amount"]:
        category = "partial_capture_reversal"
        settle(category=category, kind="refund", amount=amount - paid["amount"])
    follow(scene, paid, amount)


def unbooked(scene: Scene) -> Generated:
    """An event that the rulebook ignores, because no money moves or another event reports it."""
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
    return scene.event(PAYMENTS, kind, about, key=key, note=note)
