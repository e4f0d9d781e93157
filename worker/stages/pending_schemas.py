"""Records whose schema is not known yet: they wait with their partition, and no other does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worker.codecs.decode import NOT_YET
from worker.core.assignment import Assignment
from worker.core.event import Dead, Event
from worker.core.ports import Record
from worker.stages.portions import Taken


def known_part(
    portion: Taken,
    events: Sequence[Event | Dead],
    asleep: set[Assignment],
    sleep: Callable[[Assignment, int], None],
) -> tuple[Taken, list[Event | Dead]]:
    """What comes before the first such record of its partition, which is read again from there.

    asleep: the assignments that wait, since an earlier portion or this one. sleep: called with an
    assignment and the offset to read again.
    """
    kept: list[tuple[Record, Assignment]] = []
    found: list[Event | Dead] = []
    for (record, assignment), event in zip(portion, events, strict=True):
        if assignment in asleep:
            continue
        if event is NOT_YET:
            asleep.add(assignment)
            sleep(assignment, record.offset())
            continue
        kept.append((record, assignment))
        found.append(event)
    return kept, found
