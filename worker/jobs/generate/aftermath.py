"""What follows charges: refunds, disputes, and bank debits that fail after they succeeded.

Each comes after its charge under the charge's key, has its balance transaction, and takes from a
wallet only what the wallets' model can spare.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.generate.scene import PAYMENTS, Generated, Scene

REFUNDS_PER_MILLE: Final = 90
DISPUTES_PER_MILLE: Final = 25
FAILURES_PER_MILLE: Final = 10
LATER_TICKS: Final = (150, 700)
"""Well after the charge, so that neither lateness nor another partition brings them before it."""

SOON_TICKS: Final = (2, 40)
OUTCOME_TICKS: Final = (60, 400)
PARTLY_PER_MILLE: Final = 400
REFUND_FAILS_PER_MILLE: Final = 60
LOST_PER_MILLE: Final = 500
DISPUTE_FEES: Final = {"usd": 1500, "eur": 2000, "gbp": 2000, "jpy": 1300}

ToldBy = Literal["both", "refund", "charge"]
TOLD_BY: Final[tuple[tuple[ToldBy, int], ...]] = (("both", 60), ("refund", 20), ("charge", 20))
"""Which of refund.created and charge.refunded an account gets: old API versions have the latter."""


def follow(scene: Scene, paid: dict[str, Any], amount: int) -> None:
    """Perhaps have a charge refunded, disputed or failed later. amount: what was captured."""
    ticks = scene.chance.between(*LATER_TICKS)
    if scene.chance.happens(REFUNDS_PER_MILLE):
        scene.later(ticks, lambda: _refund(scene, paid, amount))
    elif scene.chance.happens(DISPUTES_PER_MILLE):
        scene.later(ticks, lambda: _dispute(scene, paid, amount))
    elif scene.chance.happens(FAILURES_PER_MILLE) and amount == paid["amount"]:
        scene.later(ticks, lambda: _fails(scene, paid, amount))


def _about(  # noqa: PLR0913 - one argument per part
    scene: Scene,
    kind: str,
    about: dict[str, Any],
    paid: dict[str, Any],
    note: str,
    *,
    previous: dict[str, Any] | None = None,
    version: str = shapes.API_VERSION,
) -> Generated:
    """An event about a charge: its customer, else the charge, keeps all of it in order."""
    key = str(paid["customer"] or paid["id"])
    made = scene.event(
        PAYMENTS, kind, about, key=key, note=note, previous=previous, version=version
    )
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


def _refund(scene: Scene, paid: dict[str, Any], amount: int) -> Generated | None:
    """Some or all of a charge is given back, in the events of the account's API version."""
    part = amount // 2 if scene.chance.happens(PARTLY_PER_MILLE) else amount
    if not _spare(scene, paid, part):
        return None
    about = shapes.refund(
        refund_id=scene.chance.new_id("re"), charge=paid, amount=part, created=scene.now
    )
    scene.settle(about, category="refund", kind="refund", amount=-part)
    told_by = scene.chance.pick_weighted(TOLD_BY)
    if told_by == "charge":
        return _refunded(scene, paid, about, amount, old=True)
    if told_by == "both":
        soon = scene.chance.between(*SOON_TICKS)
        scene.later(soon, lambda: _refunded(scene, paid, about, amount, old=False))
    if scene.chance.happens(REFUND_FAILS_PER_MILLE):
        ticks = scene.chance.between(*OUTCOME_TICKS)
        scene.later(ticks, lambda: _refund_failed(scene, paid, about))
    return _about(scene, "refund.created", about, paid, "refund")


def _refunded(
    scene: Scene, paid: dict[str, Any], about: dict[str, Any], amount: int, *, old: bool
) -> Generated:
    """The charge as it is after a refund; old API versions list the refund in it."""
    before = paid["amount_refunded"]
    whole = about["amount"] == amount
    sent = {**paid, "amount_refunded": before + about["amount"], "refunded": whole}
    previous: dict[str, Any] = {"amount_refunded": before}
    if not old:
        again = "ignored: charge refunded"
        return _about(scene, "charge.refunded", sent, paid, again, previous=previous)
    sent["refunds"] = shapes.listed(about)
    previous["refunds"] = shapes.listed()
    note, version = "refund of an old version", shapes.OLD_API_VERSION
    return _about(scene, "charge.refunded", sent, paid, note, previous=previous, version=version)


def _refund_failed(scene: Scene, paid: dict[str, Any], about: dict[str, Any]) -> Generated:
    amount = about["amount"]
    if paid["customer"]:
        scene.wallets.receive(paid["customer"], paid["currency"], amount, tick=scene.tick)
    failed = {**about, "status": "failed"}
    scene.settle(failed, category="refund_failure", kind="refund_failure", amount=amount)
    return _about(scene, "refund.failed", failed, paid, "refund failed")


def _fails(scene: Scene, paid: dict[str, Any], amount: int) -> Generated | None:
    """A bank debit comes back after it succeeded."""
    if not _spare(scene, paid, amount):
        return None
    kind = "payment_failure_refund"
    settled = scene.settle(paid, category="charge_failure", kind=kind, amount=-amount)
    failed = shapes.failed(paid) | {"failure_balance_transaction": settled["id"]}
    return _about(scene, "charge.failed", failed, paid, "charge failed")


def _dispute(scene: Scene, paid: dict[str, Any], amount: int) -> Generated:
    """The bank takes a charge back; later the dispute is won or lost."""
    about = shapes.dispute(
        dispute_id=scene.chance.new_id("dp"), charge=paid, amount=amount, created=scene.now
    )
    fees = [("stripe_fee", DISPUTE_FEES[paid["currency"]])]
    taken = scene.settle(about, category="dispute", kind="adjustment", amount=-amount, fees=fees)
    about["balance_transactions"] = [taken]
    ticks = scene.chance.between(*OUTCOME_TICKS)
    scene.later(ticks, lambda: _dispute_ends(scene, paid, about))
    return _about(scene, "charge.dispute.funds_withdrawn", about, paid, "dispute")


def _dispute_ends(scene: Scene, paid: dict[str, Any], about: dict[str, Any]) -> Generated:
    lost = scene.chance.happens(LOST_PER_MILLE) and _spare(scene, paid, about["amount"])
    closed = {**about, "status": "lost" if lost else "won"}
    if lost:
        return _about(scene, "charge.dispute.closed", closed, paid, "dispute lost")
    amount, category = about["amount"], "dispute_reversal"
    given = scene.settle(closed, category=category, kind="adjustment", amount=amount)
    closed["balance_transactions"] = [*about["balance_transactions"], given]
    soon, note = scene.chance.between(*SOON_TICKS), "ignored: dispute won"
    scene.later(soon, lambda: _about(scene, "charge.dispute.closed", closed, paid, note))
    return _about(scene, "charge.dispute.funds_reinstated", closed, paid, "dispute won")
