"""A decoded event, or the reason why a record cannot be one.

A bad record is a value (`Dead`), never an exception: it goes to the dead-letter topic and the
stream goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

CREATED_MAX = 253_402_300_799
"""9999-12-31T23:59:59Z in seconds: the last second that ISO 8601 writes with four digits."""

ATTEMPT_MAX = 7
"""The highest attempt that `redrive --new-attempt` may ask for; attempt 0 is the first."""


class Reason(StrEnum):
    """Why a record is a dead letter: the value of the header `ledger_worker.reason`."""

    UNDECODABLE = "undecodable"
    UNKNOWN_SCHEMA = "unknown_schema"
    NOT_AN_EVENT = "not_an_event"
    THIN_EVENT = "thin_event"
    NO_RULE = "no_rule"
    MISSING_FIELD = "missing_field"
    BAD_AMOUNT = "bad_amount"
    UNKNOWN_CURRENCY = "unknown_currency"
    CONFLICT = "conflict"
    PREDECESSOR_MISSING = "predecessor_missing"
    SAME_ACCOUNT = "same_account"
    OVERFLOW = "overflow"
    WRONG_MODE = "wrong_mode"
    WRONG_TOPIC = "wrong_topic"
    BAD_TIME = "bad_time"
    BAD_KEY = "bad_key"
    TOO_MANY_LEGS = "too_many_legs"
    TOO_LARGE = "too_large"


class Bodies(Protocol):
    """Reads the envelope in a record's value; a port, because the core knows no codec."""

    def body_of(self, value: bytes) -> Mapping[str, Any]:
        """The envelope of a value that was decoded before."""
        ...


class Event:
    """One decoded event.

    id: unique per event, not empty.
    type: Stripe's event type (`charge.succeeded`) or a wallet command (`wallet.p2p`).
    created: whole seconds since 1970, 0…CREATED_MAX; part of the event's identity.
    """

    __slots__ = ("_bodies", "_body", "_value", "created", "id", "type")

    def __init__(self, id: str, type: str, created: int, body: Mapping[str, Any]) -> None:  # noqa: A002 - Stripe's names
        self.id = id
        self.type = type
        self.created = created
        self._body: Mapping[str, Any] | None = body
        self._bodies: Bodies | None = None
        self._value = b""

    @property
    def body(self) -> Mapping[str, Any]:
        """The whole decoded envelope; rules address it by path (`data.object.amount`)."""
        if self._body is None:
            if self._bodies is None:
                raise RuntimeError("an event without a body")
            self._body = self._bodies.body_of(self._value)
        return self._body

    def set_aside(self, bodies: Bodies, value: bytes) -> None:
        """Free the body, most of a batch's memory; it is decoded again when needed."""
        self._body, self._bodies, self._value = None, bodies, value

    def release(self) -> None:
        """Free the body once more, where it was set aside and has been asked for since."""
        if self._bodies is not None:
            self._body = None

    def __repr__(self) -> str:
        """Without the body: a card or a name could be in it."""
        return f"Event({self.id!r}, {self.type!r}, {self.created!r})"


class Dead(NamedTuple):
    """A record that can never be posted.

    detail: one sentence that names fields and positions, never values, which could hold a card.
    or_nothing: for a missing predecessor only: after the last wait the event has nothing to post,
        and is no dead letter.
    """

    reason: Reason
    detail: str
    or_nothing: bool = False


class Skipped(NamedTuple):
    """An event that asks for no posting: the rulebook ignores it, or every leg fell away."""

    outcome: str
    """`ignored` or `nothing_to_post`."""
