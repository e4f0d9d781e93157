"""Stripe's events of now, and the settlement feed, which keeps Stripe's balance in the scene.

The invariant: `Scene.settled` is the sum of the net of every balance transaction made so far.
Imports this package only.
"""

from __future__ import annotations

from typing import Any, Final

from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.generate.scene import SETTLEMENTS, Generated, Role, Scene

FEED: Final = "balance_transaction.created"
FEED_TICKS: Final = (5, 120)


def stripe_event(  # noqa: PLR0913 - one argument per part
    scene: Scene, role: Role, *, kind: str, about: dict[str, Any], key: str, note: str
) -> Generated:
    """A Stripe event of now."""
    event = shapes.envelope(
        event_id=scene.chance.new_id("evt"), kind=kind, created=scene.now, about=about
    )
    return Generated(role, key.encode(), event, note)


def settlement(scene: Scene, settled: dict[str, Any], note: str) -> Generated:
    """A balance transaction from the feed, keyed by its id."""
    scene.settled[settled["currency"]] += settled["net"]
    return feed(scene, settled, note)


def feed(scene: Scene, settled: dict[str, Any], note: str) -> Generated:
    """A balance transaction that Stripe's balance has seen already."""
    return stripe_event(scene, SETTLEMENTS, kind=FEED, about=settled, key=settled["id"], note=note)


def settled_by(  # noqa: PLR0913 - one argument per part
    scene: Scene,
    about: dict[str, Any],
    *,
    category: str,
    kind: str,
    amount: int,
    fee: int = 0,
    now: bool = False,
) -> dict[str, Any]:
    """Have the feed tell later what an object did to Stripe's balance; returns what it will tell.

    amount: signed minor units. now: Stripe's balance moves at once, and not when the feed tells it.
    """
    currency = about["currency"]
    details = [shapes.fee_detail(kind="stripe_fee", amount=fee, currency=currency)] if fee else []
    settled = shapes.balance_transaction(
        txn_id=scene.chance.new_id("txn"),
        category=category,
        kind=kind,
        amount=amount,
        fee_details=details,
        currency=currency,
        created=scene.now,
        source=about["id"],
    )
    note = f"{category.replace('_', ' ')} settled" if fee else f"empty: {category} settled"
    if now:
        scene.settled[currency] += settled["net"]
    tell = feed if now else settlement
    scene.later(scene.chance.between(*FEED_TICKS), lambda: tell(scene, settled, note))
    return settled
