"""`--stop-if-all-dead`: stop a worker that understands nothing of what comes on a topic.

For a first start: a wrapper or an encoding that the rulebook does not name makes a dead letter of
every record, and a worker that goes on would make one of the whole topic.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.core.outcome import OutcomeKind


class AllDead:
    """Looks at each topic once, when it has had so many outcomes.

    counts: committed outcomes since the start, by topic and kind.
    limit: so many records; 0 looks at none.
    topic: the first of which all that came until then are dead letters; empty while there is none.
    """

    def __init__(self, counts: Mapping[tuple[str, str], int], limit: int) -> None:
        self._counts = counts
        self._limit = limit
        self._looked_at: set[str] = set()
        self.topic = ""

    def __call__(self) -> bool:
        """Is there such a topic? Called before each round of the loop."""
        if self._limit and not self.topic:
            for topic in {topic for topic, _ in self._counts} - self._looked_at:
                self._look(topic)
        return bool(self.topic)

    def _look(self, topic: str) -> None:
        records = sum(count for (name, _), count in self._counts.items() if name == topic)
        if records < self._limit:
            return
        self._looked_at.add(topic)
        if self._counts.get((topic, OutcomeKind.DEAD.value), 0) == records:
            self.topic = topic
