"""The filter of a redrive: the rulebook's expression language over a letter's fields.

A filter that cannot be answered with yes or no for a letter stops the redrive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from worker.core.errors import UsageError
from worker.core.expressions.compiler import ExpressionMistake, compile_expression
from worker.core.expressions.operators import ExpressionError
from worker.core.expressions.tree import ENVELOPE

LetterFields = Mapping[str, str | int]

NAMES: Final = (
    "event_id",
    "event_type",
    "reason",
    "transaction",
    "topic",
    "partition",
    "offset",
    "attempt",
    "time",
)
"""A letter's fields: `topic`, `partition` and `offset` are the original record's; `time` is the
letter's, in ISO 8601."""

NUMBERS: Final = frozenset({"partition", "offset", "attempt"})
_PLAIN: Final = re.compile(r"\s*([a-z_]+)\s*=\s*([^=\s\"'](?:.*\S)?)\s*", re.DOTALL)


class LetterFilter:
    """A compiled filter. `NAME=VALUE` is short for `NAME == "VALUE"`."""

    def __init__(self, text: str) -> None:
        self.text = _spelled_out(text)
        try:
            expression = compile_expression(self.text, loops=NAMES, condition=True)
        except ExpressionMistake as mistake:
            raise UsageError(f"--where: {mistake}; names are {', '.join(NAMES)}") from None
        astray = sorted(expression.roots & ENVELOPE - set(NAMES))
        if astray:
            raise UsageError(f"--where: a letter has no {astray[0]}: {_meant(astray[0])}")
        self._run = expression.precise

    def chooses(self, fields: LetterFields) -> bool:
        """Is this letter meant?"""
        try:
            return bool(self._run({}, *(fields[name] for name in NAMES)))
        except ExpressionError as error:
            raise UsageError(f"--where: {error}") from None


def _spelled_out(text: str) -> str:
    short = _PLAIN.fullmatch(text)
    if short is None or short[1] not in NAMES:
        return text
    name, value = short.groups()
    if name in NUMBERS:
        return f"{name} == {value}"
    return f'{name} == "{value.translate(_ESCAPED)}"'


_ESCAPED: Final = str.maketrans({'"': r"\"", "\\": r"\\"})


def _meant(name: str) -> str:
    close = get_close_matches(name, NAMES, n=1, cutoff=0.4)
    return f"did you mean {close[0]}?" if close else f"names are {', '.join(NAMES)}"
