"""The partitions that are ours: gained, opened, lost, and read again after an abort.

The invariant: work belongs to an assignment, not to a partition; a partition that comes back, or
that is read again, is another Assignment, and what was under way for the old one is nobody's. A
partition opens only when its `since` is committed and the source was placed at the group's commit:
where a client begins by itself is not to be trusted (librdkafka falls back to `auto.offset.reset`
when a dead worker's open transaction hides the commit for long). Talks to the source and the
ledger's newest timestamp through the ports; decides nothing about money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Final, NamedTuple

import structlog

from worker.core.assignment import EXPECTS_NOTHING, NO_REDO, Assignment, CommittedPosition, Opening
from worker.core.ids import position_base
from worker.core.ports import GroupMember, Polled, Record, TopicPartition
from worker.core.rulebook import Priority
from worker.stages.item import Item
from worker.stages.priority import resting

PLACED_MAX: Final = 5
"""So often a partition is placed; a record that does not come then is not in its topic any more."""

_log = structlog.get_logger(__name__)


class InputTopic(NamedTuple):
    """What a topic is read as: see `Assignment`, and `worker.stages.priority` for the priority."""

    role: str
    tries: int = 0
    delay_ms: int = 0
    priority: Priority = "normal"


class Partitions:
    """What this worker answers for.

    group: the consumer group, part of every position. topics: those that are read. window: how many
    offsets may follow the next one before the commit that raises `until`.
    """

    def __init__(
        self, *, group: str, topics: Mapping[str, InputTopic], window: int, source: GroupMember
    ) -> None:
        self._group = group
        self._topics = topics
        self._window = window
        self._source = source
        self._assignments: dict[TopicPartition, Assignment] = {}
        self._openings: dict[TopicPartition, Opening] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._newest: Future[int] | None = None
        self._asked_for: dict[TopicPartition, Opening] = {}
        self._asleep: dict[TopicPartition, int] = {}
        self._known: dict[TopicPartition, set[int]] = {}
        self._resting: frozenset[TopicPartition] = frozenset()
        self._ranked = len({one.priority for one in topics.values()}) > 1

    # Whose is what

    def take(
        self, records: Iterable[Record], is_due: Callable[[Record, Assignment], bool]
    ) -> list[tuple[Record, Assignment]]:
        """Of the records just polled those whose turn it is, with the assignment that takes each.

        is_due: asked about a record of a topic with a delay. A flat loop: it runs for every record.
        """
        taken: list[tuple[Record, Assignment]] = []
        astray: set[Assignment] = set()
        for record in records:
            one = self._taker(record, astray)
            if one is not None and (not one.delay_ms or is_due(record, one)):
                taken.append((record, one))
        return taken

    def _taker(self, record: Record, astray: set[Assignment]) -> Assignment | None:
        """The assignment that takes a record; None when it is not its turn.

        What comes before a partition opens is read again from where it opens, what lies below its
        commit has its outcome, and what comes while it sleeps is read again when it wakes.
        astray: those that read on beyond their place in this poll.
        """
        place, offset = (record.topic(), record.partition()), record.offset()
        one = self._assignments.get(place)
        if one is None:
            return None
        if not one.opened:
            self._known.setdefault(place, set()).add(offset)
            return None
        if offset < one.committed or (one.delay_ms and self.sleeps(place)):
            return None
        if one.expects != EXPECTS_NOTHING and (one in astray or not self._came(one, offset)):
            astray.add(one)
            return None
        return one

    def ours(self, item: Item) -> bool:
        """Does this work still belong to an assignment of ours?"""
        one = item.assignment
        return self._assignments.get((one.topic, one.partition)) is one

    def all_ours(self, items: Iterable[Item]) -> bool:
        """Does all of it? Neighbours mostly belong to one assignment."""
        last: Assignment | None = None
        for item in items:
            if item.assignment is not last:
                if not self.ours(item):
                    return False
                last = item.assignment
        return True

    def all(self) -> Iterable[Assignment]:
        """Every assignment, opened or not."""
        return self._assignments.values()

    def places(self) -> list[TopicPartition]:
        """Every partition that is ours."""
        return list(self._assignments)

    def opened(self) -> list[TopicPartition]:
        """The partitions whose records are taken, now or when they are due."""
        return [place for place, one in self._assignments.items() if one.opened]

    def awake(self) -> list[TopicPartition]:
        """The partitions whose records are taken now."""
        return [
            place
            for place in self.opened()
            if place not in self._asleep and place not in self._resting
        ]

    @property
    def opening(self) -> bool:
        """Is some partition ours but not open yet, or a question about one that left unanswered?"""
        return self.waits_for_ledger or not all(one.opened for one in self._assignments.values())

    @property
    def waits_for_ledger(self) -> bool:
        """Is the ledger being asked for its newest timestamp?"""
        return self._newest is not None

    # The group speaks

    def follow(self, polled: Polled) -> bool:
        """Take over what the group said; True when something changed."""
        for place in polled.lost:
            self._forget(place)
            self._known.pop(place, None)
        for place in polled.gained:
            self._begin(place)
        if polled.gained:
            self._source.pause(polled.gained)
        for place, end in polled.ends.items():
            one = self._assignments.get(place)
            if one is not None and one.opened and one.expects == EXPECTS_NOTHING:
                self._ends[place] = end
        return bool(polled.lost or polled.gained)

    def _begin(self, place: TopicPartition) -> None:
        """Another stay, which is not open yet."""
        self._forget(place)
        topic, partition = place
        read_as = self._topics[topic]
        self._assignments[place] = Assignment(
            topic,
            partition,
            read_as.role,
            position_base(group=self._group, topic=topic, partition=partition),
            tries=read_as.tries,
            delay_ms=read_as.delay_ms,
        )

    def _forget(self, place: TopicPartition) -> None:
        for held in (self._assignments, self._openings, self._ends, self._asleep):
            held.pop(place, None)
        self._resting -= {place}

    def _place(self, place: TopicPartition, offset: int, *, expects: int) -> None:
        """Read from here on; a partition that cannot be placed opens anew, as the group says."""
        if self._source.seek(place, offset):
            self._assignments[place].was_placed(offset, expects=expects)
            return
        if expects != EXPECTS_NOTHING:
            self._known.setdefault(place, set()).add(expects)
        self._begin(place)
        self._source.pause([place])

    def _remember(self, items: Iterable[Item]) -> None:
        """What was read of our partitions; where one is placed next, it must come again."""
        for place, one in self._assignments.items():
            if one.expects != EXPECTS_NOTHING:
                self._known.setdefault(place, set()).add(one.expects)
        for item in items:
            if self.ours(item):
                place = (item.assignment.topic, item.assignment.partition)
                self._known.setdefault(place, set()).add(item.offset)

    def _known_from(self, place: TopicPartition, offset: int) -> int:
        known = self._known.pop(place, ())
        return min((one for one in known if one >= offset), default=EXPECTS_NOTHING)

    def _came(self, one: Assignment, offset: int) -> bool:
        """Does this record of a partition that expects one come in its turn?

        If not, the client reads on beyond the place where it was put, and would pass over records
        that have no outcome, or whose announcement is missing. It is put there again.
        """
        if offset <= one.expects:
            if offset == one.expects:
                one.expects = EXPECTS_NOTHING
            return True
        told = {"topic": one.topic, "partition": one.partition, "expected": one.expects}
        if one.placed >= PLACED_MAX:
            _log.error("records_are_gone", **told, found=offset)
            one.expects = EXPECTS_NOTHING
            return True
        _log.warning("kafka_place_lost", **told, found=offset, placed_at=one.placed_at)
        tries = one.placed + 1
        self._place((one.topic, one.partition), one.placed_at, expects=one.expects)
        one.placed = tries
        return False

    def start_over(self, items: Iterable[Item]) -> None:
        """After a failed transaction: every partition opens anew, where the group says.

        Whether it was written or not, the group knows; what is in memory may be older. items: what
        is in hand, and must come again if it has no outcome.
        """
        self._newest = None
        self._remember(items)
        for place in self.places():
            self._begin(place)
        self._source.pause(self.places())

    # Parked records

    def asleep(self) -> list[TopicPartition]:
        """Those whose next record is not due yet."""
        return list(self._asleep)

    def sleeps(self, place: TopicPartition) -> bool:
        """Is its next record not due yet?"""
        return place in self._asleep

    def sleep(self, place: TopicPartition, *, offset: int, wake_ms: int) -> None:
        """Take nothing more until then, and read again from this offset, which is not due yet."""
        self._asleep[place] = wake_ms
        self._ends.pop(place, None)
        self._source.pause([place])
        self._place(place, offset, expects=offset)

    def wake(self, now_ms: int) -> list[TopicPartition]:
        """The partitions that have slept long enough."""
        woken = [place for place, wake_ms in self._asleep.items() if wake_ms <= now_ms]
        for place in woken:
            del self._asleep[place]
        return [place for place in woken if place not in self._resting]

    # Turns

    @property
    def rested(self) -> bool:
        """Does somebody rest?"""
        return bool(self._resting)

    def take_turns(self, turn: int | None) -> None:
        """Let the less urgent rest while others are behind; None: there is time for all."""
        if not self._ranked:
            return
        ranked = {place: self._topics[place[0]].priority for place in self.opened()}
        before = self._resting
        self._resting = (
            frozenset() if turn is None else resting(ranked, behind=self._behind, turn=turn)
        )
        self._source.pause(self._resting - before)
        self._source.resume([place for place in self.awake() if place in before])

    def _behind(self, place: TopicPartition) -> bool:
        """Is there more than what was committed, or read to an end?"""
        taken = max(self._assignments[place].committed, self._ends.get(place, 0))
        return not self.sleeps(place) and bool(self._source.lag(place, taken))

    # Opening

    def open_known(self) -> list[TopicPartition]:
        """Open what the group has a stand for; the partitions opened."""
        for place, assignment in self._assignments.items():
            if assignment.opened or place in self._openings:
                continue
            found = self._source.opening(place)
            if found is not None:
                self._openings[place] = found
        known = [(place, one.stand) for place, one in self._openings.items() if one.stand]
        return [place for place, stand in known if self._open(place, stand, redo=stand.until)]

    def first_starts(
        self, newest_timestamp: Callable[[], Future[int]]
    ) -> list[tuple[Assignment, int, CommittedPosition]]:
        """What must be committed before the rest can open: `since` is the ledger's newest time.

        Empty while nobody has answered. newest_timestamp: asks it, in its own thread,
        after these partitions were assigned.
        """
        if self._newest is None:
            if not self._openings:
                return []
            self._asked_for = dict(self._openings)
            self._newest = newest_timestamp()
        if not self._newest.done():
            return []
        newest = self._newest.result()
        self._newest = None
        return [
            (
                self._assignments[place],
                one.offset,
                CommittedPosition(newest, one.offset + self._window),
            )
            for place, one in self._asked_for.items()
            if self._openings.get(place) is one
        ]

    def open_first(
        self, starts: Iterable[tuple[Assignment, int, CommittedPosition]]
    ) -> list[TopicPartition]:
        """Their commit is in: open them."""
        places = [((one.topic, one.partition), stand) for one, _, stand in starts]
        return [place for place, stand in places if self._open(place, stand, redo=NO_REDO)]

    def _open(self, place: TopicPartition, stand: CommittedPosition, *, redo: int) -> bool:
        """False when the source cannot be placed yet: the group is asked again."""
        offset = self._openings.pop(place).offset
        if not self._source.seek(place, offset):
            return False
        one = self._assignments[place]
        one.open(offset=offset, stand=stand, redo=redo)
        one.was_placed(offset, expects=self._known_from(place, offset))
        return True

    # Commits

    def stands(self, items: Iterable[Item]) -> list[tuple[Assignment, int, CommittedPosition]]:
        """What to commit when these items, the oldest of their partitions, are settled."""
        latest: dict[Assignment, int] = {item.assignment: item.offset for item in items}
        return [self._raised(one, offset + 1) for one, offset in latest.items()]

    def blocked(self, items: Iterable[Item]) -> list[tuple[Assignment, int, CommittedPosition]]:
        """What to commit so that items beyond `until` may be submitted: the same offset, anew."""
        first: dict[Assignment, int] = {}
        for item in items:
            first.setdefault(item.assignment, item.offset)
        return [
            (
                one,
                one.committed,
                CommittedPosition(one.since, max(one.until, offset + self._window)),
            )
            for one, offset in first.items()
            if not one.may_submit(offset)
        ]

    def tails(self) -> list[tuple[Assignment, int, CommittedPosition]]:
        """What to commit to stand at the very end of partitions read to their end.

        A transaction's marker takes an offset that no record has. Only when nothing is under way.
        """
        return [
            self._raised(one, self._ends[place])
            for place, one in self._assignments.items()
            if one.opened and not self.sleeps(place) and self._ends.get(place, 0) > one.committed
        ]

    def _raised(
        self, one: Assignment, next_offset: int
    ) -> tuple[Assignment, int, CommittedPosition]:
        return one, next_offset, one.raised(next_offset=next_offset, window=self._window)
