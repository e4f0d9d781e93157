"""Stripe's business with the platform itself: fees, Connect, top-ups, reserves and payouts.

Every movement has its balance transaction; a reversal comes after its original, under the same key.
"""

from __future__ import annotations

from typing import Any, Final

from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.generate.scene import PAYMENTS, Generated, Scene

OUTCOME_TICKS: Final = (60, 400)
AMOUNTS: Final = (500, 20_000)
"""Least and most of a transfer, top-up or reserve, in minor units."""

TAX_PER_MILLE: Final = 250
REVERSED_PER_MILLE: Final = 300
APPLICATION_FEES_PER_MILLE: Final = 400
PAYOUT_LEAST: Final = 10_000
"""Minor units: less stays on Stripe's balance."""
PAYOUT_FAILS_PER_MILLE: Final = 80
PAYOUT_CANCELED_PER_MILLE: Final = 40


def _own(  # noqa: PLR0913 - one argument per part
    scene: Scene,
    kind: str,
    about: dict[str, Any],
    note: str,
    *,
    follows: bool = False,
    previous: dict[str, Any] | None = None,
) -> Generated:
    """An event about an object that is its own key."""
    made = scene.event(PAYMENTS, kind, about, key=about["id"], note=note, previous=previous)
    return made._replace(follows=follows)


def _feed_only(scene: Scene, category: str, kind: str, amount: int, currency: str) -> Generated:
    """A movement without a payment event: the settlement feed reports it now."""
    return scene.feed(
        scene.settled(None, category=category, kind=kind, amount=amount, currency=currency)
    )


def fee(scene: Scene) -> Generated:
    """What Stripe takes for its own services, or the tax on it."""
    taxed = scene.chance.happens(TAX_PER_MILLE)
    category, kind = ("tax", "tax_fee") if taxed else ("fee", "stripe_fee")
    amount = -scene.chance.between(50, 2_000)
    return _feed_only(scene, category, kind, amount, scene.wallets.currency())


def reserve(scene: Scene) -> Generated | None:
    """Stripe holds back a part of the balance, and releases it later."""
    category, kind = "risk_reserved_funds", "reserved_funds"
    currency, amount = scene.wallets.currency(), scene.chance.between(*AMOUNTS)
    if scene.stripe.waiting(currency) < amount:
        return None
    ticks = scene.chance.between(*OUTCOME_TICKS)
    scene.later(ticks, lambda: _feed_only(scene, category, kind, amount, currency))
    return _feed_only(scene, category, kind, -amount, currency)


def topup(scene: Scene) -> Generated:
    """Money from the bank onto the balance; sometimes the bank takes it back."""
    about = shapes.topup(
        topup_id=scene.chance.new_id("tu"),
        amount=scene.chance.between(*AMOUNTS),
        currency=scene.wallets.currency(),
        created=scene.now,
    )
    amount = about["amount"]
    scene.settle(about, category="topup", kind="topup", amount=amount)

    def reverse() -> Generated:
        back = {**about, "status": "reversed"}
        category = "topup_reversal"
        scene.settle(back, category=category, kind=category, amount=-amount)
        return _own(scene, "topup.reversed", back, "topup reversed", follows=True)

    if scene.chance.happens(REVERSED_PER_MILLE):
        scene.later(scene.chance.between(*OUTCOME_TICKS), reverse)
    return _own(scene, "topup.succeeded", about, "topup")


def connect(scene: Scene) -> Generated | None:
    """A seller is paid, or pays the platform's fee; sometimes a part of it goes back."""
    if scene.chance.happens(APPLICATION_FEES_PER_MILLE):
        return _application_fee(scene)
    currency, amount = scene.wallets.currency(), scene.chance.between(*AMOUNTS)
    if scene.stripe.waiting(currency) < amount:
        return None
    about = shapes.transfer(
        transfer_id=scene.chance.new_id("tr"),
        amount=amount,
        currency=currency,
        created=scene.now,
        destination=scene.chance.pick(scene.sellers),
    )
    scene.settle(about, category="transfer", kind="transfer", amount=-amount)
    if scene.chance.happens(REVERSED_PER_MILLE):
        scene.later(scene.chance.between(*OUTCOME_TICKS), lambda: _reversed(scene, about))
    return _own(scene, "transfer.created", about, "transfer")


def _reversed(scene: Scene, about: dict[str, Any]) -> Generated:
    part = about["amount"] // 2
    back = _given_back(scene, "trr", "transfer_reversal", about)
    category, kind = "transfer_reversal", "transfer_refund"
    scene.settle(back, category=category, kind=kind, amount=part)
    sent = {**about, "amount_reversed": part, "reversals": shapes.listed(back)}
    previous = {"amount_reversed": 0, "reversals": shapes.listed()}
    note = "transfer reversed"
    return _own(scene, "transfer.reversed", sent, note, follows=True, previous=previous)


def _given_back(scene: Scene, prefix: str, kind: str, whole: dict[str, Any]) -> dict[str, Any]:
    """Half of a transfer or an application fee."""
    return shapes.part_given_back(
        part_id=scene.chance.new_id(prefix),
        kind=kind,
        whole=whole,
        amount=whole["amount"] // 2,
        created=scene.now,
    )


def _application_fee(scene: Scene) -> Generated:
    about = shapes.application_fee(
        fee_id=scene.chance.new_id("fee"),
        amount=scene.chance.between(*AMOUNTS),
        currency=scene.wallets.currency(),
        created=scene.now,
        account=scene.chance.pick(scene.sellers),
    )
    amount = about["amount"]
    category, kind = "platform_earning", "application_fee"
    scene.settle(about, category=category, kind=kind, amount=amount)
    if scene.chance.happens(REVERSED_PER_MILLE):
        scene.later(scene.chance.between(*OUTCOME_TICKS), lambda: _fee_refunded(scene, about))
    return _own(scene, "application_fee.created", about, "application fee")


def _fee_refunded(scene: Scene, about: dict[str, Any]) -> Generated:
    part = about["amount"] // 2
    back = _given_back(scene, "fr", "fee_refund", about)
    category, kind = "platform_earning_refund", "application_fee_refund"
    scene.settle(back, category=category, kind=kind, amount=-part)
    sent = {**about, "amount_refunded": part, "refunds": shapes.listed(back)}
    previous = {"amount_refunded": 0, "refunds": shapes.listed()}
    note = "application fee refunded"
    return _own(scene, "application_fee.refunded", sent, note, follows=True, previous=previous)


def payout(scene: Scene) -> Generated | None:
    """All that Stripe holds in a currency goes to the bank."""
    currency = scene.wallets.currency()
    amount = scene.stripe.waiting(currency)
    if amount < PAYOUT_LEAST:
        return None
    about = shapes.payout(
        payout_id=scene.chance.new_id("po"), amount=amount, currency=currency, created=scene.now
    )
    scene.settle(about, category="payout", kind="payout", amount=-amount)
    scene.stripe.pay_out(currency, about["id"])
    scene.later(scene.chance.between(*OUTCOME_TICKS), lambda: _payout_ends(scene, about))
    return _own(scene, "payout.created", about, "payout")


def _payout_ends(scene: Scene, about: dict[str, Any]) -> Generated:
    if scene.chance.happens(PAYOUT_CANCELED_PER_MILLE):
        return _payout_returned(scene, about, "canceled", "payout_cancel")
    if scene.chance.happens(PAYOUT_FAILS_PER_MILLE):
        ticks = scene.chance.between(*OUTCOME_TICKS)
        scene.later(ticks, lambda: _payout_returned(scene, about, "failed", "payout_failure"))
    return _own(scene, "payout.paid", {**about, "status": "paid"}, "payout paid", follows=True)


def _payout_returned(scene: Scene, about: dict[str, Any], end: str, kind: str) -> Generated:
    """The money is back on Stripe's balance, and goes out with a later payout."""
    ended = {**about, "status": end}
    amount = about["amount"]
    scene.settle(ended, category="payout_reversal", kind=kind, amount=amount)
    return _own(scene, f"payout.{end}", ended, f"payout {end}", follows=True)
