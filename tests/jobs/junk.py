"""Junk that any writer of a topic can put beside the worker's own records."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from worker.codecs.dead_letters import BLOCK
from worker.core.ports import Headers
from worker.jobs.archive.records import ArchivedRecord

FAR_MS = ((1 << 63) - 1, -(1 << 63), 253_402_300_800_000, -5)
HUGE = "x" * 3_000_000
FIRST = 900_000

ANNOUNCEMENT: dict[str, Any] = {
    "transfer_id": "0" * 31 + "7", "pending_id": "", "amount": "1", "transaction": "t", "leg": "l",
    "leg_number": 0, "leg_count": 1, "kind": "posted", "currency": "usd", "scale": 2,
    "ledger": 840, "code": 1, "flags": 0, "debit_account_id": "1" * 32, "debit_account": "a",
    "debit_key": "", "credit_account_id": "2" * 32, "credit_account": "b", "credit_key": "",
    "event_id": "evt_junk", "event_type": "t", "event_created": "2026-01-01T00:00:00Z",
    "attempt": 0, "posted_at": "2026-01-01T00:00:00.000000Z",
    "ledger_timestamp": "1767225600000000000", "fact": "", "fact_at": "", "topic": "t",
    "partition": 0, "offset": 0, "expires_at": "",
}  # fmt: skip

SPOILED: list[dict[str, Any]] = [
    {"transfer_id": "not hex"}, {"transfer_id": 5}, {"transfer_id": None}, {"amount": "-1"},
    {"amount": "9" * 5000}, {"amount": []}, {"ledger_timestamp": "x"},
    {"ledger_timestamp": str(1 << 64)}, {"attempt": 1 << 70}, {"leg_count": "many"},
    {"flags": None},
]  # fmt: skip
ANNOUNCEMENTS: list[bytes] = [
    *(b"", b"junk", b"[]", b"{}", b"\0\0\0\0\4", b"\0\0\0\0\4" + b"\xff" * 40),
    *(json.dumps(ANNOUNCEMENT | spoiled).encode() for spoiled in SPOILED),
]
"""No one of them is an announcement."""

REJECTION: dict[str, Any] = {
    "event_id": "e", "event_type": "t", "transaction": "x", "leg": "l", "reason": "r",
    "attempt": 0, "topic": "t", "partition": 0, "offset": 0,
}  # fmt: skip
REFUSED: list[dict[str, Any]] = [
    {"attempt": 1 << 70}, {"attempt": -1}, {"attempt": "7"}, {"offset": 1 << 64},
    {"partition": True}, {"offset": None},
]  # fmt: skip
REJECTIONS: list[bytes] = [
    *(b"junk", b"{}"),
    *(json.dumps(REJECTION | spoiled).encode() for spoiled in REFUSED),
]


def block(**texts: bytes) -> Headers:
    """The headers that the worker adds to a letter, with these texts in them."""
    return [(name, texts.get(name.rpartition(".")[2], b"0")) for name in BLOCK]


LETTERS: list[Headers] = [
    [], block(), block(offset=b"99999999999999999999"), block(offset=b"9223372036854775807"),
    block(partition=b"9999999999"), block(topic=b"\xff\x00", reason=b"\xff"),
    block(topic=b"\x1b]0;owned\x07", reason=HUGE.encode()), block(partition=b"-1"),
]  # fmt: skip


def junk(topic: str) -> list[ArchivedRecord]:
    """Records of no use, of times that no date can say."""
    values = ANNOUNCEMENTS if topic.endswith("posted") else REJECTIONS
    headers: list[Headers] = LETTERS if "dead" in topic or "parked" in topic else [[]]
    found = [
        ArchivedRecord(topic, 0, 0, b"\x1b[2J", value, list(own), FAR_MS[at % len(FAR_MS)])
        for at, (value, own) in enumerate((value, own) for value in values for own in headers)
    ]
    return [replace(one, offset_number=FIRST + at) for at, one in enumerate(found)]
