"""The event of a journal entry: the same entry gives the same bytes for ever."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import orjson

from worker.jobs.journal.entries import Entry

TYPE: Final = "journal.entry"
DIGEST_BYTES: Final = 12


def event_of_entry(entry: Entry) -> dict[str, Any]:
    """The envelope; its id is the entry's name and a digest of all that the entry says."""
    about = {
        "id": entry.id,
        "created": entry.created,
        "reason": entry.reason,
        "requested_by": entry.requested_by,
        "approved_by": entry.approved_by,
        "lines": [
            {
                "account": line.account,
                "key": line.key,
                "currency": line.currency.name,
                "side": line.side,
                "amount": line.amount,
            }
            for line in entry.lines
        ],
    }
    digest = blake2b(orjson.dumps(about), digest_size=DIGEST_BYTES).hexdigest()
    return {
        "id": f"journal/{entry.id}/{digest}",
        "type": TYPE,
        "created": entry.created,
        "data": {"object": about},
    }


def value_of(event: dict[str, Any]) -> bytes:
    """The record's value."""
    return orjson.dumps(event)
