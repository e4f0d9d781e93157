"""The operators and functions of expressions, strict about kinds.

An operand of the wrong kind is an `IllTyped`: booleans are no numbers, numbers are whole, and
nothing is compared across kinds. Every function takes the expression's text last, for the message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from worker.core.expressions.tree import EACH

Value: TypeAlias = Any
"""A decoded JSON or Avro value: its kind is not known before it is looked at."""

WalkStep = str | int | Callable[[Value], bool] | None
"""One step of a path: a key, an index, the elements that meet a condition, or all."""

SCALARS: Final = frozenset({int, str, bool, type(None)})


class ExpressionError(Exception):
    """An expression has no value for this event; the message names the field, never its value."""


class Missing(ExpressionError):
    """A path leads nowhere."""


class IllTyped(ExpressionError):
    """A value is of the wrong kind."""


def walk(root: Value, steps: tuple[WalkStep, ...], text: str) -> Value:
    """The value that a path leads to, step by step; says where the path breaks."""
    value = root
    for number, step in enumerate(steps):
        if step is EACH or callable(step):
            if not isinstance(value, list):
                step_text = "[*]" if step is EACH else "[…]"
                raise Missing(f"{text} is missing: there is no list at {step_text}")
            chosen = filter(step, value) if callable(step) else value
            return [walk(item, steps[number + 1 :], text) for item in chosen]
        value = _walk_step(value, step, text)
    return value


def _walk_step(value: Value, step: str | int | None, text: str) -> Value:
    if isinstance(step, str):
        if isinstance(value, Mapping) and step in value:
            return value[step]
        hint = "" if isinstance(value, Mapping) else f": there is no object to look {step!r} up in"
        raise Missing(f"{text} is missing{hint}")
    if isinstance(step, int) and isinstance(value, list) and step < len(value):
        return value[step]
    raise Missing(f"{text} is missing: there is no element [{step}]")


def listed(value: Value) -> list[Value]:
    """The list itself; a plain TypeError otherwise, as a subscript that fails gives."""
    if type(value) is list:
        return value
    raise TypeError


def add(left: Value, right: Value, text: str) -> int | str:
    """The sum of two integers, or two strings joined."""
    if type(left) is int and type(right) is int:
        return left + right
    if type(left) is str and type(right) is str:
        return left + right
    raise IllTyped(f"{text} needs two whole numbers or two strings")


def subtract(left: Value, right: Value, text: str) -> int:
    """The difference of two integers."""
    if type(left) is int and type(right) is int:
        return left - right
    raise IllTyped(f"{text} needs whole numbers")


def multiply(left: Value, right: Value, text: str) -> int:
    """The product of two integers; strings and lists are not repeated."""
    if type(left) is int and type(right) is int:
        return left * right
    raise IllTyped(f"{text} needs whole numbers")


def divide(left: Value, right: Value, text: str) -> int:
    """The quotient, rounded down, also below zero."""
    return _divisible(left, right, text) // int(right)


def remainder(left: Value, right: Value, text: str) -> int:
    """What `divide` leaves; it has the sign of the divisor."""
    return _divisible(left, right, text) % int(right)


def _divisible(left: Value, right: Value, text: str) -> int:
    if type(left) is not int or type(right) is not int:
        raise IllTyped(f"{text} needs whole numbers")
    if right == 0:
        raise IllTyped(f"{text} divides by zero")
    return left


def negate(value: Value, text: str) -> int:
    """An integer with the other sign."""
    if type(value) is int:
        return -value
    raise IllTyped(f"{text} needs a whole number")


def equal(left: Value, right: Value, text: str) -> bool:
    """Whether two scalars are the same kind and value; lists, objects and fractions are refused."""
    if type(left) not in SCALARS or type(right) not in SCALARS:
        raise IllTyped(f"{text} can compare whole numbers, strings, booleans and null only")
    return type(left) is type(right) and bool(left == right)


def less(left: Value, right: Value, text: str) -> bool:
    """Whether left < right, for two integers or two strings."""
    _comparable(left, right, text)
    return bool(left < right)


def less_or_equal(left: Value, right: Value, text: str) -> bool:
    """Whether left <= right, for two integers or two strings."""
    _comparable(left, right, text)
    return bool(left <= right)


def greater(left: Value, right: Value, text: str) -> bool:
    """Whether left > right, for two integers or two strings."""
    _comparable(left, right, text)
    return bool(left > right)


def greater_or_equal(left: Value, right: Value, text: str) -> bool:
    """Whether left >= right, for two integers or two strings."""
    _comparable(left, right, text)
    return bool(left >= right)


def _comparable(left: Value, right: Value, text: str) -> None:
    if type(left) is not type(right) or type(left) not in (int, str):
        raise IllTyped(f"{text} needs two whole numbers or two strings")


def contains(member: Value, group: Value, text: str) -> bool:
    """Whether a list has the member, or a string the part."""
    if type(group) is list:
        return any(equal(member, other, text) for other in group)
    if type(group) is str and type(member) is str:
        return member in group
    raise IllTyped(f"{text} needs a list on the right, or two strings")


def truth(value: Value, text: str) -> bool:
    """The boolean itself: nothing else counts as true or false."""
    if value is True or value is False:
        return bool(value)
    raise IllTyped(f"{text} is neither true nor false")


def smallest(values: Value, text: str) -> Value:
    """The least of the integers or strings."""
    _orderable(values, text)
    return min(values)


def largest(values: Value, text: str) -> Value:
    """The greatest of the integers or strings."""
    _orderable(values, text)
    return max(values)


def _orderable(values: Value, text: str) -> None:
    if type(values) is not list:
        raise IllTyped(f"{text} needs values to choose from")
    if not values:
        raise Missing(f"{text} is missing: there are no values to choose from")
    for value in values:
        _comparable(value, values[0], text)


def absolute(value: Value, text: str) -> int:
    """An integer without its sign."""
    if type(value) is int:
        return abs(value)
    raise IllTyped(f"{text} needs a whole number")


def total(values: Value, text: str) -> int:
    """The sum of a list of integers; 0 for an empty one."""
    if type(values) is not list or any(type(value) is not int for value in values):
        raise IllTyped(f"{text} needs a list of whole numbers")
    return sum(values)


def elements(value: Value, text: str) -> list[Value]:
    """The list that `where` chooses from."""
    if type(value) is list:
        return value
    raise Missing(f"{text} is missing: there is no list before where")


def number_of(values: Value, text: str) -> int:
    """How many elements a list has."""
    if type(values) is list:
        return len(values)
    raise IllTyped(f"{text} needs a list")


def in_digits(value: Value, text: str) -> str:
    """A whole number in decimal digits, to be joined with strings."""
    if type(value) is int:
        return str(value)
    raise IllTyped(f"{text} needs a whole number")


def whole_number(value: Value, _text: str) -> int | None:
    """The whole number that a value is; null for anything else, digits in a string among it."""
    return value if type(value) is int else None


def has_ledger(currency: Value, ledgers: frozenset[str], _text: str) -> bool:
    """Whether a value is a currency that the rulebook has a ledger for."""
    return type(currency) is str and currency in ledgers


def latest(values: Value, field: Callable[[Value], Value], text: str) -> Value:
    """The element whose field is greatest, the first of several; null where there is none."""
    if type(values) is not list:
        raise IllTyped(f"{text} needs a list")
    found = [field(value) for value in values]
    for value in found:
        _comparable(value, found[0], text)
    return values[found.index(max(found))] if found else None


def first_present(thunks: tuple[Callable[[], Value], ...]) -> Value:
    """The first value that is neither missing nor null, else null.

    A plain subscript fails with KeyError or TypeError where a path leads nowhere.
    """
    for thunk in thunks:
        try:
            value = thunk()
        except (KeyError, TypeError, Missing):
            continue
        if value is not None:
            return value
    return None
