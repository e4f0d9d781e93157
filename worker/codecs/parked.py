"""Parked events: records that wait on a topic of their own for their predecessors.

Each delay has a topic, so that records fall due in order and none blocks another. Key, value,
headers and timestamp are unchanged; original position, waiting since and role are appended as
headers at every parking. These headers are believed on parked topics only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from worker.codecs.dead_letters import CONNECT, GROUP_HEADER, DeadLetters, carry
from worker.codecs.headers import headers_of
from worker.core.event import Dead
from worker.core.ids import position_base
from worker.core.ports import Announcement, Record

ROLE_HEADER: Final = "ledger_worker.role"
SINCE_HEADER: Final = "ledger_worker.since"
"""The `since` under which its last reader answered for it; see `core.assignment`."""

PARKED_AT_HEADER: Final = "ledger_worker.parked_ms"
"""When this stay began, in milliseconds since 1970."""

INT64_DIGITS: Final = 19
_POSITION: Final = ("topic", "partition", "offset")


class ParkedEvents:
    """Writes records to the topic of their next delay."""

    def __init__(
        self, *, topics: Sequence[str], dead: DeadLetters, now_ms: Callable[[], int]
    ) -> None:
        self._topics = topics
        self._dead = dead
        self._now_ms = now_ms

    def park(
        self, record: Record, dead: Dead, *, tries: int, role: str, since: int
    ) -> Announcement:
        """The record on its way to wait once more.

        dead: what it waits for.
        tries: how often it waited before, fewer than there are topics.
        role, since: of the assignment that read it.

        A record that the broker finds too large to wait is a dead letter.
        """
        headers = [
            *self._dead.headers(record, dead, "post"),
            (ROLE_HEADER, role.encode()),
            (SINCE_HEADER, b"%d" % since),
            (PARKED_AT_HEADER, b"%d" % self._now_ms()),
        ]
        waiting = carry(record, topic=self._topics[tries], headers=headers)
        return waiting._replace(otherwise=partial(self._dead.too_large, record, dead, stage="post"))


def role_of(record: Record) -> str:
    """The role under which a parked record first came; empty where it does not say."""
    roles = _header_values(record, ROLE_HEADER)
    return roles[-1].decode(errors="replace") if roles else ""


def earlier_positions(record: Record, *, group: str) -> Mapping[int, int]:
    """Every position that the event had before in this group, and the `since` it had there.

    A worker that has lost the partition may still post the event from an earlier position after
    another has parked it; who reads it from here then answers for its announcement.
    """
    found: dict[int, int] = {}
    headers: dict[str, bytes] = {}
    for name, value in headers_of(record):
        headers[name] = value or b""
        if name == PARKED_AT_HEADER and headers.get(GROUP_HEADER) == group.encode():
            topic, partition, offset = (headers.get(f"{CONNECT}.{part}", b"") for part in _POSITION)
            base = position_base(
                group=group, topic=topic.decode(errors="replace"), partition=_number(partition)
            )
            found[base | _number(offset)] = _number(headers.get(SINCE_HEADER, b""))
    return found


def parked_at_ms(record: Record) -> int:
    """When its stay began; 0, long ago, where it does not say."""
    return _number((_header_values(record, PARKED_AT_HEADER) or [b""])[-1])


def waiting_since_ms(record: Record) -> int:
    """When its first stay began; 0 where it does not say."""
    return _number((_header_values(record, PARKED_AT_HEADER) or [b""])[0])


def _header_values(record: Record, name: str) -> list[bytes]:
    return [value or b"" for header, value in headers_of(record) if header == name]


def _number(digits: bytes) -> int:
    """0 for what is no whole number, or none that 64 bits hold."""
    return int(digits) if digits.isdigit() and len(digits) <= INT64_DIGITS else 0
