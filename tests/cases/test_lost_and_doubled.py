"""Random lives with lost and doubled webhooks: what is open on unsettled is what was lost."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.told import Told, decoded
from tests.unit.stripe_life import Told as Fact
from tests.unit.stripe_life import live

SIGNS = {
    # what a payment event credits to stripe_unsettled's other side, by type
    "charge.succeeded": 1, "topup.succeeded": 1, "topup.reversed": -1, "application_fee.created": 1,
    "payout.created": -1, "payout.failed": 1, "payout.canceled": 1, "transfer.created": -1,
}  # fmt: skip
"""Types of which losing one leaves exactly its amount open, and nothing else waits for it."""


def bodies(facts: list[Fact]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"evt_{number}", "object": "event", "type": kind, "created": 1_700_000_000,
            "data": {"object": about, **more},
        }
        for number, (kind, about, more) in enumerate(facts)
    ]  # fmt: skip


def may_be_lost(fact: Fact, facts: list[Fact]) -> bool:
    """Whether this is the one event that tells its money, and no other fact is about its object."""
    kind, about, _ = fact
    if kind not in SIGNS or about["currency"] == "eur" or not about.get("captured", True):
        return False
    others = [other for other in facts if other is not fact and _names(other, about["id"])]
    return not others


def _names(fact: Fact, number: str) -> bool:
    kind, about, _ = fact
    return not kind.startswith("balance_transaction") and number in {
        about.get("id"), about.get("charge")
    }  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_what_is_open_is_what_was_lost(seed: int) -> None:
    """Told in any order, some twice, some never: the balance of unsettled is the lost webhooks'."""
    rng = Random(seed)
    facts = [fact for fact in live(seed, facts=12).told if not fact[0].startswith("wallet.")]
    lost = [fact for fact in facts if may_be_lost(fact, facts) and rng.random() < 0.5]
    open_items: Counter[str] = Counter()
    for kind, about, _ in lost:
        open_items[f"stripe_unsettled {about['currency']}"] -= SIGNS[kind] * about["amount"]
    order = bodies([fact for fact in facts if fact not in lost])
    order += [body | {"id": f"{body['id']}_again"} for body in rng.sample(order, len(order) // 3)]
    rng.shuffle(order)
    told = Told().tell_all(decoded(order))
    assert not told.dead
    assert not told.waiting
    left = {name: held for name, held in told.totals().items() if name.startswith("stripe_unse")}
    assert left == {name: held for name, held in open_items.items() if held}


def open_and_settled(events: list[Any]) -> dict[str, int]:
    """What is open, and what Stripe holds, by currency. Clearing is right after each event."""
    told = Told().tell_all(events)
    assert not told.waiting
    assert not told.rejected
    kept = ("stripe_unsettled", "stripe_clearing", "stripe_reserve", "fx_liquidity")
    return {name: held for name, held in told.totals().items() if name.startswith(kept)}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_whatever_is_lost_is_open_in_every_order(seed: int) -> None:
    """Webhooks of every kind are lost and doubled: what is left open depends on no order."""
    rng = Random(seed)
    facts = [fact for fact in live(seed, facts=12).told if not fact[0].startswith("wallet.")]
    facts = [fact for fact in facts if rng.random() < 0.8 or fact[0].startswith("balance_")]
    order = bodies(facts)
    as_told = open_and_settled(decoded(order))
    for _ in range(3):
        doubled = [
            body | {"id": f"{body['id']}_again"} for body in rng.sample(order, len(order) // 3)
        ]
        shuffled = [*order, *doubled]
        rng.shuffle(shuffled)
        assert open_and_settled(decoded(shuffled)) == as_told
