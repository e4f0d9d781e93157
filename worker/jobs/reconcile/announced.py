"""An announcement as it is compared: what it says, and which of its fields contradict each other.

An account's id is a hash of its name and key, a fact's tag one of the fact, and the times follow
from the ledger's timestamp and the transfer's id; so most fields are checked without the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from worker.codecs.outbox_fields import fact_seconds
from worker.codecs.outbox_reader import whole_number
from worker.core.ids import account_id, fact_tag, hex_id
from worker.core.iso_times import iso_second, iso_time
from worker.core.ports import position_in
from worker.core.wire import transfer_kind
from worker.ledger.books import NamedLedger

HEX_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
SMALL_MAX: Final = (1 << 32) - 1
TIMESTAMP_MAX: Final = (1 << 63) - 1
AMOUNT_MAX: Final = (1 << 127) - 1
"""What a DuckDB column holds; what the ledger holds in all is less than half of it."""

KEYS_KNOWN: Final = 65_536


def announced_row(fields: Mapping[str, Any], books: NamedLedger) -> tuple[str | int, ...]:
    """The row of the table `announced`, but for where the announcement is.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, of another type, or out of its range.
    """
    names = ("transfer_id", "debit_account_id", "credit_account_id")
    ids = [str(fields[name]) for name in names]
    if not all(map(HEX_ID.fullmatch, ids)):
        raise ValueError("an id is not 32 hex digits")
    ledger = whole_number(fields["ledger"], SMALL_MAX)
    timestamp = whole_number(fields["ledger_timestamp"], TIMESTAMP_MAX)
    flags = whole_number(fields["flags"], SMALL_MAX)
    fact = str(fields["fact"])
    record = str(position_in(fields))
    return (
        ids[0],
        str(fields["event_id"]),
        *ids[1:],
        ledger,
        whole_number(fields["amount"], AMOUNT_MAX),
        timestamp,
        str(fields["pending_id"]),
        *(whole_number(fields[name], SMALL_MAX) for name in ("leg_number", "leg_count", "code")),
        flags,
        str(fields["event_type"]),
        str(fields["event_created"]),
        f"{fields['transaction']}.{fields['leg']}",
        whole_number(fields["attempt"], SMALL_MAX),
        hex_id(fact_tag(fact)) if fact else "",
        record if fact else "",
        str(fields["expires_at"]),
        ", ".join(_contradictions(fields, books, ledger=ledger, timestamp=timestamp, flags=flags)),
    )


def _contradictions(
    fields: Mapping[str, Any], books: NamedLedger, *, ledger: int, timestamp: int, flags: int
) -> Iterator[str]:
    """The fields that say otherwise than those of which they are made."""
    currency, scale = books.currency(ledger)
    expected: dict[str, object] = {
        "currency": currency,
        "scale": scale,
        "kind": transfer_kind(flags),
        "posted_at": iso_time(timestamp),
    }
    if fields["fact"]:  # the outbox's first generation has no facts
        expected["fact_at"] = iso_second(fact_seconds(int(str(fields["transfer_id"]), 16)))
    yield from (name for name, value in expected.items() if fields[name] != value)
    for side in ("debit", "credit"):
        name, key = str(fields[f"{side}_account"]), str(fields[f"{side}_key"])
        # A key that is too long for the ledger may be announced as its hash.
        hashed = key.startswith("#")
        if not hashed and fields[f"{side}_account_id"] != _account(ledger, name, key):
            yield f"{side}_account or {side}_key"


@lru_cache(maxsize=KEYS_KNOWN)
def _account(ledger: int, name: str, key: str) -> str:
    return hex_id(account_id(ledger=ledger, name=name, key=key))
