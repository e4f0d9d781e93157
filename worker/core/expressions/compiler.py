"""Expressions over an event, compiled once to Python code without builtins.

Only code that this module builds from its own tree is run; no text is evaluated. `fast` reads paths
by plain subscripts and may fail with KeyError or TypeError. `precise` gives the same values and
says which field is missing, at twice the cost of translation.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Final, cast

from worker.core.expressions import operators
from worker.core.expressions.grammar import parse
from worker.core.expressions.tokens import ExpressionMistake
from worker.core.expressions.tree import (
    EACH,
    ELEMENT,
    ENVELOPE,
    FUNCTIONS,
    WORDS,
    Call,
    Constant,
    Node,
    Path,
    PathStep,
    Steps,
    Those,
    list_levels,
)

Evaluate = Callable[..., Any]

LetKey = tuple[str]
"""What a `let:` is called among the fields of an envelope: no key of JSON is a tuple."""

BODY: Final = "body"
NAMESPACE: Final[dict[str, Any]] = {
    "__builtins__": {},
    "walk": operators.walk,
    "listed": operators.listed,
    "elements": operators.elements,
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "//": operators.divide,
    "%": operators.remainder,
    "negate": operators.negate,
    "abs": operators.absolute,
    "sum": operators.total,
    "count": operators.number_of,
    "text": operators.in_digits,
    "whole_number": operators.whole_number,
    "has_ledger": operators.has_ledger,
    "latest": operators.latest,
    "==": operators.equal,
    "<": operators.less,
    "<=": operators.less_or_equal,
    ">": operators.greater,
    ">=": operators.greater_or_equal,
    "in": operators.contains,
    "min": operators.smallest,
    "max": operators.largest,
    "truth": operators.truth,
    "coalesce": operators.first_present,
}
BOOLEAN: Final = frozenset(
    {"and", "or", "not", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "has_ledger"}
)
OPPOSITE: Final = {"!=": "==", "not in": "in"}


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """One compiled expression.

    fast, precise: called with the envelope, then each loop's item.
    roots: the envelope fields and loop items that its value depends on, also through `let:`.
    lets: the names of `let:` that it reads itself.
    ledgers: the currencies that it may ask for.
    levels: how deep its value's elements are nested; see `list_levels`.
    same: its constant, where it is a literal.
    """

    text: str
    roots: frozenset[str]
    lets: frozenset[str]
    ledgers: frozenset[str]
    levels: int
    same: Constant | None
    fast: Evaluate
    precise: Evaluate

    @property
    def constant(self) -> bool:
        """Does it read nothing at all?"""
        return not self.roots and not self.lets


def compile_expression(
    text: str,
    *,
    loops: Collection[str] = (),
    lets: Mapping[str, Expression] | None = None,
    ledgers: Collection[str] = (),
    condition: bool = False,
) -> Expression:
    """Compile a text once.

    loops: the names of `for_each` items in scope, outermost first.
    lets: the `let:` values that it may read; it is then called with `NamedValues`.
    ledgers: the currencies that `has_ledger` knows.
    condition: the value must be true or false.

    Raises:
        ExpressionMistake: when the text is no expression; with the column.
    """
    names, known = tuple(loops), lets or {}
    levels = {name: each.levels for name, each in known.items()}
    tree = parse(text, roots=ENVELOPE | set(names) | set(known), levels=levels)
    read = _roots(tree)
    currencies = frozenset(ledgers)
    through = (known[name].roots for name in read if name in known)
    return Expression(
        text=text,
        roots=frozenset(read - set(known)).union(*through),
        lets=frozenset(read & set(known)),
        ledgers=currencies,
        levels=list_levels(tree, levels),
        same=_constant(tree, known),
        fast=_Emitter(names, known, currencies, precise=False).function(tree, condition=condition),
        precise=_Emitter(names, known, currencies, precise=True).function(
            tree, condition=condition
        ),
    )


class NamedValues(dict[Any, Any]):
    """The envelope of one event, and the values of a transaction's `let:`.

    Each is computed when first read, and kept; a failing one fails at each read. Their keys are
    tuples, which no key of an event can equal.
    """

    def __init__(self, envelope: Mapping[str, Any], lets: Mapping[LetKey, Evaluate]) -> None:
        super().__init__(envelope)
        self._lets = lets

    def __missing__(self, key: Any) -> Any:  # noqa: ANN401 - a field of the envelope or a let
        evaluate = self._lets.get(key)
        if evaluate is None:
            raise KeyError(key)
        value = evaluate(self)
        self[key] = value
        return value


def precise_let(name: str, value: Expression) -> Evaluate:
    """A let's precise reading; a failure says which let it is."""

    def run(scope: NamedValues) -> Any:  # noqa: ANN401 - any value of an event
        try:
            return value.precise(scope)
        except operators.ExpressionError as error:
            raise type(error)(f"let {name}: {error}") from error

    return run


def loop_name_problem(name: str) -> str:
    """Why a loop's item or a let cannot have this name; empty when it can."""
    if not (name.isidentifier() and name.isascii()):
        return "is not a plain name"
    if name in ENVELOPE or name in WORDS or name in FUNCTIONS or name == ELEMENT:
        return "already means something in expressions"
    return ""


def _roots(node: Node) -> set[str]:
    if isinstance(node, Path):
        inside = [_roots(step.condition) for step in node.steps if isinstance(step, Those)]
        return {node.root}.union(*inside) - {ELEMENT}
    if isinstance(node, Steps):
        return _roots(node.base) | _roots(Path(ELEMENT, node.steps, ""))
    if isinstance(node, Call):
        return set().union(*map(_roots, node.operands))
    return set()


def _constant(node: Node, lets: Mapping[str, Expression]) -> Constant | None:
    """The constant that a node is, perhaps by a let's name."""
    if isinstance(node, Path) and not node.steps and node.root in lets:
        return lets[node.root].same
    return node if isinstance(node, Constant) else None


def _is_boolean(node: Node) -> bool:
    if isinstance(node, Constant):
        return isinstance(node.value, bool)
    if isinstance(node, Call) and node.name == "if":
        return all(map(_is_boolean, node.operands[1:]))
    return isinstance(node, Call) and node.name in BOOLEAN


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _arguments(names: Collection[str]) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[ast.arg(name) for name in names],
        args=[],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )


class _Emitter:
    """Turns our tree into Python's, for one reading of paths."""

    def __init__(
        self,
        loops: tuple[str, ...],
        lets: Mapping[str, Expression],
        ledgers: frozenset[str],
        *,
        precise: bool,
    ) -> None:
        self._locals = {name: f"item{number}" for number, name in enumerate(loops)}
        self._lets = lets
        self._ledgers = ledgers
        self._precise = precise

    def function(self, node: Node, *, condition: bool) -> Evaluate:
        """The compiled function of the envelope and the items."""
        value = self._truth(node) if condition else self._emit(node)
        body = ast.Lambda(_arguments([BODY, *self._locals.values()]), value)
        tree = ast.fix_missing_locations(ast.Expression(body))
        module = compile(tree, "<expression>", "eval")
        code = next(const for const in module.co_consts if isinstance(const, CodeType))
        return FunctionType(code, NAMESPACE)

    def _emit(self, node: Node) -> ast.expr:
        if isinstance(node, Constant):
            return ast.Constant(node.value)
        if isinstance(node, Path):
            return self._path(node)
        if isinstance(node, Steps):
            return self._follow(self._emit(node.base), node.steps, node.text)
        special = SPECIAL.get(node.name)
        if special is not None:
            return special(self, node)
        return self._operation(node.name, node.operands, node.text)

    def _path(self, node: Path) -> ast.expr:
        local = ELEMENT if node.root == ELEMENT else self._locals.get(node.root)
        if local:
            return self._follow(_load(local), node.steps, node.text)
        if node.root in self._lets:
            key = ast.Tuple([ast.Constant(node.root)], ast.Load())
            value = ast.Subscript(_load(BODY), key, ast.Load())
            return self._follow(value, node.steps, node.text) if node.steps else value
        return self._follow(_load(BODY), (node.root, *node.steps), node.text)

    def _follow(self, root: ast.expr, steps: tuple[PathStep, ...], text: str) -> ast.expr:
        """What the steps lead to from a value."""
        if not self._precise and not any(type(step) is int for step in steps):
            return self._subscripts(root, steps)
        literal = ast.Tuple([self._literal(step) for step in steps], ast.Load())
        return self._helper("walk", root, literal, ast.Constant(text))

    def _literal(self, step: PathStep) -> ast.expr:
        """A step as `walk` takes it; a condition is a function of the element."""
        if isinstance(step, Those):
            return ast.Lambda(_arguments([ELEMENT]), self._truth(step.condition))
        return ast.Constant(step)

    def _subscripts(self, value: ast.expr, steps: tuple[PathStep, ...]) -> ast.expr:
        """`value["data"]["object"]`, and a comprehension over a list at `[*]` and `[condition]`.

        Nested ones may share a name: Python looks a comprehension's list up outside of it.
        """
        for number, step in enumerate(steps):
            if step is EACH or isinstance(step, Those):
                rest = self._subscripts(_load(ELEMENT), steps[number + 1 :])
                target = ast.Name(ELEMENT, ast.Store())
                chosen = [self._truth(step.condition)] if isinstance(step, Those) else []
                group = ast.comprehension(target, self._helper("listed", value), chosen, 0)
                return ast.ListComp(rest, [group])
            value = ast.Subscript(value, ast.Constant(step), ast.Load())
        return value

    def _helper(self, name: str, *arguments: ast.expr) -> ast.expr:
        return ast.Call(_load(name), list(arguments), [])

    def _operation(self, name: str, operands: tuple[Node, ...], text: str) -> ast.expr:
        return self._helper(name, *map(self._emit, operands), ast.Constant(text))

    def _truth(self, node: Node) -> ast.expr:
        """The node as a condition; what can only be a boolean needs no check."""
        if _is_boolean(node):
            return self._emit(node)
        text = str(node.value) if isinstance(node, Constant) else node.text
        return self._helper("truth", self._emit(node), ast.Constant(text))

    def _logic(self, node: Call) -> ast.expr:
        operator = ast.And() if node.name == "and" else ast.Or()
        return ast.BoolOp(operator, [self._truth(operand) for operand in node.operands])

    def _not(self, node: Call) -> ast.expr:
        return ast.UnaryOp(ast.Not(), self._truth(node.operands[0]))

    def _if(self, node: Call) -> ast.expr:
        condition, value, other = node.operands
        return ast.IfExp(self._truth(condition), self._emit(value), self._emit(other))

    def _list(self, node: Call) -> ast.expr:
        return ast.List([self._emit(operand) for operand in node.operands], ast.Load())

    def _where(self, node: Call) -> ast.expr:
        """A comprehension over the list, whatever it is made of."""
        chosen_from, condition = node.operands
        group = self._helper("elements", self._emit(chosen_from), ast.Constant(node.text))
        chosen = [self._truth(condition)]
        loop = ast.comprehension(ast.Name(ELEMENT, ast.Store()), group, chosen, 0)
        return ast.ListComp(_load(ELEMENT), [loop])

    def _latest(self, node: Call) -> ast.expr:
        values, field = node.operands
        read = ast.Lambda(_arguments([ELEMENT]), self._emit(field))
        return self._helper("latest", self._emit(values), read, ast.Constant(node.text))

    def _coalesce(self, node: Call) -> ast.expr:
        thunks: list[ast.expr] = [
            ast.Lambda(_arguments([]), self._emit(operand)) for operand in node.operands
        ]
        return self._helper("coalesce", ast.Tuple(thunks, ast.Load()))

    def _equal(self, node: Call) -> ast.expr:
        """Python's own comparison where it cannot mislead: with null, or with a string."""
        for operand, other in (node.operands, node.operands[::-1]):
            constant = _constant(operand, self._lets)
            if constant is not None and not isinstance(constant.value, int):
                operator = ast.Is() if constant.value is None else ast.Eq()
                return ast.Compare(self._emit(other), [operator], [ast.Constant(constant.value)])
        return self._operation("==", node.operands, node.text)

    def _in(self, node: Call) -> ast.expr:
        member, group = node.operands
        if isinstance(group, Call) and group.name == "list":
            found = [_constant(operand, self._lets) for operand in group.operands]
            if all(each is not None and type(each.value) is str for each in found):
                texts: list[ast.expr] = [ast.Constant(each.value) for each in found if each]
                strings = ast.Tuple(texts, ast.Load())
                return ast.Compare(self._emit(member), [ast.In()], [strings])
        return self._operation("in", node.operands, node.text)

    def _has_ledger(self, node: Call) -> ast.expr:
        """A call with the rulebook's currencies, which no event can name."""
        if not self._ledgers:
            raise ExpressionMistake("has_ledger() is for the transactions of a rulebook", 1)
        currencies = ast.Constant(cast("Any", self._ledgers))
        value = self._emit(node.operands[0])
        return self._helper("has_ledger", value, currencies, ast.Constant(node.text))

    def _opposite(self, node: Call) -> ast.expr:
        positive = Call(OPPOSITE[node.name], node.operands, node.text)
        return ast.UnaryOp(ast.Not(), self._emit(positive))

    def _extreme(self, node: Call) -> ast.expr:
        """`min(list)` or `min(a, b, …)`."""
        if len(node.operands) == 1:
            return self._operation(node.name, node.operands, node.text)
        values = self._list(node)
        return self._helper(node.name, values, ast.Constant(node.text))


SPECIAL: Final[dict[str, Callable[[_Emitter, Call], ast.expr]]] = {
    "and": _Emitter._logic,  # noqa: SLF001 - the table of this module's own emitter
    "or": _Emitter._logic,  # noqa: SLF001
    "not": _Emitter._not,  # noqa: SLF001
    "if": _Emitter._if,  # noqa: SLF001
    "list": _Emitter._list,  # noqa: SLF001
    "where": _Emitter._where,  # noqa: SLF001
    "latest": _Emitter._latest,  # noqa: SLF001
    "coalesce": _Emitter._coalesce,  # noqa: SLF001
    "==": _Emitter._equal,  # noqa: SLF001
    "!=": _Emitter._opposite,  # noqa: SLF001
    "in": _Emitter._in,  # noqa: SLF001
    "not in": _Emitter._opposite,  # noqa: SLF001
    "has_ledger": _Emitter._has_ledger,  # noqa: SLF001
    "min": _Emitter._extreme,  # noqa: SLF001
    "max": _Emitter._extreme,  # noqa: SLF001
}

__all__ = ["Evaluate", "Expression", "ExpressionMistake", "compile_expression", "loop_name_problem"]
