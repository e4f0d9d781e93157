"""Whatever happens at Stripe, in any order and with any duplicates: the books agree with Stripe."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.books import Books
from tests.unit.stripe_life import Life, live
from worker.commands.explain import explain
from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.matching import carries
from worker.rulebooks.load import PACKAGED, load

RULEBOOK = load(PACKAGED)
ROUNDS_MAX = 12
"""More than the longest line of predecessors: charge, refund, its failure."""

ALLOWED = {"posted", "redelivered", "ignored", "nothing_to_post", "rejected", "predecessor_missing"}


def booked(life: Life, rng: Random) -> Books:
    """The books after all of it, in a random order, in random batches, much of it twice.

    What lacks its predecessor comes again later, as parked events do.
    """
    books = Books(RULEBOOK, parked_max=1)
    events = [books.event(kind, about, data=more) for kind, about, more in life.told]
    waiting = [*events, *rng.choices(events, k=len(events) // 2)]
    rng.shuffle(waiting)
    for _ in range(ROUNDS_MAX):
        waiting = _round(books, waiting, rng)
        if not waiting:
            return books
    raise AssertionError(f"still without predecessor: {[event.type for event in waiting]}")


def _round(books: Books, events: list[Event], rng: Random) -> list[Event]:
    left: list[Event] = []
    while events:
        size = rng.randint(1, 40)
        batch, events = events[:size], events[size:]
        for event, kind in zip(batch, books.kinds(*batch), strict=True):
            assert kind in ALLOWED, (event.type, kind)
            assert kind != "rejected" or event.type.startswith("wallet."), event.type
            if kind == "predecessor_missing":
                left.append(event)
    return left


def totals(books: Books) -> Counter[tuple[str, str]]:
    """Balances by account, keys added up, and currency."""
    found: Counter[tuple[str, str]] = Counter()
    for name, balance in books.balances().items():
        account, currency = name.rsplit(" ", 1)
        found[account.split("[")[0], currency] += balance
    return found


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_the_books_agree_with_stripe(seed: int) -> None:
    """Clearing and reserve are Stripe's balance, transit is empty, no wallet is below zero.

    Every dispute here ends, so nothing is held for one. Costs, exchanges and the bank are what
    Stripe's side says.
    """
    life = live(seed, facts=25)
    books = booked(life, Random(seed))
    held = totals(books)
    for currency in ("usd", "jpy", "kwd", "eur"):
        cleared = held["stripe_clearing", currency]
        assert cleared == life.net[currency], currency
        assert held["stripe_reserve", currency] == life.reserved[currency], currency
        assert held["shortfall_control", currency] == 0
        assert held["disputes_held", currency] == 0, currency
        assert held["stripe_unsettled", currency] == 0, currency
    for place, amount in life.held.items():
        assert held[place] == amount, place
    assert [name for name in books.balances() if name.startswith("payouts_in_transit")] == []
    for account in books.accounts():
        if books.translator.name_account(account).name == "customer_wallet":
            assert account.debits_posted <= account.credits_posted


@pytest.mark.parametrize("seed", range(3))
def test_a_second_telling_changes_nothing(seed: int) -> None:
    """Everything told once more adds no transfer."""
    life = live(seed, facts=25)
    books = booked(life, Random(seed))
    before = books.transfers()
    again = [books.event(kind, about, data=more) for kind, about, more in life.told]
    facts = [event for event in again if event.type.split(".")[0] not in UNKEYED]
    books.kinds(*facts)
    assert books.transfers() == before


UNKEYED = {"wallet"}
"""Types that are told by their event's id alone: new ids are new money."""


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_every_event_means_the_same_twice(seed: int) -> None:
    """The same event explained twice, on two machines, gives the same chain: ids, legs, amounts."""
    books, again = Books(RULEBOOK), Books(RULEBOOK)
    posting = 0
    for kind, about, more in live(seed, facts=20).told:
        event = books.event(kind, about, data=more)
        (role,) = (name for name, topic in RULEBOOK.topics.items() if carries(topic, event.type))
        first, second = (books.translator.translate(event, role=role) for _ in range(2))
        assert type(first) is type(second)
        if isinstance(first, Chain) and isinstance(second, Chain):
            assert (first.key, first.legs) == (second.key, second.legs)
        told = [explain(each.translator, event, role=role) for each in (books, again)]
        assert told[0] == told[1]
        posting += isinstance(first, Chain)
    assert posting > 5
