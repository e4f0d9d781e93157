"""The packaged rulebook and the lock beside it: what past events became, they stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from worker.core.expressions.compiler import compile_expression
from worker.core.rulebook import LegRule, OriginTransaction, Rulebook, Transaction
from worker.rulebooks.load import PACKAGED, load
from worker.rulebooks.lock import Lock, changes, lock_path, read_lock

BOOK = load(PACKAGED)
RELOCK = (
    "write the lock anew, with who approved it: "
    "ledger-worker check worker/rulebooks/stripe-wallets.yaml --lock --approver NAME"
)


@pytest.fixture(name="lock", scope="module")
def _lock() -> Lock:
    """What is shipped beside the packaged rulebook."""
    lock = read_lock(lock_path(PACKAGED))
    assert lock is not None
    return lock


def test_the_packaged_rulebook_books_the_past_as_locked(lock: Lock) -> None:
    """No change alters ids or money of past events, and someone approved what is in force."""
    assert changes(BOOK, lock) == []
    assert lock.digest == BOOK.digest, RELOCK
    assert lock.approver


def test_every_change_of_the_past_is_refused(lock: Lock) -> None:
    """Whatever rule, leg, account or ledger is changed, renamed, moved or taken away."""
    assert changes(replace(BOOK, digest="other"), lock) == []
    passed = [what for what, book in changed() if not changes(book, lock)]
    assert passed == []


def test_successors_may_be_added_to_origins(lock: Lock) -> None:
    """A refund may also find the chains of a later rule for charges, after those of the first."""
    place = [rule.name for rule in BOOK.transactions].index("refund")
    refund = BOOK.transactions[place]
    assert refund.origin
    first, *rest = refund.origin.sources
    assert told(lock, place, (first, *rest, replace(first, transaction="charge_2"))) == []
    behind = "its origin was charge: others may only be added behind"
    sources = (replace(first, transaction="charge_2"), first, *rest)
    assert told(lock, place, sources) == [f"transaction refund: {behind}"]


def told(lock: Lock, place: int, sources: tuple[OriginTransaction, ...]) -> list[str]:
    """What the lock says of a rule with these sources of its origin."""
    rule = BOOK.transactions[place]
    assert rule.origin
    instead = replace(rule, origin=replace(rule.origin, sources=sources))
    rules = (*BOOK.transactions[:place], instead, *BOOK.transactions[place + 1 :])
    found = changes(replace(BOOK, transactions=rules, digest="other"), lock)
    return [each.message for each in found]


def changed() -> Iterator[tuple[str, Rulebook]]:
    """The packaged rulebook with one thing otherwise."""
    for name, ledger in BOOK.ledgers.items():
        ledgers = {**BOOK.ledgers, name: ledger._replace(scale=ledger.scale + 1)}
        yield f"ledger {name}", replace(BOOK, ledgers=ledgers, digest="other")
    for name, account in BOOK.accounts.items():
        accounts = {**BOOK.accounts, name: replace(account, code=account.code + 1)}
        yield f"account {name}", replace(BOOK, accounts=accounts, digest="other")
    for place, rule in enumerate(BOOK.transactions):
        for what, instead in changed_rules(rule):
            rules = (*BOOK.transactions[:place], *instead, *BOOK.transactions[place + 1 :])
            yield f"{rule.name}: {what}", replace(BOOK, transactions=rules, digest="other")


def changed_rules(rule: Transaction) -> Iterator[tuple[str, tuple[Transaction, ...]]]:
    """What a rule may be changed to."""
    yield "gone", ()
    yield "renamed", (replace(rule, name=f"new_{rule.name}"),)
    yield "when", (replace(rule, when=compile_expression("data.object.x == 1", condition=True)),)
    yield "key", (replace(rule, idempotency_key=compile_expression("data.object.x")),)
    yield "on", (replace(rule, on=("other.type",)),)
    yield "ends at once", (replace(rule, end=1_700_000_000),)
    for number, leg in enumerate(rule.legs):
        for what, instead in changed_legs(leg):
            legs = (*rule.legs[:number], *instead, *rule.legs[number + 1 :])
            yield f"{leg.name} {what}", (replace(rule, legs=legs),)


def changed_legs(leg: LegRule) -> Iterator[tuple[str, tuple[LegRule, ...]]]:
    """What a leg may be changed to."""
    yield "gone", ()
    yield "renamed", (replace(leg, name=f"new_{leg.name}"),)
    yield "amount", (replace(leg, amount=compile_expression("data.object.x")),)
    yield "code", (replace(leg, code=leg.code + 1),)
    yield "sides", (replace(leg, debit=leg.credit, credit=leg.debit, when=None, signed=True),)
