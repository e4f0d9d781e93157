"""The tokens of an expression, each with its column."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

TEXT_MAX: Final = 4_000
TOKENS_MAX: Final = 300

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
    """The text is no expression.

    column: where, from 1.
    """

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} (column {column} of the expression)")
        self.column = column


class Token(NamedTuple):
    """One word of the text.

    start, end: offsets from 0.
    """

    kind: str
    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Every word and sign, and the end of the text.

    Raises:
        ExpressionMistake: the text is too long, or holds what means nothing.
    """
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
