"""Parked events: what they carry, when they are due, and when they are given up."""

from __future__ import annotations

import pytest

from worker.codecs.dead_letters import DeadLetters
from worker.codecs.parked import (
    ParkedEvents,
    earlier_positions,
    parked_at_ms,
    role_of,
    waiting_since_ms,
)
from worker.core.event import Dead, Reason
from worker.core.ids import position_base
from worker.core.ports import Announcement, Headers

MISSING = Dead(Reason.PREDECESSOR_MISSING, "leg settle: the transfer it settles is not there")
TOPICS = ["parked.1", "parked.2"]


class Kept:
    """A record as it was read from the topic that an announcement went to."""

    def __init__(self, told: Announcement) -> None:
        self._told = told

    def topic(self) -> str:
        return self._told.topic

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 42

    def key(self) -> bytes | None:
        return self._told.key

    def value(self) -> bytes | None:
        return self._told.value

    def headers(self) -> Headers | None:
        return self._told.headers

    def timestamp(self) -> tuple[int, int]:
        return 1, self._told.timestamp_ms


FIRST = Kept(Announcement("wallet.commands", b"cus_1", b"{}", [("trace", b"1")], 1000))


def parked(now_ms: int) -> ParkedEvents:
    dead = DeadLetters(topic="dead", group="books", rulebook_digest="ab")
    return ParkedEvents(topics=TOPICS, dead=dead, now_ms=lambda: now_ms)


def test_a_parked_record_stays_what_it_was() -> None:
    """Key, value, timestamp and own headers are kept; role, time and reason come after them."""
    told = parked(5000).park(FIRST, MISSING, tries=0, role="commands", since=7)
    assert told.topic == "parked.1"
    assert (told.key, told.value, told.timestamp_ms) == (b"cus_1", b"{}", 1000)
    assert told.headers[0] == ("trace", b"1")
    headers = dict(told.headers)
    assert headers["ledger_worker.reason"] == b"predecessor_missing"
    assert headers["__connect.errors.topic"] == b"wallet.commands"
    assert headers["__connect.errors.offset"] == b"42"
    waiting = Kept(told)
    assert role_of(waiting) == "commands"
    assert parked_at_ms(waiting) == waiting_since_ms(waiting) == 5000


def test_each_stay_adds_to_the_history() -> None:
    """The second stay has a time of its own, and the first is still told."""
    once = Kept(parked(5000).park(FIRST, MISSING, tries=0, role="commands", since=7))
    twice = parked(9000).park(once, MISSING, tries=1, role=role_of(once), since=9)
    assert twice.topic == "parked.2"
    waiting = Kept(twice)
    assert parked_at_ms(waiting) == 9000
    assert waiting_since_ms(waiting) == 5000
    places = [("wallet.commands", 7), ("parked.1", 9)]
    assert earlier_positions(Kept(twice), group="books") == {
        position_base(group="books", topic=topic, partition=3) | 42: since
        for topic, since in places
    }
    assert not earlier_positions(Kept(twice), group="another")
    topics = [value for name, value in twice.headers if name == "__connect.errors.topic"]
    assert topics == [b"wallet.commands", b"parked.1"]


def test_a_record_too_large_to_wait_is_a_dead_letter() -> None:
    """The broker's limit loses nothing: hash and position are kept."""
    told = parked(5000).park(FIRST, MISSING, tries=0, role="commands", since=7)
    assert told.otherwise is not None
    small = told.otherwise()
    assert small.topic == "dead"
    assert dict(small.headers)["ledger_worker.reason"] == b"too_large"


@pytest.mark.parametrize("told", [None, b"", b"soon", b"-1", b"9" * 30, b"1.5"])
def test_a_time_that_is_none_is_long_ago(told: bytes | None) -> None:
    """A record that somebody else put there is tried at once, not never."""
    record = Kept(Announcement("parked.1", None, b"{}", [("ledger_worker.parked_ms", told)]))
    assert parked_at_ms(record) == 0
    assert role_of(record) == ""


@pytest.mark.parametrize("number", [0, 7, 10**18, (1 << 63) - 1])
def test_a_time_of_64_bits_is_read_as_it_was_written(number: int) -> None:
    """Up to the largest."""
    record = Kept(Announcement("t", None, b"", [("ledger_worker.parked_ms", b"%d" % number)]))
    assert parked_at_ms(record) == number
