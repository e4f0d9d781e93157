"""Any mix of webhooks, healed events and history, in any order, ends in the webhooks' ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.told import Told as Books
from tests.cases.told import decoded
from tests.servers.stripe import LISTS, Moment, StripeAccount, life
from worker.jobs.feed.facts import Origin, list_events, payment_event, settlement_event

ORIGIN = Origin("2025-09-30.clover", livemode=False)
EXPAND = {"data.source"}

Body = Mapping[str, Any]


def expanded(account: StripeAccount) -> list[dict[str, Any]]:
    """Every balance transaction, oldest first, its source expanded as it is now."""
    page = account.page("balance_transactions", {"limit": "100"}, EXPAND)
    found = list(page["data"])
    while page["has_more"]:
        query = {"limit": "100", "starting_after": page["data"][-1]["id"]}
        page = account.page("balance_transactions", query, EXPAND)
        found += page["data"]
    return [_with_transfer(account, settled) for settled in found[::-1]]


def _with_transfer(account: StripeAccount, settled: dict[str, Any]) -> dict[str, Any]:
    source = settled["source"] or {}
    if source.get("object") != "transfer_reversal":
        return settled
    whole = account.objects[account.wholes[source["id"]]]
    return {**settled, "source": {**source, "transfer": whole}}


def history(account: StripeAccount) -> list[Body]:
    """What a backfill writes, the settlements left out."""
    wanted = set(LISTS.values()) - {"balance_transaction"}
    return [
        event
        for about in account.objects.values()
        if about["object"] in wanted
        for event in list_events(about, ORIGIN)
    ]


def healed(account: StripeAccount) -> list[Body]:
    events = (payment_event(settled, ORIGIN) for settled in expanded(account))
    return [event for event in events if event is not None]


def books(bodies: Iterable[Body]) -> Books:
    return Books().tell_all(decoded([dict(body) for body in bodies]))


def settlements(account: StripeAccount) -> list[Body]:
    return [settlement_event(settled, ORIGIN) for settled in expanded(account)]


def lived(events: int, seed: int) -> tuple[StripeAccount, list[Body], list[Moment]]:
    moments = life(events, seed)
    account = StripeAccount()
    return account, list(account.happen(moments)), moments


@pytest.mark.parametrize("seed", range(4))
def test_history_alone_is_the_webhooks_ledger(seed: int) -> None:
    """A backfill of every list tells what the webhooks told, account by account."""
    account, webhooks, _ = lived(400, seed)
    settled = settlements(account)
    told = books([*webhooks, *settled])
    assert told.dead == []
    assert books([*history(account), *settled]).balances() == told.balances()


@settings(max_examples=25)
@given(seed=st.integers(0, 1_000_000), rng=st.randoms(use_true_random=False))
def test_any_mix_in_any_order(seed: int, rng: Random) -> None:
    """Some webhooks lost, some doubled, healed early or late, and history among it."""
    account, webhooks, _ = lived(120, seed)
    settled = settlements(account)
    told = books([*webhooks, *settled])
    kept = [webhook for webhook in webhooks if rng.random() > 0.2]
    again = [webhook for webhook in webhooks if rng.random() < 0.1]
    mix = [*kept, *again, *settled, *history(account), *healed(account)]
    rng.shuffle(mix)
    assert books(mix).balances() == told.balances()
    assert books(mix).dead == []


@settings(max_examples=15)
@given(seed=st.integers(0, 1_000_000), rng=st.randoms(use_true_random=False))
def test_what_a_lost_webhook_leaves_open(seed: int, rng: Random) -> None:
    """Open before: exactly what was lost. After: nothing but what webhooks alone leave open."""
    account, webhooks, _ = lived(120, seed)
    settled = settlements(account)
    told = books([*webhooks, *settled])
    kept = [webhook for webhook in webhooks if rng.random() > 0.3]
    lossy = [*kept, *settled]
    mended = books([*lossy, *healed(account)])
    assert unsettled(mended) == unsettled(told)
    assert clearing(books(lossy)) == clearing(told) == clearing(mended)


def unsettled(told: Books) -> dict[str, int]:
    found = told.totals()
    return {name: to for name, to in found.items() if name.startswith("stripe_unsettled ")}


def clearing(told: Books) -> dict[str, int]:
    found = told.totals()
    return {name: to for name, to in found.items() if name.startswith("stripe_clearing ")}
