"""What the worker reads: one event, or the reason why a record is not one.

An event is Stripe's envelope `{id, type, created, data: {object: …}}`, whatever encoding it came
in. A bad record is a value (`Dead`), never an exception: it goes to the dead-letter topic and the
stream goes on. Imports nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

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


class Event(NamedTuple):
    """One decoded event. A NamedTuple, because a frozen dataclass costs four times as much to make.

    id: unique per event, not empty.
    type: Stripe's event type (`charge.succeeded`) or a wallet command (`wallet.p2p`).
    created: whole seconds since 1970, 0…CREATED_MAX; part of the event's identity.
    body: the whole decoded envelope; rules address it by path (`data.object.amount`).
    """

    id: str
    type: str
    created: int
    body: Mapping[str, Any]


class Dead(NamedTuple):
    """A record that can never be posted, and one sentence for the person who finds it.

    The detail names fields and positions, never values that a card or a customer could be in.
    """

    reason: Reason
    detail: str


class Skipped(NamedTuple):
    """An event that asks for no posting: the rulebook ignores it, or every leg fell away."""

    outcome: str
    """`ignored` or `nothing_to_post`."""
