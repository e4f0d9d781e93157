"""`account(NAME, KEY)` on a leg: the event names the account, any declared one that is not memo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from worker.core.expressions.tokens import ExpressionMistake, tokens
from worker.core.rulebook import NamedUse
from worker.rulebooks.fields import YamlMapping

FORM: Final = re.compile(r"\s*account\s*\((.*)\)\s*", re.DOTALL)
OPENS: Final = frozenset("([")
CLOSES: Final = frozenset(")]")


def names_account(text: str) -> bool:
    """Does a leg's side begin as an account that the event names?"""
    return FORM.fullmatch(text) is not None


def read_named(text: str, key: str, fields: YamlMapping, loops: Sequence[str]) -> NamedUse | None:
    """`account(item.account, item.key)`; None, with its mistake noted, where it is something else.

    key: the leg's key, `debit` or `credit`. loops: the names of `for_each` in scope.
    """
    match = FORM.fullmatch(text)
    parts = _arguments(match[1]) if match else []
    if len(parts) != len(("name", "key")):
        fields.wrong(key, f"`{key}`: account() takes two values, an account's name and its key")
        return None
    name, member = (fields.compiled(key, part, loops=loops) for part in parts)
    if name is None or member is None:
        return None
    if name.constant:
        fields.wrong(key, f"`{key}`: the account is the same for every event: write its name alone")
        return None
    return NamedUse(name, member)


def _arguments(text: str) -> list[str]:
    """The texts between the commas outside of nested brackets."""
    try:
        words = tokens(text)
    except ExpressionMistake:
        return [text]
    found, depth, start = [], 0, 0
    for word in words:
        if word.kind == "sign":
            depth += (word.text in OPENS) - (word.text in CLOSES)
        if word.kind == "sign" and word.text == "," and depth == 0:
            found.append(text[start : word.start])
            start = word.end
    return [*found, text[start:]]
