"""Sends entries to the journal topic, each once however often its file is sent.

Two people who send one file at the same moment write the same bytes, and the ledger books an entry
once by its name and date.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from worker.core.errors import UsageError
from worker.core.ports import Record, position_of
from worker.jobs.journal.events import TYPE, value_of

FLUSH_SECONDS: Final = 60.0


class JournalTopic(Protocol):
    """Writes records to Kafka; a port, so that a journal can be read without Kafka's client."""

    def publish(
        self, *, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int
    ) -> None:
        """Queue one record; timestamp_ms 0 is now."""
        ...

    def flush(self, deadline_seconds: float) -> None:
        """Wait for every acknowledgement; DependencyUnavailable when not all come in time."""
        ...


class SentEntries(NamedTuple):
    """What is on the topic: the event of each entry, by its name, and where it is."""

    events: dict[str, dict[str, Any]]
    positions: dict[str, str]


def sent_entries(records: Sequence[Record]) -> SentEntries:
    """The entries among a topic's records; what is no entry is somebody else's business."""
    found = SentEntries({}, {})
    for record in records:
        try:
            event = orjson.loads(record.value() or b"")
            name = event["data"]["object"]["id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
        if event.get("type") == TYPE and type(name) is str and name not in found.events:
            found.events[name] = event
            found.positions[name] = str(position_of(record))
    return found


def unsent(events: Sequence[dict[str, Any]], sent: SentEntries) -> list[dict[str, Any]]:
    """The events that are not on the topic yet.

    Raises:
        UsageError: an entry of the same name is there that says something else.
    """
    changed = []
    fresh = []
    for event in events:
        name = event["data"]["object"]["id"]
        before = sent.events.get(name)
        if before is None:
            fresh.append(event)
        elif before["data"] != event["data"] or before.get("created") != event["created"]:
            changed.append(
                f"entry {name!r} was sent before and said something else ({sent.positions[name]}):"
                " what is booked is corrected by another entry, with a name of its own"
            )
    if changed:
        raise UsageError("\n".join(changed))
    return fresh


def send(events: Sequence[dict[str, Any]], publisher: JournalTopic, topic: str) -> None:
    """Write the events, keyed by their entries' names, and wait until all are acknowledged."""
    for event in events:
        key = str(event["data"]["object"]["id"]).encode()
        publisher.publish(topic=topic, key=key, value=value_of(event), timestamp_ms=0)
    publisher.flush(FLUSH_SECONDS)
