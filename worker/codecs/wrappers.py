"""Which well-known wrapper a decoded record looks like that is no event itself.

For a person: the reason of a dead letter, `explain` and `doctor --sample` name it. Nothing is
unwrapped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from worker.core.topic_rule import Preset


class Wrapper(NamedTuple):
    """A wrapper as its producers document it.

    name: as people call it.
    keys: that each of its records has.
    event: where the event stands.
    preset: the envelope of the rulebook that takes it off.
    """

    name: str
    keys: frozenset[str]
    event: str
    preset: Preset


WRAPPERS: Final = (
    Wrapper(
        "Amazon EventBridge",
        frozenset({"detail-type", "source", "detail"}),
        "detail",
        "eventbridge",
    ),
    Wrapper(
        "CloudEvents (structured)",
        frozenset({"specversion", "source", "data"}),
        "data",
        "cloudevents",
    ),
    Wrapper("Azure Event Grid", frozenset({"eventType", "subject", "data"}), "data", "eventgrid"),
    Wrapper(
        "Kafka Connect with its schema", frozenset({"schema", "payload"}), "payload", "connect"
    ),
    Wrapper("a Debezium change", frozenset({"op", "source", "after"}), "after", "debezium"),
)
"""In order: the first of which all keys are there."""

STRIPE_OBJECT: Final = "object"
"""Every object of Stripe's has it: its own kind, `event` for an event."""


def looks_like(body: Mapping[str, Any]) -> str:
    """What a record that is no event looks like, for the end of a sentence; empty: like nothing."""
    for wrapper in WRAPPERS:
        if wrapper.keys <= body.keys():
            return (
                f"; it looks like {wrapper.name}, with the event in `{wrapper.event}`"
                f" (envelope: {wrapper.preset})"
            )
    if is_bare_object(body):
        return "; it looks like a bare Stripe object, with no event around it (envelope: object)"
    return ""


def is_bare_object(body: Mapping[str, Any]) -> bool:
    """Is it a Stripe object without an event around it?"""
    kind = body.get(STRIPE_OBJECT)
    return isinstance(kind, str) and kind != "event" and isinstance(body.get("id"), str)
