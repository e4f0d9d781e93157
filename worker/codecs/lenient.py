"""Shapes that are not Stripe's but mean one thing only, made Stripe's: for `lenient: true`.

| in `data`, at any depth                         | as it comes             | taken as        |
|-------------------------------------------------|-------------------------|-----------------|
| a field that usually has an id (`customer`)     | the object, expanded    | its id          |
| `currency`, `…_currency`                        | `USD`                   | `usd`           |
| any number                                      | `1000.0`                | `1000`          |
| `amount`, `amount_…`, `…_amount`, `fee`, `net`  | `"1000"`                | `1000`          |
| `created`, and the event's own                  | `1767225600000`         | `1767225600`    |
|                                                 | `"2026-01-01T00:00:00Z"`| `1767225600`    |

What could mean two things stays as it is, and is dead: `10.5`, `"10.00"`, a time without its zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from worker.core.event import CREATED_MAX

ID_FIELDS: Final = frozenset(
    {
        "application_fee",
        "balance_transaction",
        "charge",
        "customer",
        "destination",
        "dispute",
        "failure_balance_transaction",
        "invoice",
        "latest_charge",
        "on_behalf_of",
        "payment_intent",
        "payment_method",
        "payout",
        "refund",
        "source_transaction",
        "subscription",
    }
)
"""Fields that have an id unless their object was expanded.

`source` and `transfer` are none: the settlement feed expands them, and rules read inside them.
"""

AMOUNT_FIELDS: Final = re.compile(r"amount|amount_.+|.+_amount|fee|net")
CURRENCY_FIELDS: Final = re.compile(r"currency|.+_currency")
AMOUNT_TEXT: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
CURRENCY_TEXT: Final = re.compile(r"[A-Z]{3,4}")

EXACT_MAX: Final = float(1 << 53)
"""Below it a float is one whole number and no other."""

UNITS: Final = (1, 1_000, 1_000_000, 1_000_000_000)
"""How many of them are in a second: of seconds, milli-, micro- and nanoseconds.

A number says itself which it counts: from 1979 on, no second that an event may have is a number of
milliseconds, and so on.
"""

DEPTH_MAX: Final = 64
"""How deep a record is looked at; Stripe's nest a dozen levels."""


def relaxed(body: Mapping[str, Any]) -> dict[str, Any]:
    """The event with such shapes as Stripe writes them; everything else is left as it is."""
    found = dict(body)
    if "created" in found:
        found["created"] = _second(found["created"])
    if isinstance(found.get("data"), dict):
        found["data"] = _relaxed(found["data"], "", 0)
    return found


def _relaxed(value: Any, name: str, depth: int) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        if name in ID_FIELDS and _is_object(value):
            return value["id"]
        if depth <= DEPTH_MAX:
            return {key: _relaxed(each, key, depth + 1) for key, each in value.items()}
    elif isinstance(value, list):
        if depth <= DEPTH_MAX:
            return [_relaxed(each, "", depth + 1) for each in value]
    elif name == "created":
        return _second(value)
    else:
        return _scalar(value, name)
    return value


def _scalar(value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, float):
        return _whole(value)
    if isinstance(value, str):
        return _text(value, name)
    return value


def _is_object(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("object"), str) and isinstance(value.get("id"), str)


def _text(value: str, name: str) -> Any:  # noqa: ANN401 - a text or a number
    if CURRENCY_FIELDS.fullmatch(name) and CURRENCY_TEXT.fullmatch(value):
        return value.lower()
    if AMOUNT_FIELDS.fullmatch(name) and AMOUNT_TEXT.fullmatch(value):
        return int(value)
    return value


def _whole(value: float) -> Any:  # noqa: ANN401 - int or float
    return int(value) if value.is_integer() and abs(value) < EXACT_MAX else value


def _second(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A time in whole seconds since 1970; what is no time stays."""
    if isinstance(value, float):
        value = _whole(value)
    if isinstance(value, str):
        value = _iso_second(value)
    if type(value) is not int or value < 0:
        return value
    for unit in UNITS:
        if value <= CREATED_MAX * unit:
            return value // unit
    return value


def _iso_second(text: str) -> Any:  # noqa: ANN401 - int, or the text
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return int(time.timestamp() // 1) if time.tzinfo else text
