"""The grammar of expressions, from text to a tree.

A tree is small (TOKENS_MAX tokens, DEPTH_MAX levels), names only known roots, and
holds no float; everything else is an `ExpressionMistake` with its column.

    list       := choice {"where" choice}
    choice     := either ["if" either "else" choice]
    either     := both {"or" both}
    both       := negation {"and" negation}
    negation   := "not" negation | comparison
    comparison := sum [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") sum]
    sum        := product {("+" | "-") product}
    product    := operand {("*" | "//" | "%") operand}
    operand    := "-" operand | integer | string | "true" | "false" | "null"
                | "[" [list {"," list}] "]" | "(" list ")" steps | function steps | name steps
    function   := name "(" list {"," list} ")" | "latest" "(" list "," key {"." key} ")"
    steps      := {"." key | "[" integer "]" | "[" string "]" | "[*]" | "[" choice "]"}
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final

from worker.core.expressions.tokens import ExpressionMistake, Token, tokens
from worker.core.expressions.tree import (
    CONSTANTS,
    EACH,
    ELEMENT,
    FUNCTIONS,
    NO_CONDITION,
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

DEPTH_MAX: Final = 20
DIGITS_MAX: Final = 39
"""Decimal digits of an integer: enough for 2^128 - 1."""

ONE_OPERAND: Final = {
    "abs": "one value",
    "sum": "one list",
    "count": "one list",
    "text": "one value",
    "whole_number": "one value",
    "has_ledger": "one value",
}
INDEX: Final = "a number, a string, * or a condition"
COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


def parse(text: str, *, roots: Collection[str], levels: Mapping[str, int] | None = None) -> Node:
    """The tree of an expression whose paths may start with `roots`.

    levels: of the roots that are chosen elements; see `list_levels`.

    Raises:
        ExpressionMistake: when the text is no expression.
    """
    return _Parser(text, roots, levels or {}).whole()


class _Parser:
    """Recursive descent over one text; each method reads one rule of the grammar above."""

    def __init__(self, text: str, roots: Collection[str], levels: Mapping[str, int]) -> None:
        self._text = text
        self._roots = roots
        self._levels = levels
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        """The one expression that the text must be."""
        if self._next.kind == "end":
            raise ExpressionMistake("an expression is needed", 1)
        node = self._list()
        if self._next.kind != "end":
            raise self._mistake(f"unexpected {self._next.text!r}")
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _mistake(self, message: str, token: Token | None = None) -> ExpressionMistake:
        return ExpressionMistake(message, (token or self._next).start + 1)

    def _take(self) -> Token:
        token = self._next
        if token.kind == "end":
            raise self._mistake("the expression ends too early")
        self._at += 1
        return token

    def _accept(self, *texts: str) -> str:
        """The next word or sign if it is one of these, else an empty string."""
        token = self._next
        if token.kind in ("name", "sign") and token.text in texts:
            self._at += 1
            return token.text
        return ""

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            found = self._next.text
            raise self._mistake(f"{text!r} is needed" + (f", not {found!r}" if found else ""))

    def _call(self, name: str, operands: tuple[Node, ...], start: int) -> Call:
        return Call(name, operands, self._text[start : self._tokens[self._at - 1].end])

    def _list(self) -> Node:
        start, node = self._next.start, self._choice()
        while self._accept("where"):
            first, condition = self._next, self._about_each()
            if isinstance(condition, Constant) or _no_condition(condition):
                raise self._mistake("a condition is needed after where", first)
            node = self._call("where", (node, condition), start)
        return node

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._mistake(f"nested deeper than {DEPTH_MAX} levels")
        start = self._next.start
        node = self._either()
        if self._accept("if"):
            condition = self._either()
            self._expect("else")
            node = self._call("if", (condition, node, self._choice()), start)
        self._depth -= 1
        return node

    def _either(self) -> Node:
        start, node = self._next.start, self._both()
        while self._accept("or"):
            node = self._call("or", (node, self._both()), start)
        return node

    def _both(self) -> Node:
        start, node = self._next.start, self._negation()
        while self._accept("and"):
            node = self._call("and", (node, self._negation()), start)
        return node

    def _negation(self) -> Node:
        start, count = self._next.start, 0
        while self._accept("not"):
            count += 1
        node = self._comparison()
        for _ in range(count):
            node = self._call("not", (node,), start)
        return node

    def _comparison(self) -> Node:
        start, node = self._next.start, self._sum()
        name = self._comparator()
        if not name:
            return node
        node = self._call(name, (node, self._sum()), start)
        after = self._next
        if self._comparator():
            raise self._mistake("comparisons do not chain: join them with and", after)
        return node

    def _comparator(self) -> str:
        if self._next.text == "not" and self._tokens[self._at + 1].text == "in":
            self._at += 2
            return "not in"
        return self._accept(*COMPARISONS)

    def _sum(self) -> Node:
        start, node = self._next.start, self._product()
        while sign := self._accept("+", "-"):
            node = self._call(sign, (node, self._product()), start)
        return node

    def _product(self) -> Node:
        start, node = self._next.start, self._operand()
        while sign := self._accept("*", "//", "%"):
            node = self._call(sign, (node, self._operand()), start)
        return node

    def _operand(self) -> Node:
        start, count = self._next.start, 0
        while self._accept("-"):
            count += 1
        node = self._primary()
        for _ in range(count):
            node = self._call("negate", (node,), start)
        return node

    def _primary(self) -> Node:
        token = self._take()
        if token.text == "(":
            node = self._list()
            self._expect(")")
            return self._behind(node, token.start)
        if token.text == "[":
            return self._call("list", self._operands("]"), token.start)
        if token.kind == "name" and token.text not in WORDS:
            if self._next.text == "(":
                return self._behind(self._function(token), token.start)
            return self._path(token)
        return self._constant(token)

    def _constant(self, token: Token) -> Constant:
        if token.kind == "number":
            return Constant(self._integer(token))
        if token.kind == "text":
            return Constant(self._string(token))
        if token.text in CONSTANTS:
            return Constant(CONSTANTS[token.text])
        raise self._mistake(f"unexpected {token.text!r}", token)

    def _integer(self, token: Token) -> int:
        if "." in token.text:
            raise self._mistake("there are no fractions: write minor units", token)
        if not (token.text.isascii() and token.text.isdigit() and len(token.text) <= DIGITS_MAX):
            raise self._mistake(f"{token.text!r} is not a whole number", token)
        return int(token.text)

    def _string(self, token: Token) -> str:
        inner = re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        if "\0" in inner:
            raise self._mistake("a string cannot hold NUL", token)
        return inner

    def _operands(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._accept(end):
            if found:
                self._expect(",")
            found.append(self._list())
        return tuple(found)

    def _function(self, token: Token) -> Node:
        if token.text not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise self._mistake(f"there is no function {token.text!r}, only {known}", token)
        self._expect("(")
        if token.text == "latest":
            return self._latest(token)
        operands = self._operands(")")
        wanted = ONE_OPERAND.get(token.text)
        if not operands or (wanted and len(operands) != 1):
            raise self._mistake(f"{token.text}() takes {wanted or 'at least one value'}", token)
        return self._call(token.text, operands, token.start)

    def _latest(self, token: Token) -> Node:
        """`latest(list, created)`: the field is a path of each element; no list is an empty one."""
        start, chosen = self._next.start, self._list()
        chosen = self._call("coalesce", (chosen, Call("list", (), "[]")), start)
        self._expect(",")
        start = self._next.start
        keys = [self._key()]
        while self._accept("."):
            keys.append(self._key())
        field = Path(ELEMENT, tuple(keys), self._text[start : self._tokens[self._at - 1].end])
        self._expect(")")
        return self._call("latest", (chosen, field), token.start)

    def _path(self, token: Token) -> Path:
        if token.text not in self._roots:
            near = get_close_matches(token.text, self._roots, 1)
            inside = f", {ELEMENT}" if ELEMENT in self._roots else ""
            start = f": a path starts with data, id{inside}, …"
            hint = f"; did you mean {near[0]!r}?" if near else start
            raise self._mistake(f"{token.text!r} is not known here{hint}", token)
        steps = self._steps(self._levels.get(token.text, 0))
        end = self._tokens[self._at - 1].end
        return Path(token.text, steps, self._text[token.start : end])

    def _behind(self, base: Node, start: int) -> Node:
        """The node itself, or what the steps after it lead to."""
        steps = self._steps(list_levels(base, self._levels))
        if not steps:
            return base
        if isinstance(base, Constant):
            raise self._mistake("a constant has no parts")
        return Steps(base, steps, self._text[start : self._tokens[self._at - 1].end])

    def _steps(self, levels: int) -> tuple[PathStep, ...]:
        """Keys and places; a key after chosen elements is a key of each of them."""
        steps: list[PathStep] = []
        while sign := self._accept(".", "["):
            steps.append(self._key() if sign == "." else self._index())
        return (*[EACH] * levels, *steps) if steps and isinstance(steps[0], str) else tuple(steps)

    def _key(self) -> str:
        token = self._take()
        if token.kind != "name":
            raise self._mistake('a key is needed after the dot; write others as ["…"]', token)
        return token.text

    def _index(self) -> PathStep:
        """An index into a list, a key, `*`, or a condition, in which `each` is an element."""
        if self._accept("*"):
            step: PathStep = EACH
        elif self._next.text == "]":
            raise self._mistake(f"{INDEX} is needed between [ and ]")
        else:
            step = self._chosen()
        self._expect("]")
        return step

    def _chosen(self) -> PathStep:
        first, node = self._next, self._about_each()
        if isinstance(node, Constant) and type(node.value) in (int, str):
            return node.value
        if isinstance(node, Constant) or _no_condition(node):
            raise self._mistake(f"{INDEX} is needed between [ and ]", first)
        return Those(node)

    def _about_each(self) -> Node:
        """An expression in which `each` is an element."""
        outside = self._roots
        self._roots = {*outside, ELEMENT}
        node = self._choice()
        self._roots = outside
        return node


def _no_condition(node: Node) -> bool:
    return isinstance(node, Call) and node.name in NO_CONDITION
