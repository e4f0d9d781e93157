"""The rulebook's expression language, from text to a tree.

The invariant: what comes out is small (TOKENS_MAX tokens, DEPTH_MAX levels), names only known
roots, and holds no float; everything else is an `ExpressionMistake` with its column. Must not
import anything but the standard library.

    choice     := either ["if" either "else" choice]
    either     := both {"or" both}
    both       := negation {"and" negation}
    negation   := "not" negation | comparison
    comparison := sum [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") sum]
    sum        := product {("+" | "-") product}
    product    := operand {("*" | "//" | "%") operand}
    operand    := "-" operand | integer | string | "true" | "false" | "null"
                | "[" [choice {"," choice}] "]" | "(" choice ")" | function "(" … ")" | path
    path       := name {"." key | "[" integer "]" | "[" string "]" | "[*]" | "[" choice "]"}
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NamedTuple

TEXT_MAX: Final = 4_000
TOKENS_MAX: Final = 300
DEPTH_MAX: Final = 20
DIGITS_MAX: Final = 39
"""Decimal digits of an integer: enough for 2^128 - 1."""

ENVELOPE: Final = frozenset(
    {
        "account",
        "api_version",
        "created",
        "data",
        "id",
        "livemode",
        "object",
        "pending_webhooks",
        "request",
        "type",
    }
)
"""The fields of Stripe's event envelope: what a path may start with."""

FUNCTIONS: Final = frozenset({"min", "max", "abs", "sum", "coalesce"})
CONSTANTS: Final = {"true": True, "false": False, "null": None}
WORDS: Final = frozenset({"and", "or", "not", "in", "if", "else", *CONSTANTS})
NO_CONDITION: Final = frozenset({"+", "-", "*", "//", "%", "negate", "list", "abs", "sum"})
INDEX: Final = "a number, a string, * or a condition"
COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})

TOKEN: Final = re.compile(
    r"(?P<number>\d[\w]*(?:\.\d\w*)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<sign>==|!=|<=|>=|//|[-+*%<>()\[\],.])",
    re.DOTALL,
)
HINTS: Final = {
    "=": "use == to compare",
    "/": "use // to divide whole numbers",
    "!": "use not, or != to compare",
    "&": "use and",
    "|": "use or",
    '"': "the string has no end",
    "'": "the string has no end",
}


class ExpressionMistake(Exception):
    """The text is no expression. column: where, from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} (column {column} of the expression)")
        self.column = column


EACH: Final = None
"""The step `[*]`: every element of a list."""

ELEMENT: Final = "each"
"""What a condition between [ and ] calls the element that it chooses or leaves out."""


@dataclass(frozen=True, slots=True)
class Those:
    """The step `[condition]`: the elements of a list that meet it."""

    condition: Node


PathStep = str | int | Those | None


@dataclass(frozen=True, slots=True)
class Constant:
    """An integer, string, boolean or null."""

    value: int | str | bool | None


@dataclass(frozen=True, slots=True)
class Path:
    """A value of the event or of a loop's item. text: as a person wrote it, for messages."""

    root: str
    steps: tuple[PathStep, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function: `+`, `==`, `and`, `if`, `list`, `min`, … and its operands."""

    name: str
    operands: tuple[Node, ...]
    text: str


Node = Constant | Path | Call


class Token(NamedTuple):
    """One word of the text. start, end: offsets from 0."""

    kind: str
    text: str
    start: int
    end: int


def parse(text: str, *, roots: Collection[str]) -> Node:
    """The tree of an expression whose paths may start with `roots`.

    Raises:
        ExpressionMistake: when the text is no expression.
    """
    return _Parser(text, roots).whole()


def _tokens(text: str) -> list[Token]:
    if len(text) > TEXT_MAX:
        raise ExpressionMistake(f"longer than {TEXT_MAX} characters", 1)
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = TOKEN.match(text, at)
        if match is None:
            hint = HINTS.get(text[at], "it has no meaning here")
            raise ExpressionMistake(f"unexpected {text[at]!r}: {hint}", at + 1)
        found.append(Token(match.lastgroup or "", match.group(), at, match.end()))
        at = match.end()
    if len(found) > TOKENS_MAX:
        raise ExpressionMistake(f"more than {TOKENS_MAX} words and signs", 1)
    found.append(Token("end", "", len(text), len(text)))
    return found


class _Parser:
    """Recursive descent over one text; each method reads one rule of the grammar above."""

    def __init__(self, text: str, roots: Collection[str]) -> None:
        self._text = text
        self._roots = roots
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        """The one expression that the text must be."""
        if self._next.kind == "end":
            raise ExpressionMistake("an expression is needed", 1)
        node = self._choice()
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
            node = self._choice()
            self._expect(")")
            return node
        if token.text == "[":
            return self._call("list", self._operands("]"), token.start)
        if token.kind == "name" and token.text not in WORDS:
            return self._function(token) if self._next.text == "(" else self._path(token)
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
            found.append(self._choice())
        return tuple(found)

    def _function(self, token: Token) -> Node:
        if token.text not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise self._mistake(f"there is no function {token.text!r}, only {known}", token)
        self._expect("(")
        operands = self._operands(")")
        wanted = {"abs": "one value", "sum": "one list"}.get(token.text)
        if not operands or (wanted and len(operands) != 1):
            raise self._mistake(f"{token.text}() takes {wanted or 'at least one value'}", token)
        return self._call(token.text, operands, token.start)

    def _path(self, token: Token) -> Path:
        if token.text not in self._roots:
            near = get_close_matches(token.text, self._roots, 1)
            inside = f", {ELEMENT}" if ELEMENT in self._roots else ""
            start = f": a path starts with data, id{inside}, …"
            hint = f"; did you mean {near[0]!r}?" if near else start
            raise self._mistake(f"{token.text!r} is not known here{hint}", token)
        steps: list[PathStep] = []
        while sign := self._accept(".", "["):
            steps.append(self._key() if sign == "." else self._index())
        end = self._tokens[self._at - 1].end
        return Path(token.text, tuple(steps), self._text[token.start : end])

    def _key(self) -> str:
        token = self._take()
        if token.kind != "name":
            raise self._mistake('a key is needed after the dot; write others as ["…"]', token)
        return token.text

    def _index(self) -> PathStep:
        """A place in a list, a key, `*`, or a condition, in which `each` is an element."""
        if self._accept("*"):
            step: PathStep = EACH
        elif self._next.text == "]":
            raise self._mistake(f"{INDEX} is needed between [ and ]")
        else:
            step = self._chosen()
        self._expect("]")
        return step

    def _chosen(self) -> PathStep:
        outside, first = self._roots, self._next
        self._roots = {*outside, ELEMENT}
        node = self._choice()
        self._roots = outside
        if isinstance(node, Constant) and type(node.value) in (int, str):
            return node.value
        if isinstance(node, Constant) or (isinstance(node, Call) and node.name in NO_CONDITION):
            raise self._mistake(f"{INDEX} is needed between [ and ]", first)
        return Those(node)
