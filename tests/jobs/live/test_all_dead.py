"""A topic of which the first records all die ends a worker that was asked to look."""

from __future__ import annotations

import pytest

from worker.jobs.live.all_dead import AllDead

LOOKS = [
    # counts after one round, and after another                                  stops after
    ([{("a", "dead"): 3}, {("a", "dead"): 5}],                                   2),
    ([{("a", "dead"): 7}],                                                       1),
    ([{("a", "dead"): 4, ("a", "posted"): 1}, {("a", "dead"): 90}],              0),
    ([{("a", "posted"): 9}, {("a", "posted"): 9, ("b", "dead"): 5}],             2),
    ([{("a", "dead"): 4, ("b", "dead"): 4}],                                     0),
    ([{("a", "ignored"): 5}],                                                    0),
]  # fmt: skip


@pytest.mark.parametrize(("rounds", "stops"), LOOKS)
def test_the_first_five_of_a_topic(rounds: list[dict[tuple[str, str], int]], stops: int) -> None:
    """All of the first five are dead: stop. One that is not, and the topic is left alone."""
    counts: dict[tuple[str, str], int] = {}
    check = AllDead(counts, 5)
    found = 0
    for number, seen in enumerate(rounds, start=1):
        counts.update(seen)
        if check():
            found = number
            break
    assert found == stops


def test_without_a_limit_nothing_is_looked_at() -> None:
    """0, the default, stops for nothing."""
    assert not AllDead({("a", "dead"): 1000}, 0)()
