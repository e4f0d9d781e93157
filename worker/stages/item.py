"""An item: one record on its way through a batch."""

from __future__ import annotations

from collections.abc import Mapping

from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.event import Dead, Skipped
from worker.core.ports import Record


class Item:
    """One record on its way from topic to outcome.

    offset: the record's offset.
    size_bytes: the size of its value.
    role: under which it came.
    translated: what the rulebook makes of it.
    attempts: the highest attempt it may be posted under; 0 unless it was redriven.
    earlier: the positions that a parked event had before, each with its `since`.
    """

    __slots__ = (
        "assignment",
        "attempts",
        "earlier",
        "offset",
        "record",
        "role",
        "size_bytes",
        "translated",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - one argument per field, and keywords cost time
        self,
        record: Record,
        assignment: Assignment,
        offset: int,
        size_bytes: int,
        role: str,
        translated: Chain | Skipped | Dead,
        attempts: int = 0,
        earlier: Mapping[int, int] | None = None,
    ) -> None:
        self.record = record
        self.assignment = assignment
        self.offset = offset
        self.size_bytes = size_bytes
        self.role = role
        self.translated = translated
        self.attempts = attempts
        self.earlier = earlier

    @property
    def legs(self) -> int:
        """How many rows of a request it takes."""
        return len(self.translated.legs) if isinstance(self.translated, Chain) else 0
