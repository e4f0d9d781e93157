"""Amounts, keys and conditions of ADR-0015's text form, written in the rulebook's expressions.

| in the text form | in the rulebook |
|---|---|
| `sale.amount` | `data.object.sale.amount` |
| `sale.amount * 0.80` | `data.object.sale.amount * 80 // 100` |
| `sale.amount / 3` | `data.object.sale.amount // 3` |
| `sale.status == "paid"` | `data.object.sale.status == "paid"` |
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from worker.core.expressions.tree import FUNCTIONS, WORDS

TOKEN: Final = re.compile(
    r"(?P<number>\d\w*(?:\.\w*)?)"
    r"|(?P<path>[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*)"
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<sign>==|!=|<=|>=|//|[-+*/%<>(),\[\]])"
    r"|(?P<space>\s+)",
    re.ASCII,
)
CALLED: Final = re.compile(rf"\b({'|'.join(sorted(FUNCTIONS))}) (?=\()")
SPARE: Final = re.compile(r"(?<=[(\[]) | (?=[)\],])")
DECIMAL: Final = re.compile(r"\d{1,30}\.\d{1,12}")
ROUNDED: Final = "rounded down to a whole minor unit: parts may add up to less than all"


class AdrMistake(Exception):
    """The text cannot be written as an expression; the message says why."""


class Translated(NamedTuple):
    """An expression.

    decide: what a person must decide about it, "" where nothing.
    """

    text: str
    decide: str = ""


def translate(text: str) -> Translated:
    """The same in the rulebook's language, whose own mistakes are found when it is compiled.

    Raises:
        AdrMistake: a character, or a decimal that no whole number stands for.
    """
    written: list[str] = []
    decide = ""
    tokens = _tokens(text)
    for number, (kind, token) in enumerate(tokens, 1):
        if kind == "number" and "." in token:
            written.append(_factor(token, written))
            decide = ROUNDED
        elif (kind, token) == ("sign", "/"):
            written.append("//")
            decide = ROUNDED
        elif kind == "path":
            called = token in FUNCTIONS and tokens[number : number + 1] == [("sign", "(")]
            written.append(token if called or token in WORDS else _path(token))
        else:
            written.append(token)
    return Translated(_joined(written), decide)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text):
        token = TOKEN.match(text, position)
        if token is None or token.lastgroup is None:
            raise AdrMistake(f"{text[position]!r} is not understood here")
        if token.lastgroup != "space":
            found.append((token.lastgroup, token[0]))
        position = token.end()
    return found


def _factor(number: str, before: list[str]) -> str:
    """A decimal after `*`, as a whole number and the power of ten that it is divided by."""
    if not DECIMAL.fullmatch(number):
        raise AdrMistake(f"{number!r} is no number")
    if not before or before[-1] != "*":
        raise AdrMistake(f"{number!r}: amounts are minor units; a decimal may only follow `*`")
    whole, _, part = number.partition(".")
    scaled = f"{int(whole + part)} // {10 ** len(part)}"
    return scaled if part.strip("0") else str(int(whole))


def _path(token: str) -> str:
    return f"data.object.{''.join(token.split())}"


def _joined(tokens: list[str]) -> str:
    return CALLED.sub(r"\1", SPARE.sub("", " ".join(tokens)))
