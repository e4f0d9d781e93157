"""Positions: openings, stands, and what may be submitted."""

from __future__ import annotations

import pytest

from worker.core.assignment import Assignment, CommittedPosition, Opening, opening, parse_metadata

STAND = CommittedPosition(17, 99)


@pytest.mark.parametrize(
    ("committed", "metadata", "expected"),
    [
        (-1001, "",                       Opening(10, None)),
        (50,    STAND.metadata(),         Opening(50, STAND)),
        (50,    "",                       Opening(50, None)),
        (50,    "not json",               Opening(50, None)),
        (50,    '{"since": 1}',           Opening(50, None)),
        (50,    '{"since":true,"until":1}', Opening(50, None)),
        (5,     STAND.metadata(),         Opening(10, None)),
        (101,   STAND.metadata(),         Opening(10, None)),
        (100,   STAND.metadata(),         Opening(100, STAND)),
    ],
)  # fmt: skip
def test_opening(committed: int, metadata: str, expected: Opening) -> None:
    """No commit, foreign metadata, and offsets outside the partition are first starts or resets."""
    assert opening(committed=committed, metadata=metadata, low=10, high=100) == expected


def test_metadata_survives_the_round_trip() -> None:
    """What is committed is what is found again."""
    assert parse_metadata(STAND.metadata()) == STAND


def opened() -> Assignment:
    """A partition that goes on at offset 50."""
    one = Assignment("t", 0, "role", 0)
    one.open(offset=50, stand=STAND, redo=STAND.until)
    return one


def test_nothing_is_submitted_beyond_until() -> None:
    """The last offset that may be submitted is `until` itself."""
    one = opened()
    assert one.may_submit(99)
    assert not one.may_submit(100)


def test_a_commit_raises_until_and_keeps_since() -> None:
    """`since` is carried on unchanged, and `until` never falls."""
    one = opened()
    assert one.raised(next_offset=60, window=10) == CommittedPosition(17, 99)
    stand = one.raised(next_offset=95, window=10)
    assert stand == CommittedPosition(17, 105)
    one.was_committed(next_offset=95, stand=stand)
    assert (one.committed, one.until, one.since) == (95, 105, 17)
