"""What a trace is asked for: an id of any kind, or a record's position."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from worker.core.errors import UsageError
from worker.core.ids import event_key, fact_key, fact_tag
from worker.core.ports import RecordPosition
from worker.core.rulebook import Rulebook

POSITION: Final = re.compile(r"([A-Za-z0-9._-]+)/(\d{1,9})@(\d{1,18})")
HEX_ID: Final = re.compile(r"[0-9a-f]{32}")
FEED_PREFIX: Final = "bt/"
"""The settlement feed's events are named by this and their balance transaction."""


class Target(NamedTuple):
    """What was asked for.

    text: as given; also an event's id, a Stripe object's or a command's.
    position: where `text` is a record's topic, partition and offset, else None.
    transfer_id: where `text` is 32 hex digits, else None.
    """

    text: str
    position: RecordPosition | None
    transfer_id: int | None


def parse_target(text: str) -> Target:
    """What an argument of the command line names.

    Raises:
        UsageError: it is not UTF-8.
    """
    text = text.strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("the id is not UTF-8, so no record has it") from None
    found = POSITION.fullmatch(text)
    position = RecordPosition(found[1], int(found[2]), int(found[3])) if found else None
    return Target(text, position, int(text, 16) if HEX_ID.fullmatch(text.lower()) else None)


def tags(rulebook: Rulebook, ids: Iterable[str]) -> list[int]:
    """`user_data_128` of every event and fact that these ids may name, each once.

    A rule that names a fact by an object's id has that id behind its own name; all others go by
    the event's id.
    """
    found: dict[int, None] = {}
    for text in ids:
        for event_id in (text, f"{FEED_PREFIX}{text}"):
            found[fact_tag(event_key(event_id))] = None
        value = text.removeprefix(FEED_PREFIX)
        for rule in rulebook.transactions:
            if rule.idempotency_key is not None:
                found[fact_tag(fact_key(rule.name, value))] = None
    return list(found)
