"""Time order: what lags is taken in the order of its records' timestamps, over all partitions.

A payment is made after the charge that pays for it. After an outage both wait in their topics, and
a worker that reads the payment's partition first would have it refused. So while a partition lags,
no record of another is taken before what the lagging one may yet bring.

The invariant: the order within a partition is never changed, whatever its timestamps say.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from worker.core.assignment import EXPECTS_NOTHING, Assignment
from worker.core.ports import Record, TopicPartition
from worker.stages.priority import PRIORITIES

OwnedRecord = tuple[Record, Assignment]
"""A record, and the assignment that took it."""

AHEAD_RECORDS: Final = 100_000
"""So many records are read ahead of their time; shared by the partitions."""

AHEAD_RECORDS_LEAST: Final = 500
"""One partition's share of that is never smaller: what its pause throws away is fetched again."""

AHEAD_BYTES: Final = 32 * 1024 * 1024
"""So many bytes of values are read ahead of their time; shared in the same way."""

LOOKS: Final = 4
"""How often within `skew_seconds` a partition that brings nothing is looked at."""

EVERYTHING: Final = sys.maxsize

NO_TIMESTAMP: Final = 0
"""A record's timestamp type where it has none."""

NOTHING_READ: Final = -1


class Patience(NamedTuple):
    """How long records wait for older ones.

    skew_seconds: a partition that was read to its end so lately does not lag.
    limit_seconds: a lagging partition that brings nothing for so long is passed.
    """

    skew_seconds: float
    limit_seconds: float


@dataclass(slots=True)
class PartitionQueue:
    """What one assignment has read and may not be taken yet.

    rank: of its topic's priority; 0 comes first.
    keys: of the records, never falling: their milliseconds, and the rank among equals.
    size_bytes: of the records' values.
    next_offset: the one after the last that was read.
    at_end: nothing is known to come after that.
    hidden: how many offsets lie behind the end that hold no record for us.
    end_seen: the second in which it was last known to be at its end.
    silent_since: since when it lags and brings nothing; None while it does.
    passed: the others go on without it.
    """

    assignment: Assignment
    rank: int
    keys: list[int] = field(default_factory=list)
    records: list[OwnedRecord] = field(default_factory=list)
    size_bytes: int = 0
    next_offset: int = NOTHING_READ
    at_end: bool = False
    hidden: int = 0
    end_seen: float = float("-inf")
    silent_since: float | None = None
    passed: bool = False

    @property
    def partition(self) -> TopicPartition:
        """Whose records these are."""
        return self.assignment.topic, self.assignment.partition

    def add(self, records: Sequence[OwnedRecord], *, now: float, now_ms: int) -> None:
        """These were read, in order."""
        if self.at_end:
            self.end_seen = now  # what comes has come since then
        self.at_end = self.passed = False
        self.silent_since = None
        self.next_offset = records[-1][0].offset() + 1
        latest = self.keys[-1] // len(PRIORITIES) if self.keys else NO_TIMESTAMP
        times = timestamps_ms([record for record, _ in records], latest=latest, now_ms=now_ms)
        self.keys += [time_ms * len(PRIORITIES) + self.rank for time_ms in times]
        self.records += records
        self.size_bytes += sum([len(record.value() or b"") for record, _ in records])

    def read_to_end(self, end: int, *, hidden: int, now: float) -> None:
        """It was read to its end; hidden: offsets behind that, of markers and open transactions."""
        self.next_offset = max(self.next_offset, end)
        self.hidden = hidden
        self.at_end, self.passed = True, False
        self.end_seen = now
        self.silent_since = None

    def take(self, key: int) -> tuple[list[int], list[OwnedRecord]]:
        """Take what is not newer than this."""
        count = len(self.keys) if key == EVERYTHING else bisect_right(self.keys, key)
        keys, records = self.keys[:count], self.records[:count]
        del self.keys[:count], self.records[:count]
        if self.keys:
            self.size_bytes -= sum([len(record.value() or b"") for record, _ in records])
        else:
            self.size_bytes = 0
        return keys, records


class AheadLimits(NamedTuple):
    """How much is read ahead of its time, all partitions together.

    records: shared by the partitions.
    records_least: one partition's share of that is never smaller.
    size_bytes: of values, shared in the same way.
    """

    records: int = AHEAD_RECORDS
    records_least: int = AHEAD_RECORDS_LEAST
    size_bytes: int = AHEAD_BYTES


class TimeOrder:
    """Puts records of several partitions in order; those of parked topics wait for nobody.

    rank_of: a topic's, see `PartitionQueue`.
    lag: offsets of a partition from this one on, as last heard from the broker; see `GroupMember`.
    passes: told of a partition that the others go on without.
    """

    def __init__(
        self,
        *,
        patience: Patience,
        rank_of: Callable[[str], int],
        lag: Callable[[TopicPartition, int], int | None],
        passes: Callable[[TopicPartition], None],
        ahead: AheadLimits = AheadLimits(),  # noqa: B008 - it is frozen
    ) -> None:
        self._patience = patience
        self._ahead_limits = ahead
        self._rank_of = rank_of
        self._lag = lag
        self._passes = passes
        self._queues: dict[Assignment, PartitionQueue] = {}
        self._ready: deque[OwnedRecord] = deque()
        self._ahead: frozenset[TopicPartition] = frozenset()
        self.holding = False
        """Nothing goes on: other workers may have what is older."""
        self.waits_for: list[TopicPartition] = []
        """The lagging partitions that must bring something before more can be taken."""
        self.waits_since: float | None = None
        """The second since which there is one."""

    def __len__(self) -> int:
        """How many records are read and not taken."""
        return len(self._ready) + sum([len(queue.keys) for queue in self._queues.values()])

    @property
    def ready(self) -> int:
        """How many records can be taken."""
        return len(self._ready)

    def follow(self, assignments: Iterable[Assignment]) -> None:
        """These are ours now; what was read for others is dropped."""
        known = self._queues
        ours = list(assignments)
        self._queues = {
            one: known.get(one) or PartitionQueue(one, self._rank_of(one.topic))
            for one in ours
            if not one.delay_ms
        }
        keep = set(ours)
        self._ready = deque([each for each in self._ready if each[1] in keep])

    def first(self) -> list[OwnedRecord]:
        """The first of each partition that was read and not taken."""
        found: dict[Assignment, OwnedRecord] = {}
        for each in self._ready:
            found.setdefault(each[1], each)
        for one, queue in self._queues.items():
            if queue.records:
                found.setdefault(one, queue.records[0])
        return list(found.values())

    # What came

    def add(
        self,
        records: Sequence[OwnedRecord],
        ends: Mapping[TopicPartition, int],
        *,
        now: float,
        now_ms: int,
    ) -> None:
        """These were read, and these partitions to their ends.

        now: seconds of a clock that never goes back. now_ms: milliseconds since 1970.
        """
        for one, read in _by_assignment(records).items():
            queue = self._queues.get(one)
            if queue is not None:
                queue.add(read, now=now, now_ms=now_ms)
            elif one.delay_ms:
                self._ready.extend(read)
        if ends:
            for one, queue in self._queues.items():
                end = ends.get(queue.partition)
                known = one.opened and one.expects == EXPECTS_NOTHING
                if end is not None and known and end >= queue.next_offset:
                    hidden = self._lag(queue.partition, end) or 0
                    queue.read_to_end(end, hidden=hidden, now=now)
        self._release(now)

    def set_aside(self, assignment: Assignment) -> None:
        """What was read of it comes again, and nobody waits for it until then."""
        if assignment in self._queues:
            aside = PartitionQueue(assignment, self._rank_of(assignment.topic))
            aside.passed = True
            self._queues[assignment] = aside
        self._ready = deque([each for each in self._ready if each[1] is not assignment])

    def paused(self) -> None:
        """Nothing is fetched for a while: what was known of ends is known no more."""
        for queue in self._queues.values():
            queue.at_end = False

    # What goes on

    def take(self, records_max: int) -> list[OwnedRecord]:
        """The next so many."""
        if records_max >= len(self._ready):
            taken = list(self._ready)
            self._ready.clear()
            return taken
        return [self._ready.popleft() for _ in range(records_max)]

    def _release(self, now: float) -> None:
        """What no lagging partition can be older than is ready."""
        if self.holding or not any(queue.keys for queue in self._queues.values()):
            self.waits_for, self.waits_since = [], None
            return
        newest = EVERYTHING
        waits_for = []
        for queue in self._queues.values():
            if self._lags(queue, now):
                newest = min(newest, queue.keys[-1] if queue.keys else -1)
                if not queue.keys:
                    waits_for.append(queue.partition)
        self.waits_for = waits_for
        if not waits_for:
            self.waits_since = None
        elif self.waits_since is None:
            self.waits_since = now
        if newest >= 0:
            self._move(newest)

    def _move(self, newest: int) -> None:
        keys: list[int] = []
        records: list[OwnedRecord] = []
        sources = 0
        for queue in self._queues.values():
            if queue.keys and queue.keys[0] <= newest:
                sources += 1
                more_keys, more_records = queue.take(newest)
                keys += more_keys
                records += more_records
        if sources > 1:
            records = [records[number] for number in sorted(range(len(keys)), key=keys.__getitem__)]
        self._ready.extend(records)

    def _lags(self, queue: PartitionQueue, now: float) -> bool:
        """May it have older records that were not read?"""
        skew_seconds = self._patience.skew_seconds
        if now - queue.end_seen > skew_seconds / LOOKS:
            self._look(queue, now)
        if queue.passed or now - queue.end_seen <= skew_seconds:
            queue.silent_since = None
            return False
        if queue.keys:
            return True
        if queue.silent_since is None:
            queue.silent_since = now
        elif now - queue.silent_since > self._patience.limit_seconds:
            queue.passed = True
            self._passes(queue.partition)
            return False
        return True

    def _look(self, queue: PartitionQueue, now: float) -> None:
        """Is it at its end, as far as the broker said?"""
        if not queue.assignment.opened or queue.next_offset == NOTHING_READ:
            return
        unread = self._lag(queue.partition, queue.next_offset)
        if unread is None:
            return
        if unread <= (queue.hidden if queue.at_end else 0):
            queue.end_seen = now

    # How far reading may go

    def ahead(self) -> frozenset[TopicPartition]:
        """The partitions that have read far more than may be taken: they are to be paused."""
        shares = max(len(self._queues), 1)
        limits = self._ahead_limits
        records = max(limits.records // shares, limits.records_least)
        size_bytes = limits.size_bytes // shares
        self._ahead = frozenset(
            [
                queue.partition
                for queue in self._queues.values()
                if len(queue.keys) >= records // (1 + (queue.partition in self._ahead))
                or queue.size_bytes >= size_bytes // (1 + (queue.partition in self._ahead))
            ]
        )
        return self._ahead


def timestamps_ms(records: Sequence[Record], *, latest: int, now_ms: int) -> list[int]:
    """The time of each record in a partition's order: never falling, and no single one astray.

    A record without a timestamp, or with one of the future, has that of the record before it. One
    that is newer than its successor has its successor's: a clock that was wrong once holds up
    nothing. latest: of the record before the first; 0 where there is none.
    """
    stamps = [record.timestamp() for record in records]
    times = [
        time_ms if kind != NO_TIMESTAMP and 0 < time_ms <= now_ms else NO_TIMESTAMP
        for kind, time_ms in stamps
    ]
    made: list[int] = []
    for number, time_ms in enumerate(times):
        following = times[number + 1] if number + 1 < len(times) else NO_TIMESTAMP
        if following and time_ms > following:
            time_ms = following  # noqa: PLW2901 - the time that it is taken by
        latest = max(time_ms, latest)
        made.append(latest)
    return made


def _by_assignment(records: Sequence[OwnedRecord]) -> dict[Assignment, list[OwnedRecord]]:
    """In order, by assignment. A flat loop over runs: neighbours mostly have one."""
    found: dict[Assignment, list[OwnedRecord]] = {}
    last: Assignment | None = None
    read: list[OwnedRecord] = []
    for each in records:
        one = each[1]
        if one is not last:
            read = found.setdefault(one, [])
            last = one
        read.append(each)
    return found
