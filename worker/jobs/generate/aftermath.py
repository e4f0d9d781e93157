"""What follows from charges, and Stripe's payouts: refunds, disputes, and money on its way.

The invariant: what takes money from a wallet takes only what the wallets' model can spare, comes
after its charge under the charge's key, and every fact that moves Stripe's balance has its balance
transaction, so that payouts balance. Imports this package only.
"""

from __future__ import annotations

from typing import Any, Final

from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.generate.scene import PAYMENTS, Generated, Scene
from worker.jobs.generate.stripe_events import settled_by, stripe_event

REFUNDS_PER_MILLE: Final = 90
DISPUTES_PER_MILLE: Final = 25
LATER_TICKS: Final = (150, 700)
"""Well after the charge, so that neither lateness nor another partition brings them before it."""

SOON_TICKS: Final = (2, 40)
OUTCOME_TICKS: Final = (60, 400)
PARTLY_PER_MILLE: Final = 400
REFUND_FAILS_PER_MILLE: Final = 60
LOST_PER_MILLE: Final = 500
DISPUTE_FEES: Final = {"usd": 1500, "eur": 2000, "gbp": 2000, "jpy": 1300}

PAYOUT_LEAST: Final = 10_000
"""Minor units: less stays on Stripe's balance."""
PAYOUT_FAILS_PER_MILLE: Final = 80
PAYOUT_CANCELED_PER_MILLE: Final = 40


def follow(scene: Scene, paid: dict[str, Any], amount: int) -> None:
    """Perhaps have a charge refunded or disputed later. amount: what was captured."""
    ticks = scene.chance.between(*LATER_TICKS)
    if scene.chance.happens(REFUNDS_PER_MILLE):
        scene.later(ticks, lambda: _refund(scene, paid, amount))
    elif scene.chance.happens(DISPUTES_PER_MILLE):
        scene.later(ticks, lambda: _dispute(scene, paid, amount))


def _key(paid: dict[str, Any]) -> str:
    """What keeps all of a charge in order: its customer, else the charge."""
    return str(paid["customer"] or paid["id"])


def _about(scene: Scene, kind: str, about: dict[str, Any], key: str, note: str) -> Generated:
    made = stripe_event(scene, PAYMENTS, kind=kind, about=about, key=key, note=note)
    return made._replace(follows=True)


def _spare(scene: Scene, paid: dict[str, Any], amount: int) -> bool:
    """Take it from the wallet if the model has it; a guest has none to take it from."""
    customer, currency = paid["customer"], paid["currency"]
    if not customer:
        return True
    if scene.wallets.spendable(customer, currency) < amount:
        return False
    scene.wallets.spend(customer, currency, amount)
    return True


def _give(scene: Scene, paid: dict[str, Any], amount: int) -> None:
    if paid["customer"]:
        scene.wallets.receive(paid["customer"], paid["currency"], amount, tick=scene.tick)


def _refund(scene: Scene, paid: dict[str, Any], amount: int) -> Generated | None:
    """Some or all of a charge is given back; charge.refunded tells the same once more."""
    part = amount // 2 if scene.chance.happens(PARTLY_PER_MILLE) else amount
    if not _spare(scene, paid, part):
        return None
    about = shapes.refund(
        refund_id=scene.chance.new_id("re"), charge=paid, amount=part, created=scene.now
    )
    told = {**paid, "amount_refunded": paid["amount_refunded"] + part, "refunded": part == amount}
    again = "ignored: charge refunded"
    soon = scene.chance.between(*SOON_TICKS)
    scene.later(soon, lambda: _about(scene, "charge.refunded", told, _key(paid), again))
    settled_by(scene, about, category="refund", kind="refund", amount=-part)
    if scene.chance.happens(REFUND_FAILS_PER_MILLE):
        ticks = scene.chance.between(*OUTCOME_TICKS)
        scene.later(ticks, lambda: _refund_failed(scene, paid, about))
    return _about(scene, "refund.created", about, _key(paid), "refund")


def _refund_failed(scene: Scene, paid: dict[str, Any], about: dict[str, Any]) -> Generated:
    _give(scene, paid, about["amount"])
    settled_by(
        scene, about, category="refund_failure", kind="refund_failure", amount=about["amount"]
    )
    failed = {**about, "status": "failed"}
    return _about(scene, "refund.failed", failed, _key(paid), "refund failed")


def _dispute(scene: Scene, paid: dict[str, Any], amount: int) -> Generated:
    """The bank takes a charge back; later the dispute is won or lost."""
    about = shapes.dispute(
        dispute_id=scene.chance.new_id("dp"), charge=paid, amount=amount, created=scene.now
    )
    fee = DISPUTE_FEES[paid["currency"]]
    taken = settled_by(scene, about, category="dispute", kind="adjustment", amount=-amount, fee=fee)
    about["balance_transactions"] = [taken]
    ticks = scene.chance.between(*OUTCOME_TICKS)
    scene.later(ticks, lambda: _dispute_ends(scene, paid, about))
    return _about(scene, "charge.dispute.funds_withdrawn", about, _key(paid), "dispute")


def _dispute_ends(scene: Scene, paid: dict[str, Any], about: dict[str, Any]) -> Generated:
    lost = scene.chance.happens(LOST_PER_MILLE) and _spare(scene, paid, about["amount"])
    closed = {**about, "status": "lost" if lost else "won"}
    key = _key(paid)
    if lost:
        return _about(scene, "charge.dispute.closed", closed, key, "dispute lost")
    amount, taken = about["amount"], about["balance_transactions"]
    given = settled_by(scene, about, category="dispute_reversal", kind="adjustment", amount=amount)
    closed["balance_transactions"] = [*taken, given]
    soon = scene.chance.between(*SOON_TICKS)
    note = "ignored: dispute won"
    scene.later(soon, lambda: _about(scene, "charge.dispute.closed", closed, key, note))
    return _about(scene, "charge.dispute.funds_reinstated", closed, key, "dispute won")


def payout(scene: Scene) -> Generated | None:
    """All that Stripe holds in a currency goes to the bank: the sum of what was settled."""
    currency = scene.wallets.currency()
    amount = scene.settled[currency]
    if amount < PAYOUT_LEAST:
        return None
    about = shapes.payout(
        payout_id=scene.chance.new_id("po"), amount=amount, currency=currency, created=scene.now
    )
    settled_by(scene, about, category="payout", kind="payout", amount=-amount, now=True)
    scene.later(scene.chance.between(*OUTCOME_TICKS), lambda: _payout_ends(scene, about))
    return _about(scene, "payout.created", about, about["id"], "payout")


def _payout_ends(scene: Scene, about: dict[str, Any]) -> Generated:
    if scene.chance.happens(PAYOUT_CANCELED_PER_MILLE):
        return _payout_returned(scene, about, "canceled", "payout_cancel")
    if scene.chance.happens(PAYOUT_FAILS_PER_MILLE):
        ticks = scene.chance.between(*OUTCOME_TICKS)
        scene.later(ticks, lambda: _payout_returned(scene, about, "failed", "payout_failure"))
    return _about(scene, "payout.paid", {**about, "status": "paid"}, about["id"], "payout paid")


def _payout_returned(scene: Scene, about: dict[str, Any], end: str, kind: str) -> Generated:
    """The money is back on Stripe's balance, and goes out with a later payout."""
    amount = about["amount"]
    settled_by(scene, about, category="payout_reversal", kind=kind, amount=amount)
    ended = {**about, "status": end}
    return _about(scene, f"payout.{end}", ended, about["id"], f"payout {end}")
