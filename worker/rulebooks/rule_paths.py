"""Which fields of an event a rule reads."""

from __future__ import annotations

from collections.abc import Iterator

from worker.core.expressions.compiler import Expression
from worker.core.expressions.grammar import parse
from worker.core.expressions.tree import ENVELOPE, Call, Constant, Node, Path, Steps, Those
from worker.core.rulebook import (
    AccountUse,
    KnownUse,
    LegRule,
    NamedUse,
    OriginUse,
    Transaction,
    Use,
)
from worker.rulebooks.words import NAME


def tree_of(expression: Expression) -> Node:
    """An expression that was compiled before, as a tree."""
    text = expression.text
    return parse(text, roots={*ENVELOPE, *NAME.findall(text)})


def paths(node: Node) -> Iterator[Path]:
    """Every path of a tree, from left to right."""
    if isinstance(node, Path):
        yield node
        steps = node.steps
    elif isinstance(node, Steps):
        yield from paths(node.base)
        steps = node.steps
    else:
        steps = ()
    if isinstance(node, Call):
        for operand in node.operands:
            yield from paths(operand)
    for step in steps:
        if isinstance(step, Those):
            yield from paths(step.condition)


def expressions(rule: Transaction) -> Iterator[Expression]:
    """All that a rule computes, in the order of its keys."""
    yield from (each.value for each in rule.lets)
    for each in (rule.when, rule.idempotency_key, rule.currency):
        if each is not None:
            yield each
    for leg in rule.legs:
        yield from leg_expressions(leg)


def leg_expressions(leg: LegRule) -> Iterator[Expression]:
    """All that a leg computes."""
    yield from (loop.items for loop in leg.loops)
    for each in (leg.when, leg.currency, leg.amount):
        if each is not None:
            yield each
    for use in (leg.debit, leg.credit, leg.shortfall, leg.repay_first):
        yield from account_keys(use)
    if leg.total is not None:
        yield from account_keys(leg.total.noted)


def account_keys(use: Use | None) -> Iterator[Expression]:
    """The key of a family's member, where the event says it."""
    if isinstance(use, OriginUse):
        yield from account_keys(use.otherwise)
    elif isinstance(use, AccountUse) and use.key is not None:
        yield use.key
        yield from account_keys(use.if_null)
    elif isinstance(use, KnownUse):
        for each in use.accounts:
            yield from account_keys(each)
    elif isinstance(use, NamedUse):
        yield from (use.name, use.key)


def keys_of(path: Path) -> tuple[str, ...]:
    """The keys of a plain path; of one into a list, those before the list's elements."""
    found: list[str] = []
    for step in path.steps:
        if not isinstance(step, str):
            break
        found.append(step)
    return tuple(found)


def constant(node: Node) -> object:
    """A constant's value."""
    return node.value if isinstance(node, Constant) else None
