"""Lost webhooks of what no object of Stripe's dates: read from its list of events, and healed."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cases.told import Balances, decoded
from tests.cases.told import Told as Books
from tests.jobs.feed.test_facts import books, settlements
from tests.jobs.feed.test_settlements import HOUR, World, world
from worker.jobs.feed.facts import Origin, list_events
from worker.jobs.generate import stripe_objects as shapes

BEGAN = 1_767_225_600
DAY = 24 * HOUR
ORIGIN = Origin("2025-09-30.clover", livemode=False)

Body = dict[str, Any]


def event(name: str, kind: str, second: int, about: Body, **previous: int) -> Body:
    told = shapes.envelope(event_id=name, kind=kind, created=second, about=about)
    if previous:
        told["data"]["previous_attributes"] = previous
    return told


def settled(name: str, category: str, amount: int, second: int, source: Body) -> Body:
    return shapes.balance_transaction(
        txn_id=name, category=category, kind=category, amount=amount, fees=[], currency="usd",
        created=second, source=source["id"],
    ) | {"source": source}  # fmt: skip


def charge(captured: int) -> Body:
    about = shapes.charge(
        charge_id="ch_1", payment_intent="pi_1", customer="cus_1", amount=10_000,
        amount_captured=captured, currency="usd", created=BEGAN,
    )  # fmt: skip
    return about | {"amount_refunded": 0}


def in_parts() -> tuple[list[Body], list[Body]]:
    """A charge that is captured twice, and its balance transactions."""
    whole = charge(10_000)
    return [
        event("evt_1", "charge.succeeded", BEGAN, charge(0)),
        event("evt_2", "charge.captured", BEGAN + 60, charge(4_000)),
        event("evt_3", "charge.captured", BEGAN + 120, whole, amount_captured=4_000),
    ], [
        settled("txn_1", "charge", 4_000, BEGAN + 60, whole),
        settled("txn_2", "charge", 6_000, BEGAN + 120, whole),
    ]


def canceled() -> tuple[list[Body], list[Body]]:
    """A refund that is canceled before its money moves: no balance transaction tells of it."""
    whole = charge(10_000)
    refund = shapes.refund(refund_id="re_1", charge=whole, amount=900, created=BEGAN + 60)
    waiting, ended = ({**refund, "status": status} for status in ("requires_action", "canceled"))
    return [
        event("evt_1", "charge.succeeded", BEGAN, whole),
        event("evt_2", "refund.created", BEGAN + 60, waiting),
        event("evt_3", "refund.updated", BEGAN + 120, ended),
    ], [settled("txn_1", "charge", 10_000, BEGAN, whole)]


def cash() -> tuple[list[Body], list[Body]]:
    """A bank transfer into a customer's cash balance."""
    moved = {"id": "ccsbtxn_1", "object": "customer_cash_balance_transaction", "currency": "usd",
             "created": BEGAN, "customer": "cus_1", "net_amount": 5_000, "ending_balance": 5_000,
             "type": "funded"}  # fmt: skip
    told = event("evt_1", "customer_cash_balance_transaction.created", BEGAN, moved)
    return [told], [settled("txn_1", "unreconciled_customer_funds", 5_000, BEGAN + 5, moved)]


STORIES = {"captured in parts": in_parts, "refund canceled": canceled, "customer's cash": cash}


def happened(stripe: World, webhooks: Iterable[Body], settlements: Iterable[Body]) -> None:
    for webhook in webhooks:
        stripe.account.tell(webhook)
    for each in settlements:
        stripe.account._settle(each)


def ledger(stripe: World) -> Balances:
    told = Books().tell_all(
        decoded([*stripe.topics.bodies("pay"), *stripe.topics.bodies("settle")])
    )
    assert told.dead == []
    return money(told.balances())


def money(balances: Balances) -> Balances:
    """Without the counters of what was told so far: they depend on its order, and mirror others."""
    return {key: to for key, to in balances.items() if key[0] != "told_so_far"}


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("seed", range(6))
def test_a_lost_webhook_is_healed_from_stripes_list_of_events(name: str, seed: int) -> None:
    """Whichever of its webhooks is lost, or all of them: the ledger is as if none had been."""
    rng = Random(seed)
    with world(0) as stripe:
        webhooks, moved = STORIES[name]()
        happened(stripe, webhooks, moved)
        for webhook in webhooks:
            if seed and rng.random() < 0.5:
                stripe.deliver(webhook)
        stripe.now = BEGAN + HOUR
        stripe.look()
        expected = books([*webhooks, *settlements(stripe.account)])
        assert ledger(stripe) == money(expected.balances())
        assert not any("stripe_unsettled" in key for key in ledger(stripe))


@pytest.mark.parametrize("name", STORIES)
def test_what_has_come_is_not_written_again(name: str) -> None:
    """Neither what a webhook brought, nor what was healed, also by a process that is new."""
    with world(0) as stripe:
        webhooks, moved = STORIES[name]()
        happened(stripe, webhooks, moved)
        for webhook in webhooks:
            stripe.deliver(webhook)
        stripe.now = BEGAN + HOUR
        stripe.look()
        assert stripe.healed() == []
    with world(0) as stripe:
        happened(stripe, webhooks, moved)
        stripe.now = BEGAN + HOUR
        stripe.look()
        healed = stripe.healed()
        assert healed
        for _ in range(3):
            stripe.now += 12 * HOUR  # the list of events is quiet, balance transactions go on
            number = int(stripe.now)
            stripe.account._settle(settled(f"txn_{number}", "fee", -1, number, {"id": None}))
            stripe.look()
        assert stripe.healed() == healed


def test_events_of_a_long_outage_are_read_after_it() -> None:
    """The feed was away for days: what was told meanwhile is read from where it stopped."""
    with world(0) as stripe:
        stripe.now = BEGAN
        stripe.account._settle(settled("txn_0", "fee", -1, BEGAN, {"id": None}))
        stripe.look()
        webhooks, moved = canceled()
        happened(stripe, webhooks, moved)
        stripe.now = BEGAN + 20 * DAY
        stripe.account._settle(settled("txn_9", "fee", -1, int(stripe.now) - 60, {"id": None}))
        stripe.look()
        assert "evt_3" in stripe.healed()


def test_events_beyond_stripes_thirty_days_are_not_asked_for() -> None:
    """The list goes back thirty days: no request reaches farther."""
    with world(0) as stripe:
        stripe.now = BEGAN + 400 * DAY
        stripe.look()
        queries = [path for path in stripe.server.asked if path.startswith("/v1/events?")]
        assert queries
        since = {int(parse_qs(urlsplit(path).query)["created[gte]"][0]) for path in queries}
        assert min(since) >= stripe.now - 30 * DAY


def test_a_customers_cash_is_in_the_history() -> None:
    """No list has it but each customer's: a backfill reads it from the balance transaction."""
    webhooks, (moved,) = cash()
    told = [dict(body) for body in list_events(moved, ORIGIN)]
    assert books(told).balances() == books([*webhooks, told[-1]]).balances()


def test_an_event_of_a_connected_account_names_it() -> None:
    """As its webhook does, so that it enters that account's books only."""
    named = Origin("", account="acct_1").named({"id": "evt_1"})
    assert named == {"id": "evt_1", "account": "acct_1"}
    assert ORIGIN.named({"id": "evt_1"}) == {"id": "evt_1"}
