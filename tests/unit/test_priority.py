"""The order of priorities."""

from __future__ import annotations

from worker.stages.priority import priority_rank


def test_the_more_urgent_comes_first() -> None:
    """High before normal before low."""
    assert [priority_rank(one) for one in ("high", "normal", "low")] == [0, 1, 2]
