"""An event made from a rule itself, for rules that no generated event reaches.

It is a guess: the translator then says whether the rule answers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from worker.core.expressions.compiler import Expression
from worker.core.expressions.tree import Call, Node, Path
from worker.core.rulebook import Rulebook, Transaction
from worker.rulebooks.rule_paths import (
    constant,
    expressions,
    keys_of,
    leg_expressions,
    paths,
    tree_of,
)

CREATED: Final = 1_767_225_600
"""2026-01-01T00:00:00Z."""
AMOUNT: Final = 10_000
CURRENCIES: Final = ("usd", "eur", "gbp")

JOURNAL: Final = "journal.entry"

Fields = dict[str, Any]


def made_event(rule: Transaction, rulebook: Rulebook) -> Fields:
    """An event of the rule's first type with all fields that the rule reads."""
    usual = next((each for each in CURRENCIES if each in rulebook.ledgers), "")
    currency = usual or next(iter(rulebook.ledgers))
    if rule.on[0] == JOURNAL:
        return _journal_entry(rulebook, currency)
    return _EventMaker(rule, currency).event()


def growing(body: Fields) -> Iterator[Fields]:
    """Events of one fact, of which the second tells more in one of its amounts."""
    about = body["data"]["object"]
    for name in [name for name, value in about.items() if value == AMOUNT]:
        for amount in (AMOUNT // 4, AMOUNT):
            changed = about | {"id": f"{about['id']}_{name}", name: amount}
            yield body | {"data": {**body["data"], "object": changed}}


def _journal_entry(rulebook: Rulebook, currency: str) -> Fields:
    """An entry between the first two statement accounts that are no families."""
    single = [
        each.name for each in rulebook.accounts.values() if not each.per and each.type != "memo"
    ]
    lines = [
        {"account": name, "key": None, "side": side, "currency": currency, "amount": AMOUNT}
        for name, side in zip(single, ("debit", "credit"), strict=False)
    ]
    entry = {
        "id": "je_example",
        "created": CREATED,
        "reason": "opening balance",
        "requested_by": "ann",
        "approved_by": "ben",
        "lines": lines,
    }
    return {"id": "evt_example", "type": JOURNAL, "created": CREATED, "data": {"object": entry}}


class _EventMaker:
    def __init__(self, rule: Transaction, currency: str) -> None:
        self._rule = rule
        self._currency = currency
        self._event: Fields = {
            "id": "evt_example",
            "type": rule.on[0].replace("*", "example"),
            "created": CREATED,
            "data": {"object": {}},
        }
        self._items: dict[str, Fields] = {}
        self._lets = {let.name: tree_of(let.value) for let in rule.lets}

    def event(self) -> Fields:
        """Loops first, because items are parts of their lists; conditions last."""
        for leg in self._rule.legs:
            for loop in leg.loops:
                self._loop(loop.name, loop.items)
        for expression in expressions(self._rule):
            for path in self._paths(tree_of(expression)):
                self._set(path, self._guess(path), only_missing=True)
        for leg in self._rule.legs:
            self._numbers(leg.amount)
        self._numbers(self._rule.idempotency_time, CREATED)
        if self._rule.when is not None:
            self._meet(tree_of(self._rule.when), wanted=True)
        for leg in self._rule.legs:
            if leg.when is not None and not any(leg.when is each for each in leg_expressions(leg)):
                self._meet(tree_of(leg.when), wanted=True)
        return self._event

    def _loop(self, name: str, items: Expression) -> None:
        tree = tree_of(items)
        if isinstance(tree, Path) and name not in self._items:
            self._items[name] = {}
            self._set(tree, [self._items[name]])

    def _numbers(self, expression: Expression | None, value: int = AMOUNT) -> None:
        for path in self._paths(tree_of(expression)) if expression is not None else ():
            if path.root != "type":
                self._set(path, value)

    def _paths(self, node: Node) -> Iterator[Path]:
        """The paths into the event, with each `let` replaced by its own."""
        for path in paths(node):
            let = self._lets.get(path.root)
            if let is None:
                yield path
            else:
                yield from self._paths(let)

    def _first(self, node: Node) -> Node:
        """The meaning of a `let` or of the first choice of a coalesce."""
        if isinstance(node, Call) and node.name == "coalesce":
            return self._first(node.operands[0])
        if isinstance(node, Path) and not node.steps and node.root in self._lets:
            return self._first(self._lets[node.root])
        return node

    def _guess(self, path: Path) -> object:
        last = str(keys_of(path)[-1]) if keys_of(path) else path.root
        if last == "currency":
            return self._currency
        return CREATED if last in {"created", "date"} else f"{last}_{self._rule.name}"

    def _set(self, path: Path, value: object, *, only_missing: bool = False) -> None:
        """Put a value where a plain path leads."""
        keys = keys_of(path)
        inside: object = self._items.get(path.root)
        if inside is None:
            inside, keys = self._event, (path.root, *keys)
        for key in keys[:-1]:
            if not isinstance(inside, dict):
                return
            if not isinstance(inside.get(key), dict | list):
                inside[key] = {}
            inside = inside[key]
        if isinstance(inside, dict) and keys and not (only_missing and keys[-1] in inside):
            inside[keys[-1]] = value

    def _meet(self, node: Node, *, wanted: bool) -> None:
        """Make a condition true, or false, one part after the other."""
        node = self._first(node)
        if isinstance(node, Path):
            self._set(node, wanted)
        elif isinstance(node, Call) and node.name == "not":
            self._meet(node.operands[0], wanted=not wanted)
        elif isinstance(node, Call) and node.name in {"and", "or"}:
            every = (node.name == "and") == wanted
            for part in node.operands if every else node.operands[:1]:
                self._meet(part, wanted=wanted)
        elif isinstance(node, Call) and len(node.operands) == 2:  # noqa: PLR2004 - two sides
            self._compare(node.name, *node.operands, wanted=wanted)

    def _compare(self, name: str, left: Node, right: Node, *, wanted: bool) -> None:
        left, right = self._first(left), self._first(right)
        if not isinstance(left, Path) or left.root == "type":
            return
        if name == "in" and isinstance(right, Call) and right.operands and wanted:
            self._set(left, constant(right.operands[0]))
        elif (name == "==") == wanted and name in {"==", "!="}:
            self._set(left, constant(right))
        elif name in {"<", "<="} and wanted:
            self._set(left, "0" if isinstance(constant(right), str) else -AMOUNT)
