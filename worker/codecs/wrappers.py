"""Which well-known wrapper a decoded record looks like that is no event itself.

For a person: the reason of a dead letter, `explain` and `doctor --sample` name it. Nothing is
unwrapped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Wrapper(NamedTuple):
    """A wrapper as its producers document it.

    name: as people call it. keys: that each of its records has. event: where the event stands.
    """

    name: str
    keys: frozenset[str]
    event: str


WRAPPERS: Final = (
    Wrapper("Amazon EventBridge", frozenset({"detail-type", "source", "detail"}), "detail"),
    Wrapper("CloudEvents (structured)", frozenset({"specversion", "source", "data"}), "data"),
    Wrapper("Azure Event Grid", frozenset({"eventType", "subject", "data"}), "data"),
    Wrapper("Kafka Connect with its schema", frozenset({"schema", "payload"}), "payload"),
    Wrapper("a Debezium change", frozenset({"op", "source", "after"}), "after"),
)
"""In order: the first of which all keys are there."""

STRIPE_OBJECT: Final = "object"
"""Every object of Stripe's has it: its own kind, `event` for an event."""


def looks_like(body: Mapping[str, Any]) -> str:
    """What a record that is no event looks like, for the end of a sentence; empty: like nothing."""
    for wrapper in WRAPPERS:
        if wrapper.keys <= body.keys():
            return f"; it looks like {wrapper.name}, with the event in `{wrapper.event}`"
    kind = body.get(STRIPE_OBJECT)
    if isinstance(kind, str) and kind != "event" and isinstance(body.get("id"), str):
        return "; it looks like a bare Stripe object, with no event around it"
    return ""
