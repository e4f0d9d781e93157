"""What is written to Kafka for an event of Stripe's: its key and its bytes."""

from __future__ import annotations

from typing import Any, Final

import orjson

KEY_BYTES_MAX: Final = 255


def record_key(event: object) -> bytes | None:
    """The customer of the event's object, else its charge, else its id; None where it has none.

    What belongs together stays in order in one partition.
    """
    about = _object_of(event)
    if about is None:
        return None
    for name in ("customer", "charge", "id"):
        found = about.get(name)
        if isinstance(found, dict):  # expanded
            found = found.get("id")
        if isinstance(found, str) and found:
            # A lone surrogate is what JSON can hold and UTF-8 cannot.
            return found.encode(errors="replace")[:KEY_BYTES_MAX]
    return None


def _object_of(event: object) -> dict[str, Any] | None:
    data = event.get("data") if isinstance(event, dict) else None
    about = data.get("object") if isinstance(data, dict) else None
    return about if isinstance(about, dict) else None


def parsed(body: bytes) -> object:
    """What the bytes say as JSON; None where they say nothing."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def type_of(event: object) -> str:
    """The event's type; empty where it has none."""
    found = event.get("type") if isinstance(event, dict) else None
    return found if isinstance(found, str) else ""
