"""Topic priority: among records that are equally old the more urgent topic's come first."""

from __future__ import annotations

from typing import Final

from worker.core.topic_rule import Priority

PRIORITIES: Final[tuple[Priority, ...]] = ("high", "normal", "low")
"""The most urgent first."""


def priority_rank(priority: Priority) -> int:
    """0 comes first."""
    return PRIORITIES.index(priority)
