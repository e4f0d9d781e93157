"""Positions: openings, stands, and what may be submitted."""

from __future__ import annotations

import pytest

from worker.core.assignment import Assignment, CommitMetadata, Opening, opening, parse_metadata

METADATA = CommitMetadata(17, 99)


@pytest.mark.parametrize(
    ("committed", "metadata", "expected"),
    [
        (-1001, "",                       Opening(10, None)),
        (50,    METADATA.as_json(),         Opening(50, METADATA)),
        (50,    "",                       Opening(50, None)),
        (50,    "not json",               Opening(50, None)),
        (50,    '{"since": 1}',           Opening(50, None)),
        (50,    '{"since":true,"until":1}', Opening(50, None)),
        (5,     METADATA.as_json(),         Opening(10, None)),
        (101,   METADATA.as_json(),         Opening(10, None)),
        (100,   METADATA.as_json(),         Opening(100, METADATA)),
    ],
)  # fmt: skip
def test_opening(committed: int, metadata: str, expected: Opening) -> None:
    """No commit, foreign metadata, and offsets outside the partition are first starts or resets."""
    assert opening(committed=committed, metadata=metadata, low=10, high=100) == expected


def test_metadata_survives_the_round_trip() -> None:
    """What is committed is what is found again."""
    assert parse_metadata(METADATA.as_json()) == METADATA


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"since":0,"until":-1}',             CommitMetadata(0, -1)),
        ('{"since":-1,"until":5}',             None),
        ('{"since":5,"until":-1}',             CommitMetadata(5, -1)),
        ('{"since":true,"until":5}',           None),
        ('{"since":5,"until":false}',          None),
        ('{"since":5.0,"until":5}',            None),
        ('{"since":"5","until":5}',            None),
        ('{"since":5,"until":null}',           None),
        ('{"until":5}',                        None),
        ('{"since":5,"until":5,"more":1}',     None),
        ("[5,5]",                              None),
        ("5",                                  None),
        ('{"since":5,"until":5',               None),
        ("",                                   None),
        (None,                                 None),
    ],
)  # fmt: skip
def test_metadata_that_is_not_ours_is_none(text: str | None, found: CommitMetadata | None) -> None:
    """Two whole numbers, the first of them a time; anything else opens as at a first start."""
    assert parse_metadata(text) == found


def test_a_partition_opens_as_its_commit_says() -> None:
    """Every field of it."""
    one = opened()
    assert (one.committed, one.since, one.until, one.redo, one.opened) == (50, 17, 99, 99, True)
    one.note_seek(50, expects=53)
    assert (one.seek_offset, one.expects, one.seeks) == (50, 53, 1)


def opened() -> Assignment:
    """A partition that goes on at offset 50."""
    one = Assignment("t", 0, "role", 0)
    one.open(offset=50, metadata=METADATA, redo=METADATA.until)
    return one


def test_nothing_is_submitted_beyond_until() -> None:
    """The last offset that may be submitted is `until` itself."""
    one = opened()
    assert one.may_submit(99)
    assert not one.may_submit(100)


def test_a_commit_raises_until_and_keeps_since() -> None:
    """`since` is carried on unchanged, and `until` never falls."""
    one = opened()
    assert one.raised(next_offset=60, window=10) == CommitMetadata(17, 99)
    metadata = one.raised(next_offset=95, window=10)
    assert metadata == CommitMetadata(17, 105)
    one.was_committed(next_offset=95, metadata=metadata)
    assert (one.committed, one.until, one.since) == (95, 105, 17)
