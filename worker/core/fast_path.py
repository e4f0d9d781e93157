"""Chains of plain rules, made in one flat loop: nearly every event comes through here.

The invariant: a chain made here is the very chain that the translator's general way makes; a test
compares them over all kinds of traffic. What is not in order is not judged here: `NotPlain` sends
the event the general way, which says precisely what is wrong. Imports the core only.

A rule is plain when it waits for nothing, requires nothing and moves no memo account, and its legs
have no loops, no helping parts, no accounts of an origin and no reservation to settle. The
benchmarks guard this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from worker.core.account_ids import AccountRefs
from worker.core.chain import Chain, Leg, LegSpec, new
from worker.core.compiled_rules import (
    CompiledAccount,
    CompiledExpression,
    CompiledLeg,
    CompiledTransaction,
)
from worker.core.event import CREATED_MAX, Event
from worker.core.expressions.compiler import Evaluate
from worker.core.expressions.operators import Value
from worker.core.keys import idempotency_of
from worker.core.money import AMOUNT_LIMIT, Currency
from worker.core.rulebook import DeclaredAccount

_LEG_HASH: Final = blake2b(digest_size=10)
_TAG_HASH: Final = blake2b(digest_size=16)
"""A copy of a hash costs less than a new one. What is hashed: `transfer_id` and `fact_tag`."""


class NotPlain(Exception):
    """The event is not plain sailing: translate it the general way."""


class PlainLeg(NamedTuple):
    """One plain transfer block. Its keys are None for an account without `per`."""

    spec: LegSpec
    suffix: bytes
    when: Evaluate | None
    currency: CompiledExpression | None
    amount: CompiledExpression
    signed: bool
    debit_key: CompiledExpression | None
    debit: DeclaredAccount
    credit_key: CompiledExpression | None
    credit: DeclaredAccount


def plain_legs(plan: CompiledTransaction) -> tuple[PlainLeg, ...]:
    """The legs of a rule that is plain; none when it is not."""
    legs = tuple(_plain_leg(leg) for leg in plan.legs)
    found = tuple(leg for leg in legs if leg is not None)
    checked = bool(plan.require or plan.memo)
    return found if len(found) == len(legs) and not plan.waits and not checked else ()


def _plain_leg(leg: CompiledLeg) -> PlainLeg | None:
    debit, credit = leg.debit, leg.credit
    if not isinstance(debit, CompiledAccount) or not isinstance(credit, CompiledAccount):
        return None
    if leg.amount is None or leg.loops or leg.parts or leg.keeps_zero:
        return None
    return PlainLeg(
        spec=leg.spec,
        suffix=leg.spec.suffix,
        when=leg.when,
        currency=leg.currency,
        amount=leg.amount,
        signed=leg.signed,
        debit_key=debit.key,
        debit=debit.account,
        credit_key=credit.key,
        credit=credit.account,
    )


def _value(reading: CompiledExpression, body: Value) -> Value:
    """What a reading of the fast plans gives; most are plain paths, and take no call."""
    if not reading.path:
        return reading.run(body)
    found = body
    for name in reading.path:
        found = found[name]
    return found


class PlainChains:
    """Makes the chains of plain rules; `accounts` and `ledgers` are the translator's own."""

    def __init__(self, accounts: AccountRefs, ledgers: Mapping[str, Currency]) -> None:
        self._accounts = accounts
        self._ledgers = ledgers

    def chain(
        self, plan: CompiledTransaction, legs: tuple[PlainLeg, ...], event: Event, body: Value
    ) -> Chain:
        """The chain at attempt 0; without legs when every one of them fell away.

        body: the event's, with what the rule's `let:` names.

        Raises:
            Otherwise, or whatever an expression or a check raises: the event is not in order.
        """
        ledgers, accounts = self._ledgers, self._accounts
        known, ref = accounts.known, accounts.ref
        key = f"event/{event.id}" if plan.key is None else idempotency_of(plan, body)
        created = event.created if plan.time is None else _value(plan.time, body)
        if type(created) is not int or not 0 <= created <= CREATED_MAX:
            raise NotPlain
        time = (created * 1000).to_bytes(6, "little")
        encoded = key.encode()
        key_field = len(encoded).to_bytes(4, "little") + encoded
        shared = None if plan.currency is None else ledgers[_value(plan.currency, body)]
        made = []
        for leg in legs:
            spec, suffix, when, currency_of, amount_of, signed, first, debit, second, credit = leg
            if when is not None and not when(body):
                continue
            currency = shared if currency_of is None else ledgers[_value(currency_of, body)]
            amount = _value(amount_of, body)
            if currency is None or type(amount) is not int:
                raise NotPlain
            if not 0 < amount <= AMOUNT_LIMIT:
                if not amount:
                    continue
                if not signed or amount > 0 or amount < -AMOUNT_LIMIT:
                    raise NotPlain
            place = (debit.code, currency.ledger, "" if first is None else _value(first, body))
            debited = known.get(place) or ref(debit, place[1], place[2])
            place = (credit.code, currency.ledger, "" if second is None else _value(second, body))
            credited = known.get(place) or ref(credit, place[1], place[2])
            if debited.id == credited.id:
                raise NotPlain
            if amount < 0:
                debited, credited, amount = credited, debited, -amount
            hashing = _LEG_HASH.copy()
            hashing.update(key_field + suffix)
            number = int.from_bytes(hashing.digest() + time, "little")
            made.append(new(Leg, (spec, currency, number, debited, credited, amount, ())))
        hashing = _TAG_HASH.copy()
        hashing.update(encoded)
        tag = int.from_bytes(hashing.digest(), "little")
        # fmt: off
        return new(Chain, (
            event, plan.name, key, tag, 0, tuple(made), plan.sync, None, plan.suspends, False,
            plan.alert,
        ))
