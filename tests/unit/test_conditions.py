"""Conditions: nothing but true and false decides, whichever way leads to it."""

from __future__ import annotations

import pytest

from worker.core.expressions.compiler import compile_expression
from worker.core.expressions.operators import IllTyped
from worker.core.expressions.tokens import ExpressionMistake


@pytest.mark.parametrize("value", [None, 0, 1, "", "true", 1.0, [], {}])
@pytest.mark.parametrize(
    "text",
    [
        "data.n",
        "not data.n",
        "data.n and true",
        "true and data.n",
        "data.n or false",
        "false or data.n",
        "1 if data.n else 2",
        "not (data.n if data.yes else true)",
        "not (true if data.no else data.n)",
        "(data.n if data.yes else true) and true",
        "(true if data.no else data.n) or false",
        "1 if (data.n if data.yes else false) else 2",
        "data.list where data.n",
        "data.list[data.n]",
    ],
)
def test_what_is_no_boolean_decides_nothing(text: str, value: object) -> None:
    """Wherever a condition stands, and whichever way leads to it."""
    body = {"data": {"n": value, "yes": True, "no": False, "list": [1]}}
    expression = compile_expression(text, condition=text == "data.n")
    for reading in (expression.fast, expression.precise):
        with pytest.raises(IllTyped):
            reading(body)


@pytest.mark.parametrize(
    "text",
    [
        "each.a + 1",
        "each.a - 1",
        "each.a * 2",
        "each.a // 2",
        "each.a % 2",
        "-each.a",
        "(each.a where each.b)",
        "abs(each.a)",
        "sum(each.a)",
        "count(each.a)",
        "latest(each.a, each.b)",
        "whole_number(each.a)",
        "5",
        "true",
    ],
)
def test_what_can_never_be_a_boolean_is_a_mistake_where_it_stands(text: str) -> None:
    """It is told when the rulebook is read, and not when an event comes."""
    for whole in (f"data.list where {text}", f"data.list where ({text})"):
        with pytest.raises(ExpressionMistake, match="a condition is needed"):
            compile_expression(whole)
    if text != "5":
        with pytest.raises(ExpressionMistake, match="condition is needed"):
            compile_expression(f"data.list[{text}]")


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("data.a", 0),
        ("data.a[0].b", 0),
        ("data.a[*]", 1),
        ("data.a[*].b", 1),
        ("data.a[*].b[*]", 2),
        ("data.a[each.x]", 1),
        ("data.a[each.x].b[*]", 2),
        ("data.a where each.x", 1),
        ("(data.a where each.x)[*].b", 1),
        ("count(data.a[*])", 0),
        ("latest(data.a[*].b, each.c)", 0),
    ],
)
def test_how_deep_the_elements_of_a_value_are(text: str, levels: int) -> None:
    """A key after it is a key of each element, so many lists down."""
    assert compile_expression(text).levels == levels
