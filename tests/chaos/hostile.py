"""Hostile records of a chaos run: one of each kind that has ended a worker, or could."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from worker.codecs.dead_letters import BLOCK

CREATED = 1_760_000_000
HUGE = 300_000
OBJECTS = 40_000
HEADERS = 2_000


class HostileKind(NamedTuple):
    """One record, the id of the event in it (empty where it is none), and what it comes to."""

    value: bytes | None
    event_id: str
    note: str
    headers: list[tuple[bytes, bytes | None]]
    timestamp_ms: int = 0


def hostile_kinds(number: int) -> Iterator[HostileKind]:
    """All kinds once; those in order are posted, whatever is around them."""
    huge = "x" * HUGE
    yield _posted(f"objects_{number}", junk=[{"": 0}] * OBJECTS)
    yield _posted(f"text_{number}", junk=huge)
    yield _posted(f"family_{number}", customer=huge)
    yield _posted(f"old_{number}")._replace(timestamp_ms=-5)
    forged: list[tuple[bytes, bytes | None]] = [(name.encode(), b"\xff") for name in BLOCK]
    yield _posted(f"forged_{number}")._replace(headers=forged)
    many: list[tuple[bytes, bytes | None]] = [(b"h%d" % each, b"v") for each in range(HEADERS)]
    yield _posted(f"headers_{number}")._replace(headers=many)
    name: list[tuple[bytes, bytes | None]] = [(b"\xff\xfe", b"1"), (b"a\0b", None), (b"", b"2")]
    yield _poison(_event(f"name_{number}"), "undecodable")._replace(headers=name)
    yield _poison(_event(f"id_{number}") | {"id": huge}, "bad_key")
    yield _poison(_event(f"type_{number}") | {"type": huge}, "bad_key")
    yield _poison(_event(f"fact_{number}", id=huge), "bad_key")
    yield HostileKind(b"\x1b]0;owned\x07", "", "poison: undecodable", [])
    yield HostileKind(None, "", "poison: undecodable", [])


def _event(name: str, *, junk: object = None, **changes: Any) -> dict[str, Any]:
    charge = {
        "id": f"ch_{name}",
        "amount": 900,
        "amount_captured": 900,
        "paid": True,
        "captured": True,
        "currency": "usd",
        "customer": "cus_hostile",
        "created": CREATED,
    }
    return {
        "id": f"evt_{name}",
        "type": "charge.succeeded",
        "created": CREATED,
        "livemode": False,
        "data": {"object": charge | changes},
        "junk": junk,
    }


def _posted(name: str, **changes: Any) -> HostileKind:
    event = _event(name, **changes)
    return HostileKind(json.dumps(event).encode(), event["id"], "charge", [])


def _poison(event: dict[str, Any], reason: str) -> HostileKind:
    return HostileKind(json.dumps(event).encode(), event["id"], f"poison: {reason}", [])
