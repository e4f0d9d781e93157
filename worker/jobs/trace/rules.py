"""Why a rulebook's transactions do or do not answer an event, in words.

The conditions come in the translator's order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from worker.core.event import Event
from worker.core.expressions.compiler import Expression, compile_expression
from worker.core.expressions.grammar import parse
from worker.core.expressions.operators import ExpressionError
from worker.core.expressions.tree import ENVELOPE, Call, Constant, Node, Path, Steps
from worker.core.iso_times import iso_second
from worker.core.matching import matches
from worker.core.rulebook import Rulebook, Transaction

SHOWN_MAX: Final = 40
"""Characters of a value that is shown beside a condition."""


def considered(rulebook: Rulebook, event: Event) -> Iterator[tuple[str, str]]:
    """Each transaction of the event's type, and why it does or does not answer."""
    decided = ""
    for rule in rulebook.transactions:
        if not matches(event.type, rule.on):
            continue
        verdict = f"not asked: {decided} came first" if decided else _verdict(rule, event)
        if not verdict.startswith("no: "):
            decided = decided or rule.name
        yield rule.name, verdict


def ignored_by(rulebook: Rulebook, event: Event) -> str:
    """The entry of `ignore:` that an ignored event meets, as the rulebook says it."""
    for entry in rulebook.ignore:
        if matches(event.type, (entry.pattern,)):
            if entry.when is None:
                return entry.pattern
            if entry.when.precise(event.body):
                return f"{entry.pattern} when {_one_line(entry.when.text)}"
    return ""


def _verdict(rule: Transaction, event: Event) -> str:
    if rule.start is not None and event.created < rule.start:
        return f"no: in force from {iso_second(rule.start)}"
    if rule.end is not None and event.created >= rule.end:
        return f"no: in force until {iso_second(rule.end)}"
    try:
        if rule.when is None or rule.when.precise(rule.scope(event.body)):
            return "yes"
    except ExpressionError as error:
        return f"cannot tell: {error}"
    return f"no: {_false_part(rule, rule.when, event)}"


def _false_part(rule: Transaction, when: Expression, event: Event) -> str:
    """The first part of a condition joined by `and` that is false, and what it looked at."""
    lets = {let.name: let.value for let in rule.lets}
    levels = {name: value.levels for name, value in lets.items()}
    scope = rule.scope(event.body)
    for part in _parts(parse(when.text, roots=ENVELOPE | set(lets), levels=levels)):
        if isinstance(part, Constant):
            continue
        known = when.ledgers
        condition = compile_expression(part.text, lets=lets, ledgers=known, condition=True)
        if not condition.precise(scope):
            shown = ""
            if (path := _looked_at(part)) is not None:
                value = compile_expression(path.text, lets=lets, ledgers=known).precise(scope)
                shown = json.dumps(value, ensure_ascii=False)
            words = f": it is {shown}" if 0 < len(shown) <= SHOWN_MAX else ""
            return f"`{_one_line(part.text)}` is false{words}"
    return f"`{_one_line(when.text)}` is false"


def _parts(node: Node) -> Iterator[Node]:
    if isinstance(node, Call) and node.name == "and":
        for operand in node.operands:
            yield from _parts(operand)
    else:
        yield node


def _looked_at(part: Path | Steps | Call) -> Path | None:
    """The path that is compared, if the part is a comparison of one."""
    if not isinstance(part, Call) or part.name == "not":
        return None
    first = part.operands[0]
    return first if isinstance(first, Path) else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
