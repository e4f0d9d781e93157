"""The expression language: what it computes, what it refuses, and that both readings agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.expressions.compiler import (
    Expression,
    ExpressionMistake,
    compile_expression,
    loop_name_problem,
)
from worker.core.expressions.operators import ExpressionError, IllTyped, Missing

BODY: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.succeeded",
    "created": 1_700_000_000,
    "livemode": False,
    "data": {
        "object": {
            "amount": 250,
            "from": "cus_1",
            "paid": True,
            "in": {"not": 7},
            "customer": None,
            "rate": 1.5,
            "lines": [{"amount": 10, "tags": [1, 2]}, {"amount": -4, "tags": []}],
            "metadata": {"order-id": "o 1"},
            "refunds": [
                {"id": "a", "at": {"second": 7}},
                {"id": "b", "at": {"second": 9}},
                {"id": "c", "at": {"second": 9}},
            ],
        }
    },
}

VALUES = [
    # expression                                                 value
    ("data.object.amount", 250),
    ("data.object.from", "cus_1"),
    ("data.object.in.not", 7),
    ('data.object.metadata["order-id"]', "o 1"),
    ("data['object']['amount']", 250),
    ("id", "evt_1"),
    ("type", "charge.succeeded"),
    ("created", 1_700_000_000),
    ("livemode", False),
    ("data.object.lines[1].amount", -4),
    ("data.object.lines[*].amount", [10, -4]),
    ("data.object.lines[*].tags[*]", [[1, 2], []]),
    ("data.object.lines[each.amount < 0].amount", [-4]),
    ("data.object.lines[each.amount > 100].amount", []),
    ("data.object.lines[2 in each.tags].tags[each > 1]", [[2]]),
    (
        "data.object.lines[each.amount == max(data.object.lines[each.amount > 0].amount)].tags[0]",
        [1],
    ),
    ("sum(data.object.lines[sum(each.tags[*]) + data.object.amount > 250].amount)", 10),
    ("coalesce(max(data.object.lines[each.amount > 100].amount), 7)", 7),
    ("data.object.lines where each.amount < 0", [{"amount": -4, "tags": []}]),
    ("(data.object.lines where each.amount < 0).amount", [-4]),
    ('(data.object.lines where each.amount < 0)["amount"]', [-4]),
    ("(data.object.lines where each.amount < 0)[0].amount", -4),
    ("(data.object.lines where each.amount < 0)[*].amount", [-4]),
    ("(data.object.lines where each.amount < 100)[each.amount > 0].tags[1]", [2]),
    ("sum((data.object.lines where each.amount < 0).amount)", -4),
    ("sum((data.object.lines where each.amount > 99).amount)", 0),
    ("(data.object.lines where each.amount > 0 where 2 in each.tags).amount", [10]),
    ("(data.object.lines where count(each.tags where each > 1) == 1).amount", [10]),
    ("count(data.object.lines where each.amount > 0 and data.object.paid)", 1),
    ("count([])", 0),
    ("[3, 4, 5] where each > 3", [4, 5]),
    ("(coalesce(data.object.nowhere, []) where each.amount > 0).amount", []),
    ("data.object.from if data.object.paid else data.object.where", "cus_1"),
    ("latest(data.object.lines, amount).tags", [1, 2]),
    ("latest(data.object.lines where each.amount < 0, amount).tags", []),
    ("latest(data.object.refunds, at.second).id", "b"),
    ("latest(data.object.refunds[each.id != 'b'], at.second).id", "c"),
    ("latest(data.object.lines where each.amount > 99, amount)", None),
    ("latest(data.object.nowhere, amount)", None),
    ("latest(data.object.nowhere where each.amount > 0, amount)", None),
    ("latest(data.object.customer, amount) == null", True),
    ("coalesce(latest(data.object.nowhere, amount).amount, 7)", 7),
    ("(data.object.metadata)['order-id']", "o 1"),
    ("coalesce(data.object.nowhere, data.object.in).not", 7),
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("10 - 3 - 2", 5),
    ("7 // 2", 3),
    ("-7 // 2", -4),
    ("-7 % 3", 2),
    ("- - 5", 5),
    ("-data.object.amount", -250),
    ("'a' + \"b\"", "ab"),
    (r'"say \"hi\""', 'say "hi"'),
    ("1 < 2", True),
    ("2 <= 1", False),
    ("data.object.amount >= 250", True),
    ("data.object.amount > 250", False),
    ("'a' < 'b'", True),
    ("1 == 1", True),
    ("1 == true", False),
    ("'1' == 1", False),
    ("1 != 2", True),
    ("data.object.customer == null", True),
    ("data.object.from != null", True),
    ("data.object.rate == null", False),
    ("data.object.from == 'cus_1'", True),
    ("data.object.lines == 'cus_1'", False),
    ("data.object.from in ['cus_1', 'cus_2']", True),
    ("data.object.amount in [1, 250]", True),
    ("data.object.amount not in [1, 250]", False),
    ("'us_' in data.object.from", True),
    ("1 in data.object.lines[0].tags", True),
    ("true and false", False),
    ("true or data.object.nowhere", True),
    ("false and data.object.nowhere", False),
    ("not not true", True),
    ("not data.object.paid or true", True),
    ("1 if data.object.paid else 2", 1),
    ("1 if not data.object.paid else 2 if false else 3", 3),
    ("min(3, 1, 2)", 1),
    ("max(data.object.lines[*].amount)", 10),
    ("abs(-3)", 3),
    ("sum(data.object.lines[*].amount)", 6),
    ("sum([])", 0),
    ("coalesce(data.object.nowhere.at.all, data.object.customer, 5)", 5),
    ("coalesce(data.object.customer, data.object.nowhere)", None),
    ("whole_number(data.object.amount)", 250),
    ("whole_number('2000')", None),
    ("whole_number(true)", None),
    ("whole_number(data.object.lines)", None),
    ("coalesce(whole_number(data.object.customer), 5)", 5),
    ("coalesce(data.object.nowhere + 1, 3)", 3),
    ("coalesce(data.object.amount.deeper, 4)", 4),
    ("[1, [true], null]", [1, [True], None]),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_value(text: str, value: object) -> None:
    """An expression has this value, read fast and read precisely."""
    expression = compile_expression(text)
    for run in (expression.fast, expression.precise):
        found = run(BODY)
        assert (found, type(found)) == (value, type(value))


FAILURES = [
    # expression                          error     says
    ("data.object.nowhere", Missing, "data.object.nowhere is missing"),
    ("data.object.customer.id", Missing, "data.object.customer.id is missing"),
    ("data.object.from.id", Missing, "data.object.from.id is missing"),
    ("data.object.lines[2].amount", Missing, "there is no element [2]"),
    ("data.object.amount[0]", Missing, "there is no element [0]"),
    ("data.object.amount[*]", Missing, "there is no list at [*]"),
    ("data.object.amount[each > 1]", Missing, "there is no list at […]"),
    ("data.object.lines[each.fee > 1]", Missing, "each.fee is missing"),
    ("data.object.lines[each.amount]", IllTyped, "each.amount is neither true nor false"),
    ("data.object.lines[each > 1]", IllTyped, "two whole numbers or two strings"),
    ("data.object.lines[*].fee", Missing, "data.object.lines[*].fee is missing"),
    ("data.object.amount + data.object.from", IllTyped, "two whole numbers or two strings"),
    ("data.object.amount - true", IllTyped, "whole numbers"),
    ("data.object.rate * 2", IllTyped, "whole numbers"),
    ("data.object.from * 1000", IllTyped, "whole numbers"),
    ("data.object.lines * 2", IllTyped, "whole numbers"),
    ("data.object.amount // 0", IllTyped, "divides by zero"),
    ("data.object.amount % 0", IllTyped, "divides by zero"),
    ("-data.object.from", IllTyped, "a whole number"),
    ("data.object.amount < data.object.from", IllTyped, "two whole numbers or two strings"),
    ("data.object.paid < 2", IllTyped, "two whole numbers or two strings"),
    ("data.object.rate == 1", IllTyped, "can compare"),
    ("data.object.lines == 1", IllTyped, "can compare"),
    ("1 in data.object.amount", IllTyped, "a list on the right"),
    ("not data.object.customer", IllTyped, "data.object.customer is neither true nor false"),
    ("data.object.amount and true", IllTyped, "neither true nor false"),
    ("1 if data.object.from else 2", IllTyped, "neither true nor false"),
    ("sum(data.object.amount)", IllTyped, "a list of whole numbers"),
    ("sum([1, true])", IllTyped, "a list of whole numbers"),
    ("max([])", Missing, "there are no values to choose from"),
    ("max(1)", IllTyped, "needs values"),
    ("min(1, 'a')", IllTyped, "two whole numbers or two strings"),
    ("abs(data.object.from)", IllTyped, "a whole number"),
    ("coalesce(1 + true, 2)", IllTyped, "two whole numbers"),
    ("data.object.amount where each > 1", Missing, "there is no list before where"),
    ("data.object.nowhere where each > 1", Missing, "data.object.nowhere is missing"),
    ("data.object.lines where each.fee > 1", Missing, "each.fee is missing"),
    ("data.object.lines where each.amount", IllTyped, "each.amount is neither true nor false"),
    ("(data.object.lines where each.amount > 1).fee", Missing, "(data.object.lines where each.am"),
    ("count(data.object.amount)", IllTyped, "needs a list"),
    ("count(data.object.nowhere)", Missing, "data.object.nowhere is missing"),
    ("latest(data.object.amount, created)", IllTyped, "needs a list"),
    ("latest(data.object.lines, created)", Missing, "created is missing"),
    ("latest(data.object.lines, tags)", IllTyped, "two whole numbers or two strings"),
    ("latest(data.object.nowhere, a).amount", Missing, "latest(data.object.nowhere, a).amount"),
]


@pytest.mark.parametrize(("text", "error", "says"), FAILURES)
def test_failure(text: str, error: type[ExpressionError], says: str) -> None:
    """The precise reading fails so, and the fast one fails too."""
    expression = compile_expression(text)
    with pytest.raises(error) as caught:
        expression.precise(BODY)
    assert says in str(caught.value)
    with pytest.raises((KeyError, TypeError, ExpressionError)):
        expression.fast(BODY)


MISTAKES = [
    # text                         column  says
    ("", 1, "an expression is needed"),
    ("1.5", 1, "no fractions"),
    ("0x10", 1, "not a whole number"),
    ("1" * 40, 1, "not a whole number"),
    ("dta.object", 1, "did you mean 'data'?"),
    ("item.amount", 1, "'item' is not known here"),
    ("data.", 6, "ends too early"),
    ("data.object.1", 13, "a key is needed"),
    ("data[x]", 6, "'x' is not known here: a path starts with data, id, each, …"),
    ("data[]", 6, "a number, a string, * or a condition is needed"),
    ("data[-1]", 6, "a number, a string, * or a condition is needed"),
    ("data[true]", 6, "a number, a string, * or a condition is needed"),
    ("data[each.a > 1].b + each.c", 22, "'each' is not known here"),
    ("data.object = 2", 13, "use == to compare"),
    ("1 / 2", 3, "use // to divide"),
    ("1 && 2", 3, "use and"),
    ("'abc", 1, "the string has no end"),
    ("1 < 2 < 3", 7, "do not chain"),
    ("(1", 3, "')' is needed"),
    ("1 2", 3, "unexpected '2'"),
    ("1 if true", 10, "'else' is needed"),
    ("open(1)", 1, "there is no function 'open'"),
    ("sum(1, 2)", 1, "takes one list"),
    ("coalesce()", 1, "takes at least one value"),
    ("data.__class__()", 15, "unexpected '('"),
    ("lambda x", 1, "'lambda' is not known here"),
    ("data.a where 5", 14, "a condition is needed after where"),
    ("data.a where each.b + 1", 14, "a condition is needed after where"),
    ("data.a where each.b > 1 + where", 27, "unexpected 'where'"),
    ("where data.a", 1, "unexpected 'where'"),
    ("(data.a where each.b > 1) + each.b", 29, "'each' is not known here"),
    ("latest(data.a)", 14, "',' is needed"),
    ("latest(data.a, 1)", 16, "a key is needed"),
    ("latest(data.a, b, c)", 17, "')' is needed"),
    ("count(data.a, data.b)", 1, "takes one list"),
    ("(data.a where true)", 15, "a condition is needed after where"),
    ("(3).a", 6, "a constant has no parts"),
    ("each.a", 1, "'each' is not known here"),
    ("[1, , 2]", 5, "unexpected ','"),
    ("(" * 30 + "1" + ")" * 30, 21, "nested deeper"),
    ("1" + "+1" * 200, 1, "more than 300"),
    ("'" + "a" * 5000 + "'", 1, "longer than"),
    ("'a\0b'", 1, "cannot hold NUL"),
]


@pytest.mark.parametrize(("text", "column", "says"), MISTAKES)
def test_mistake(text: str, column: int, says: str) -> None:
    """A text that is no expression is refused with the column and a hint."""
    with pytest.raises(ExpressionMistake) as caught:
        compile_expression(text)
    assert says in str(caught.value)
    assert caught.value.column == column


def test_longest_allowed_expressions_compile() -> None:
    """The parser's limits keep well away from Python's recursion limit."""
    assert compile_expression("1" + "+1" * 149).fast(BODY) == 150
    deep = "(" * 19 + "1" + ")" * 19
    assert compile_expression(deep).fast(BODY) == 1


def test_loop_items_are_arguments() -> None:
    """Items of nested loops stand beside the event, outermost first."""
    expression = compile_expression("order.id + line.sku + id", loops=("order", "line"))
    assert expression.fast(BODY, {"id": "o"}, {"sku": "s"}) == "osevt_1"
    assert expression.precise(BODY, {"id": "o"}, {"sku": "s"}) == "osevt_1"


def test_a_condition_on_elements_sees_the_event_and_the_items() -> None:
    """Inside [ and ], `each` is the element; loops' items and the event stand there too."""
    text = "sum(data.object.lines[each.amount == item.amount and id != null].amount)"
    expression = compile_expression(text, loops=("item",))
    assert expression.roots == {"data", "item", "id"}
    for run in (expression.fast, expression.precise):
        assert run(BODY, {"amount": -4}) == -4
    assert loop_name_problem("each")
    assert not loop_name_problem("item")


def test_a_key_that_names_a_dunder_is_only_a_key() -> None:
    """A path reads keys, never attributes."""
    expression = compile_expression("data.__class__")
    assert expression.fast({"data": {"__class__": 1}}) == 1
    with pytest.raises(Missing):
        expression.precise({"data": {}})


def test_compiled_code_has_no_builtins() -> None:
    """The namespace that compiled code runs in offers this module's operations only."""
    namespace = compile_expression("1 + 2").fast.__globals__
    assert namespace["__builtins__"] == {}


def test_condition_must_be_a_boolean() -> None:
    """A condition that is not true or false has no value."""
    assert compile_expression("data.object.paid", condition=True).fast(BODY) is True
    with pytest.raises(IllTyped):
        compile_expression("data.object.amount", condition=True).fast(BODY)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 1) | st.sampled_from(["", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=12,
)

AGREEING = [
    compile_expression(text)
    for text in (
        "data.a.b",
        "data.a[0].b",
        "data.a[*].b",
        "data[*].a[*]",
        "data.a[each.b == 1].c",
        "data[each.a in [1, 2] or each.b].a[each != null]",
        "data.a[0].b[each.c > data.b].a",
        "coalesce(max(data.a[each.b > 0].b), data.c)",
        "coalesce(data.a.b, data.c, 1) == 1",
        "coalesce(data.a + 1, data.b[*].c)",
        "data.a in data.b",
        "data.a in ['a', '']",
        "data.a == data.b or data.c != null",
        "sum(data.a[*].b) - data.c",
        "max(data.a) if data.b else -data.c",
        "data.a + data.b",
        "data.a < data.b",
        "data.a // data.b",
        "data.a where each.b == 1",
        "(data.a where each.b == 1 where each.c != null).a",
        "sum((data where each.a > 0).b)",
        "latest(data.a, b).c",
        "latest(data where each.a != 1, a.b)",
        "coalesce(latest(data.a where each.b, c).a, count(data.b))",
        "(data.a if data.b else data.c).a[0]",
    )
]


def outcome(expression: Expression, body: dict[str, Any], *, fast: bool) -> tuple[str, object]:
    """The value with its kind, or that there is none; only the fast reading fails with Python's."""
    failures = (KeyError, TypeError, ExpressionError) if fast else (ExpressionError,)
    try:
        value = (expression.fast if fast else expression.precise)(body)
    except failures:
        return "fails", None
    return type(value).__name__, value


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_fast_and_precise_readings_agree(value: object) -> None:
    """Whatever an event holds, both readings give the same value or both fail."""
    body = {"data": value}
    for expression in AGREEING:
        assert outcome(expression, body, fast=True) == outcome(expression, body, fast=False)
