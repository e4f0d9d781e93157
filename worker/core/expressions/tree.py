"""Expressions as trees: constants, paths, and operators with their operands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

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

FUNCTIONS: Final = frozenset(
    {
        "min",
        "max",
        "abs",
        "sum",
        "count",
        "latest",
        "text",
        "whole_number",
        "has_ledger",
        "coalesce",
    }
)
CONSTANTS: Final = {"true": True, "false": False, "null": None}
WORDS: Final = frozenset({"and", "or", "not", "in", "if", "else", "where", *CONSTANTS})
NO_CONDITION: Final = frozenset(
    {
        "+",
        "-",
        "*",
        "//",
        "%",
        "negate",
        "list",
        "where",
        "abs",
        "sum",
        "count",
        "latest",
        "whole_number",
    }
)

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
    """A value of the event or of a loop's item.

    text: as a person wrote it, for messages.
    """

    root: str
    steps: tuple[PathStep, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Steps:
    """What a path behind parentheses or a function leads to: `(…).amount`, `latest(…).fee`."""

    base: Node
    steps: tuple[PathStep, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function: `+`, `==`, `and`, `if`, `list`, `min`, … and its operands."""

    name: str
    operands: tuple[Node, ...]
    text: str


Node = Constant | Path | Steps | Call


def list_levels(node: Node, levels: Mapping[str, int]) -> int:
    """How many lists deep a node's elements are: a key after it is a key of each element.

    1 for `lines where …` and `lines[*].amount`, 0 for a plain path, wherever it leads.
    """
    if isinstance(node, Path | Steps):
        own = levels.get(node.root, 0) if isinstance(node, Path) and not node.steps else 0
        return own + sum(step is EACH or isinstance(step, Those) for step in node.steps)
    return int(isinstance(node, Call) and node.name == "where")
