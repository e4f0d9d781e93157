"""What must be true of an event and its chain before anything is posted; else the event is dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.chain import Leg
from worker.core.event import Dead, Reason
from worker.core.expressions.compiler import Evaluate, Expression
from worker.core.expressions.operators import Value
from worker.core.rulebook import CONTROL, AccountUse, Transaction

REASONS: Final = (Reason.BAD_AMOUNT, Reason.BAD_KEY)
"""What an event that fails a requirement may be dead of; the first unless the rule says another."""


@dataclass(frozen=True, slots=True)
class CompiledRequirement:
    """One condition, ready to run.

    sentence: what must be true, for messages.
    """

    sentence: str
    holds: Evaluate
    reason: Reason


def compile_requirements(
    rule: Transaction, pick: Callable[[Expression, str], Evaluate]
) -> tuple[CompiledRequirement, ...]:
    """The requirements of a rule with their conditions as functions; pick: see `compiled_rules`."""
    return tuple(
        CompiledRequirement(
            each.sentence,
            pick(each.condition, f"{rule.name} require {each.sentence!r}"),
            each.reason,
        )
        for each in rule.require
    )


def unmet(
    transaction: str, requirements: Sequence[CompiledRequirement], body: Value
) -> Dead | None:
    """The first requirement that the event does not meet, as a dead letter."""
    for each in requirements:
        if not each.holds(body):
            return Dead(each.reason, f"{transaction}: it is not true that {each.sentence}")
    return None


def memo_codes(rule: Transaction) -> frozenset[int]:
    """The codes of the memo accounts that a rule's legs name themselves.

    The control account of a shortfall is not among them: balancing transfers end it at zero.
    """
    uses = [use for leg in rule.legs for use in (leg.debit, leg.credit)]
    named = [use for use in uses if isinstance(use, AccountUse)]
    named += [use.if_null for use in named if use.if_null is not None]
    accounts = [use.account for use in named]
    return frozenset(
        account.code for account in accounts if account.type == "memo" and account.name != CONTROL
    )


def not_at_zero(transaction: str, codes: frozenset[int], legs: Sequence[Leg]) -> Dead | None:
    """The first memo account that a chain would leave with a balance, as a dead letter.

    | debits of the account | credits   |                                  |
    |-----------------------|-----------|----------------------------------|
    | usd 60, usd 40        | usd 100   | ends at zero                     |
    | usd 60                | usd 100   | dead: it would end at 40         |
    | usd 60                | eur 60    | dead: each currency by itself    |
    """
    left: dict[int, int] = {}
    for leg in legs:
        for ref, amount in ((leg.debit, leg.amount), (leg.credit, -leg.amount)):
            if ref is not None and ref.code in codes:
                left[ref.id] = left.get(ref.id, 0) + amount
    for leg in legs:
        for ref in (leg.debit, leg.credit):
            if ref is not None and left.get(ref.id):
                detail = f"{ref.name} would not end at zero in {leg.currency.name}"
                return Dead(Reason.BAD_AMOUNT, f"{transaction}: {detail}")
    return None
