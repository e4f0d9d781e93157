"""Idempotency keys of events, and the times and ids derived from them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from worker.core.account_ids import key_problem
from worker.core.chain import Need, Sought
from worker.core.compiled_rules import (
    CompiledExpression,
    CompiledPending,
    CompiledPredecessor,
    CompiledTransaction,
    TranslationRefused,
)
from worker.core.event import ATTEMPT_MAX, CREATED_MAX, Reason
from worker.core.expressions.operators import Value
from worker.core.ids import (
    KEY_BYTES_MAX,
    event_key,
    fact_key,
    fact_tag,
    field,
    leg_suffix,
    transfer_id,
)
from worker.core.json_kinds import kind_of

FACT_LIMIT: Final = 1 << 63

cached_suffix = lru_cache(maxsize=4_096)(leg_suffix)


def idempotency_of(rule: CompiledTransaction, body: Value) -> str:
    """The key of the fact that an event tells, for a rule that names one."""
    if rule.key is None:
        raise TranslationRefused(Reason.BAD_KEY, f"{rule.name} has no idempotency_key")
    return fact_key(rule.name, fact_value(rule.key, rule.key.value(body)))


def fact_value(reading: CompiledExpression, value: Value) -> str | int:
    """What names a fact: a string as for a family key, or a whole number of 64 bits."""
    if value is None:
        raise TranslationRefused(Reason.MISSING_FIELD, f"{reading.text} is null")
    if type(value) is int:
        if -FACT_LIMIT <= value < FACT_LIMIT:
            return value
        raise TranslationRefused(Reason.BAD_KEY, f"{reading.text} is outside 64 bits")
    problem = key_problem(value)
    if problem:
        raise TranslationRefused(Reason.BAD_KEY, f"{reading.text} {problem}")
    text = str(value)
    if len(text) > KEY_BYTES_MAX or len(text.encode()) > KEY_BYTES_MAX:
        raise TranslationRefused(
            Reason.BAD_KEY, f"{reading.text} takes more than {KEY_BYTES_MAX} bytes"
        )
    return text


def hashed(key: str) -> bytes:
    """The key as a hashed field; an event's id was not looked at before."""
    try:
        return field(key)
    except UnicodeEncodeError as error:
        raise TranslationRefused(Reason.BAD_KEY, "id holds a lone surrogate") from error


def seconds(value: Value, reading: CompiledExpression | None) -> int:
    """A time of identity, checked; reading: None for the event's own `created`."""
    if type(value) is int and 0 <= value <= CREATED_MAX:
        return value
    text = reading.text if reading else "created"
    if value is None:
        raise TranslationRefused(Reason.MISSING_FIELD, f"{text} is null")
    found = "" if type(value) is int else f" but {kind_of(value)}"
    raise TranslationRefused(
        Reason.BAD_TIME, f"{text} is not a second within 0 to {CREATED_MAX}{found}"
    )


def need(predecessor: CompiledPredecessor, body: Value) -> Need | None:
    """The keys of the chains that may be the predecessor; None where `after` has no key."""
    key_read = predecessor.key.value(body)
    if key_read is None and predecessor.needless:
        return None
    value = fact_value(predecessor.key, key_read)
    time_ms = (
        None
        if predecessor.time is None
        else seconds(predecessor.time.value(body), predecessor.time) * 1000
    )
    sought = []
    for source in predecessor.sources:
        key = fact_key(source.transaction, value) if source.fact else event_key(str(value))
        sought.append(Sought(source.transaction, fact_tag(key), field(key), source.legs))
    return Need(
        tuple(sought),
        time_ms,
        predecessor.optional,
        predecessor.text,
        predecessor.or_nothing,
        predecessor.or_else,
    )


def pending_ids(
    reservation: CompiledPending, body: Value, items: tuple[Value, ...], index: str
) -> tuple[int, ...]:
    """The id that the reservation has at each attempt."""
    value = fact_value(reservation.key, reservation.key.value(body, items))
    key = fact_key(reservation.transaction, value) if reservation.fact else event_key(str(value))
    key_field = field(key)
    time_ms = seconds(reservation.time.value(body, items), reservation.time) * 1000
    return tuple(
        transfer_id(
            time_ms=time_ms,
            key_field=key_field,
            suffix=cached_suffix(reservation.leg, index, "", attempt),
        )
        for attempt in range(ATTEMPT_MAX + 1)
    )
