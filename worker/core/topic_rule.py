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


EncodingName = Literal[
    "", "gzip", "zstd", "json-schema", "avro", "avro-single-object", "avro-header"
]
ENCODINGS: Final[tuple[str, ...]] = tuple(
    name for name in get_args(EncodingName) if name not in {"", "avro"}
)
"""Encodings that need no schema's name beside them."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the bytes of a record do not tell of themselves.

    name: empty where they do: JSON, or Avro in Confluent's frame.
    schema: the packaged schema of `avro` without any frame.
    """

    name: EncodingName = ""
    schema: str = ""

    def __str__(self) -> str:
        """As the rulebook writes it: `gzip`, `{avro: stripe_payment_event}`."""
        return f"{{avro: {self.schema}}}" if self.schema else self.name


AS_TOLD: Final = Encoding()
"""The bytes say it themselves."""

PLAIN: Final = Envelope()
"""No envelope: the record is the event."""


@dataclass(frozen=True, slots=True)
class TopicRule:
    """What one role's topic may carry.

    types: globs; one that starts with `!` takes types out.
    envelope: how its producer wraps the events.
    encoding: what the bytes do not tell.
    lenient: are shapes that are not Stripe's, but mean one thing only, taken as Stripe's?
    """

    role: str
    types: tuple[str, ...]
    priority: Priority = "normal"
    line: int = 0
    envelope: Envelope = PLAIN
    lenient: bool = False
    encoding: Encoding = AS_TOLD

    @property
    def plain(self) -> bool:
        """Is each of its records an event as it is?"""
        return self.envelope == PLAIN and self.encoding == AS_TOLD and not self.lenient

    @property
    def shape(self) -> str:
        """What the rulebook says of its records' shape: `envelope: eventbridge, lenient: true`."""
        return shape_of(self.envelope, lenient=self.lenient, encoding=self.encoding)

    @property
    def only_type(self) -> str:
        """The one event type that it may carry; empty where there may be several."""
        if len(self.types) == 1 and "*" not in self.types[0]:
            return self.types[0]
        return ""


def shape_of(envelope: Envelope, *, lenient: bool, encoding: Encoding = AS_TOLD) -> str:
    """The shape of records, as the rulebook's entry of a topic writes it."""
    first = f"encoding: {encoding}, " if encoding != AS_TOLD else ""
    return f"{first}envelope: {envelope}{', lenient: true' if lenient else ''}"
