"""By which time a report is: of the facts, the accounting date, or of posting."""

from __future__ import annotations

from typing import Final, Literal

from worker.core.ids import TIME_SHIFT
from worker.core.wire import Transfer

Basis = Literal["fact", "posting"]
BY_FACT: Final = "fact"
BY_POSTING: Final = "posting"
BASES: Final[tuple[Basis, ...]] = (BY_FACT, BY_POSTING)
DEFAULT: Final[Basis] = BY_FACT
"""Of every command; reconciliation has no other."""

WORDS: Final = {
    BY_FACT: "by fact, whenever it was posted",
    BY_POSTING: "by posting, whenever the fact was",
}


def fact_ns(transfer: Transfer) -> int:
    """When a transfer's fact happened, in nanoseconds: the milliseconds of its id."""
    return (transfer.id >> TIME_SHIFT) * 1_000_000
