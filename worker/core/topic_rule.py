"""What one role's topic may carry, and how its producer wraps the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Priority = Literal["high", "normal", "low"]

Preset = Literal[
    "stripe",
    "eventbridge",
    "eventgrid",
    "cloudevents",
    "connect",
    "debezium",
    "debezium-outbox",
    "object",
]
PRESETS: Final[tuple[str, ...]] = get_args(Preset)
"""Envelopes by name; `stripe`, the default, is none: the record is the event."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where a record has its event.

    preset: how a well-known producer wraps; empty where a path says it.
    path: the names from the record's top to the event.
    text: does the event stand there as JSON text?
    """

    preset: Preset | Literal[""] = "stripe"
    path: tuple[str, ...] = ()
    text: bool = False

    def __str__(self) -> str:
        """As the rulebook writes it: `eventbridge`, `{path: body, text: true}`."""
        if not self.path:
            return self.preset
        return f"{{path: {'.'.join(self.path)}{', text: true' if self.text else ''}}}"


PLAIN: Final = Envelope()
"""No envelope: the record is the event."""


@dataclass(frozen=True, slots=True)
class TopicRule:
    """What one role's topic may carry.

    types: globs; one that starts with `!` takes types out.
    envelope: how its producer wraps the events.
    lenient: are shapes that are not Stripe's, but mean one thing only, taken as Stripe's?
    """

    role: str
    types: tuple[str, ...]
    priority: Priority = "normal"
    line: int = 0
    envelope: Envelope = PLAIN
    lenient: bool = False

    @property
    def plain(self) -> bool:
        """Is each of its records an event as it is?"""
        return self.envelope == PLAIN and not self.lenient

    @property
    def shape(self) -> str:
        """What the rulebook says of its records' shape: `envelope: eventbridge, lenient: true`."""
        return shape_of(self.envelope, lenient=self.lenient)

    @property
    def only_type(self) -> str:
        """The one event type that it may carry; empty where there may be several."""
        if len(self.types) == 1 and "*" not in self.types[0]:
            return self.types[0]
        return ""


def shape_of(envelope: Envelope, *, lenient: bool) -> str:
    """The shape of records, as the rulebook's entry of a topic writes it."""
    return f"envelope: {envelope}{', lenient: true' if lenient else ''}"
