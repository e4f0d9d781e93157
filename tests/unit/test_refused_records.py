"""What a topic does not take as it is: too large, or of a time that is too far from now."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError

from worker.core.ports import Announcement
from worker.kafka.refused_records import BAD_TIME, CLOCKS_MS, TOO_LARGE, RefusedRecords

HOUR_MS = 3_600_000
SMALL = Announcement("t", b"k", b"small", [], 5)


def announcement(value: bytes = b"whole", *, topic: str = "t", at_ms: int = 5) -> Announcement:
    return Announcement(topic, b"k", value, [], at_ms, lambda: SMALL)


@pytest.mark.parametrize(
    ("topic", "hours", "kept"),
    [
        ("t", 0, True),
        ("t", -9, True),
        ("t", -11, False),
        ("t", 1, True),
        ("t", 3, False),
        ("other", -1000, True),
        ("other", 1000, True),
    ],
)
def test_a_time_that_is_known_to_be_refused_is_left_out(
    topic: str, hours: int, *, kept: bool
) -> None:
    """Ten hours back and two ahead is what the topic takes."""
    refused = RefusedRecords({}, {"t": (10 * HOUR_MS, 2 * HOUR_MS)})
    at_ms = time.time_ns() // 1_000_000 + hours * HOUR_MS
    written = refused.instead_of(announcement(topic=topic, at_ms=at_ms))
    assert written.timestamp_ms == (at_ms if kept else 0)
    assert bool(written.headers) is not kept


def test_a_time_near_the_bound_is_left_out_because_clocks_differ() -> None:
    """On both sides; and who has no time has none to be refused."""
    refused = RefusedRecords({}, {"t": (10 * HOUR_MS, 2 * HOUR_MS)})
    now_ms = time.time_ns() // 1_000_000
    for at_ms in (now_ms - 10 * HOUR_MS + CLOCKS_MS // 2, now_ms + 2 * HOUR_MS - CLOCKS_MS // 2):
        assert refused.instead_of(announcement(at_ms=at_ms)).timestamp_ms == 0
    for at_ms in (now_ms - 10 * HOUR_MS + 2 * CLOCKS_MS, now_ms + 2 * HOUR_MS - 2 * CLOCKS_MS):
        assert refused.instead_of(announcement(at_ms=at_ms)).timestamp_ms == at_ms
    timeless = announcement(at_ms=0)
    assert refused.instead_of(timeless) is timeless


@pytest.mark.parametrize("code", [TOO_LARGE, BAD_TIME])
def test_a_refusal_is_noted_once_and_for_its_own_reason(code: int) -> None:
    """Of this record only, until its transaction is in."""
    refused = RefusedRecords({}, {})
    whole, other = announcement(), announcement(b"other")
    assert refused.note(whole, KafkaError(code))
    assert not refused.note(whole, KafkaError(code))
    written = refused.instead_of(whole)
    assert (written.value, written.timestamp_ms) == (
        (b"small", 5) if code == TOO_LARGE else (b"whole", 0)
    )
    for each in (other, announcement(topic="another")):
        assert refused.instead_of(each) is each
    refused.clear()
    assert refused.instead_of(whole) is whole


def test_what_is_refused_for_another_reason_is_not_noted() -> None:
    """Nothing else can be written in its place."""
    refused = RefusedRecords({}, {})
    assert not refused.note(announcement(), KafkaError(KafkaError.INVALID_RECORD))
    whole = announcement()
    refused.watcher(whole)(None, None)  # type: ignore[arg-type]
    assert refused.instead_of(whole) is whole
    refused.watcher(whole)(KafkaError(TOO_LARGE), None)  # type: ignore[arg-type]
    assert refused.instead_of(whole) == SMALL


def test_what_is_small_may_be_of_a_bad_time_too() -> None:
    """Both are mended: the smaller record goes with the broker's time."""
    refused = RefusedRecords({"t": 3}, {"t": (HOUR_MS, HOUR_MS)})
    written = refused.instead_of(announcement())
    assert (written.value, written.timestamp_ms) == (b"small", 0)
