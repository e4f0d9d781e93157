"""Which partitions rest, as a table."""

from __future__ import annotations

import pytest

from worker.core.ports import TopicPartition
from worker.stages.priority import EVERYBODYS_ROUND, resting

PLACES = {("c", 0): "high", ("p", 0): "normal", ("p", 1): "normal", ("s", 0): "low"}
LAST = EVERYBODYS_ROUND - 1


@pytest.mark.parametrize(
    ("behind", "round_number", "rest"),
    [
        ("c0", 0, "p0 p1 s0"),
        ("c0 s0", 1, "p0 p1 s0"),
        ("p1", 0, "s0"),
        ("p0 p1 s0", 2, "s0"),
        ("s0", 0, ""),
        ("", 0, ""),
        ("c0", LAST, ""),
        ("c0", LAST + 1, "p0 p1 s0"),
    ],
)
def test_the_less_urgent_rest_while_others_are_behind(
    behind: str, round_number: int, rest: str
) -> None:
    """All below the most urgent priority that is behind, but for the last of every four rounds."""

    def is_behind(place: TopicPartition) -> bool:
        return f"{place[0]}{place[1]}" in behind.split()

    found = resting(PLACES, behind=is_behind, round_number=round_number)  # type: ignore[arg-type]
    assert sorted(f"{topic}{number}" for topic, number in found) == rest.split()
