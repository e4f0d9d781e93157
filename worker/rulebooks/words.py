"""Expressions, event types and names in an accountant's words.

| in the rulebook | in words |
|---|---|
| `charge.dispute.closed` | a dispute of a charge is closed |
| `data.object.paid and data.object.customer != null` | it is paid, and there is a customer |
| `data.object.amount - data.object.fee` | amount less fee |
| `data.object.status in ["won", "lost"]` | status is “won” or “lost” |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from worker.core.expressions.grammar import parse
from worker.core.expressions.tokens import ExpressionMistake
from worker.core.expressions.tree import ENVELOPE, Call, Constant, Node, Path, Steps, Those

NAME: Final = re.compile(r"[^\W\d]\w*")
OBJECT: Final = ("data", "object")

VERBS: Final = {
    "succeeded": "succeeds", "failed": "fails", "captured": "is captured", "paid": "is paid",
    "created": "is created", "canceled": "is canceled", "reversed": "is reversed",
    "refunded": "is refunded", "closed": "is closed", "updated": "changes", "expired": "expires",
    "funds_withdrawn": "has its funds withdrawn", "funds_available": "has funds available",
    "funds_reinstated": "has its funds given back", "completed": "is completed",
}  # fmt: skip
EVENTS: Final = {
    "balance_transaction.created": "Stripe settles an entry on its balance",
    "journal.entry": "an entry of the journal is approved",
}
COMPARED: Final = {
    "==": "is", "!=": "is not", "<": "is less than", "<=": "is at most", ">": "is more than",
    ">=": "is at least",
}  # fmt: skip
OPPOSITE: Final = {"in": "not in", "==": "!=", "!=": "==", ">": "<=", "<": ">=", ">=": "<"}
ARITHMETIC: Final = {
    "+": "plus", "-": "less", "*": "times", "//": "divided, rounded down, by",
    "%": "the rest divided by",
}  # fmt: skip
OF_LIST: Final = {
    "sum": "the sum of",
    "count": "the number of",
    "abs": "the size of",
    "text": "the digits of",
    "whole_number": "the whole number",
}
OF_SEVERAL: Final = {"min": "the smallest of", "max": "the largest of"}


def plain(name: str) -> str:
    """A name with spaces: `customer_wallet` is `customer wallet`."""
    return name.replace("_", " ").strip()


def either(words: list[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def event_in_words(kind: str) -> str:
    """What happened, as the end of a sentence that starts with `When`."""
    *nouns, verb = kind.split(".")
    if kind in EVENTS:
        return EVENTS[kind]
    if verb not in VERBS or not nouns or nouns[0] == "wallet":
        command = plain(kind.removeprefix("wallet."))
        return f"an event {kind} comes" if nouns[:1] != ["wallet"] else f"the app says “{command}”"
    return f"{' of '.join(_a(plain(noun)) for noun in reversed(nouns))} {VERBS[verb]}"


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def expression_in_words(text: str) -> str:
    """An expression in words; what this module has no words for stays as it is written."""
    try:
        tree = parse(text, roots={*ENVELOPE, *NAME.findall(text)})
    except ExpressionMistake:
        return text
    return _words(tree)


def condition_in_words(text: str) -> str:
    """The same of a condition: a field alone must be true."""
    try:
        tree = parse(text, roots={*ENVELOPE, *NAME.findall(text)})
    except ExpressionMistake:
        return text
    return _truth(tree)


def _words(node: Node) -> str:
    if isinstance(node, Constant):
        return _constant(node)
    if isinstance(node, Path):
        return _path(node)
    if isinstance(node, Steps):
        return f"{_steps(node.steps)} of {_words(node.base)}"
    return _call(node)


def _constant(node: Constant) -> str:
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return "yes" if node.value else "no"
    return f"“{node.value}”" if isinstance(node.value, str) else str(node.value)


def _path(node: Path) -> str:
    steps = node.steps
    if node.root == "data" and steps[:1] == ("object",):
        return _steps(steps[1:]) or "the object"
    if node.root == "data" and steps[:1] == ("previous_attributes",):
        return f"the earlier {_steps(steps[1:])}"
    if node.root == "each":
        return _steps(steps) or "it"
    if node.root == "type" and not steps:
        return "the event"
    named = plain(node.root) if node.root not in ENVELOPE else f"the event's {plain(node.root)}"
    return f"{_steps(steps)} of the {named}" if steps else named


def _steps(steps: tuple[str | int | Those | None, ...]) -> str:
    """The last key first: `source.currency` is `currency of the source`."""
    words: list[str] = []
    condition = ""
    for step in steps:
        if isinstance(step, Those):
            condition = f" whose {_words(step.condition)}"
        elif isinstance(step, str):
            words.insert(0, plain(step))
    return " of the ".join(words) + condition


def _call(node: Call) -> str:
    name, operands = node.name, node.operands
    if name in {"and", "or"}:
        return f", {name} ".join(_flat(node, name))
    if name == "not":
        return _negated(operands[0])
    if name in COMPARED:
        return _compared(name, *operands)
    if name in {"in", "not in"}:
        return _contained(name, *operands)
    if name in ARITHMETIC:
        return f"{_words(operands[0])} {ARITHMETIC[name]} {_words(operands[1])}"
    words = [_words(each) for each in operands]
    return _function(name, words)


def _function(name: str, words: list[str]) -> str:
    first = words[0] if words else "nothing"
    given = ", or if missing ".join(word for word in words if word not in {"nothing", "“”"})
    said = {
        "list": lambda: either(words) if words else first,
        "negate": lambda: f"minus {first}",
        "if": lambda: f"{words[1]} if {first}, else {words[2]}",
        "coalesce": lambda: given,
        "where": lambda: f"{first} whose {words[1]}",
        "has_ledger": lambda: f"there is a ledger for {first}",
        "latest": lambda: f"the latest of {first} by {words[1]}",
    }
    if name in said:
        return said[name]()
    if name in OF_SEVERAL:
        return f"{OF_SEVERAL[name]} {' and '.join(words)}"
    return f"{OF_LIST.get(name, f'{name} of')} {' and '.join(words)}"


def _negated(node: Node) -> str:
    if isinstance(node, Call) and node.name in OPPOSITE:
        return _call(replace(node, name=OPPOSITE[node.name]))
    if isinstance(node, Path):
        return f"it is not {_words(node)}"
    return f"not {_truth(node)}"


def _truth(node: Node) -> str:
    """A part of a condition: a field alone must be true."""
    return f"it is {_words(node)}" if isinstance(node, Path) else _words(node)


def _contained(name: str, left: Node, right: Node) -> str:
    negated = "not " if name == "not in" else ""
    if isinstance(right, Call) and right.name == "list":
        about_type = isinstance(left, Path) and left.root == "type" and not left.steps
        if about_type and all(isinstance(each, Constant) for each in right.operands):
            kinds = [event_in_words(str(getattr(each, "value", ""))) for each in right.operands]
            return f"{negated}{either(kinds)}"
        return f"{_words(left)} is {negated}{_words(right)}"
    verb = "does not contain" if negated else "contains"
    return f"{_words(right)} {verb} {_words(left)}"


def _flat(node: Node, name: str) -> Iterator[str]:
    if isinstance(node, Call) and node.name == name:
        for each in node.operands:
            yield from _flat(each, name)
    else:
        yield _truth(node)


def _compared(name: str, left: Node, right: Node) -> str:
    if isinstance(right, Constant) and right.value is None and name in {"==", "!="}:
        return _presence(left, there=name == "!=")
    if isinstance(left, Path) and left.root == "type" and isinstance(right, Constant):
        negated = "" if name == "==" else "not "
        return f"{negated}{event_in_words(str(right.value))}"
    return f"{_words(left)} {COMPARED[name]} {_words(right)}"


def _presence(node: Node, *, there: bool) -> str:
    """A comparison with nothing says whether a thing is there."""
    alternatives = node.operands if isinstance(node, Call) and node.name == "coalesce" else (node,)
    if all(isinstance(each, Path | Constant) for each in alternatives):
        named = [_words(each) for each in alternatives if isinstance(each, Path)]
        return f"there is {'a' if there else 'no'} {either(named)}"
    return f"{_words(node)} is {'there' if there else 'missing'}"
