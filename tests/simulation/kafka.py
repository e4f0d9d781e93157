"""A small Kafka for simulations: logs, one cooperative group, transactions, and their failures.

It accepts what a real broker accepts, above all a transactional commit for a partition that the
member has just lost, as long as the member's generation is the group's (FACTS, Kafka).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from tests.records import FakeRecord
from worker.core.assignment import Opening, opening
from worker.core.errors import Aborted, Unsettled
from worker.core.ports import (
    Announcement,
    Commit,
    GroupLook,
    Headers,
    Polled,
    TopicPartition,
)

FIRST_MS = 1_700_000_000_000
"""The time of the first record of a partition, where none is said."""

ANSWERED_LATE = 0.5
"""How often the loop goes on working while a transaction is waited for."""


class Crash(Exception):
    """The process died here."""


@dataclass(slots=True)
class FakeKafka:
    """Logs, one group's commits, and what was announced."""

    places: list[TopicPartition]
    logs: dict[TopicPartition, list[FakeRecord]] = field(default_factory=dict)
    commits: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    announced: list[Announcement] = field(default_factory=list)
    generation: int = 0
    members: dict[str, FakeSource] = field(default_factory=dict)
    moving: dict[TopicPartition, str] = field(default_factory=dict)
    lost_seeks: float = 0.0
    """How often a client says that it was placed, and reads on where it was."""

    sticky: float = 0.0
    """How often a partition stays where it is when the group is balanced."""

    late_offsets: float = 0.0
    """How often a question where the group stands is not answered yet."""

    def append(
        self,
        place: TopicPartition,
        content: bytes,
        headers: Headers | None = None,
        time_ms: int = 0,
    ) -> None:
        """Produce one record. time_ms: when it was made; 0: by its offset."""
        log = self.logs.setdefault(place, [])
        time_ms = time_ms or FIRST_MS + len(log)
        log.append(FakeRecord(place, len(log), content, headers or [], time_ms))

    def new_group(self) -> None:
        """Everybody is gone, and the next member starts from the first offset."""
        self.members.clear()
        self.moving.clear()
        self.commits.clear()
        self.generation += 1

    def join(self, name: str, rng: random.Random) -> FakeSource:
        """A new member; it has no partitions until the group is balanced."""
        self.members[name] = FakeSource(self, name, rng)
        return self.members[name]

    def leave(self, name: str) -> None:
        """A member died, or was silent for too long: its partitions are free at once."""
        gone = self.members.pop(name, None)
        self.generation += 1
        if gone is not None:
            gone.expelled = True
        self.moving = {place: to for place, to in self.moving.items() if to != name}

    def balance(self, rng: random.Random) -> None:
        """Give every partition a member; one that moves must first be let go by its owner."""
        if not self.members:
            return
        self.generation += 1
        for place in self.places:
            owner = next((m for m in self.members.values() if place in m.owned), None)
            takers = sorted(name for name, one in self.members.items() if one.reads(place))
            if owner is not None and rng.random() < self.sticky and owner.name in takers:
                continue
            to = rng.choice(takers) if takers else ""
            if owner is None and place not in self.moving:
                if to:
                    self.members[to].gain(place)
            elif owner is not None and owner.name != to:
                self.moving[place] = to
                owner.revoke(place)

    def released(self, place: TopicPartition) -> None:
        """Its owner let a partition go: whoever it was meant for gets it."""
        to = self.moving.pop(place, None)
        if to in self.members and self.members[to].reads(place):
            self.generation += 1
            self.members[to].gain(place)


@dataclass(slots=True)
class FakeSource:
    """One member of the group."""

    kafka: FakeKafka
    name: str
    rng: random.Random
    owned: set[TopicPartition] = field(default_factory=set)
    lost: list[TopicPartition] = field(default_factory=list)
    gained: list[TopicPartition] = field(default_factory=list)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[TopicPartition] = field(default_factory=set)
    started: dict[TopicPartition, bool] = field(default_factory=dict)
    """Whether the client fetches from it already; until then it cannot be placed."""

    known_generation: int = 0
    expelled: bool = False

    input_topics: tuple[str, ...] = ("events", "urgent")
    inputs: bool = True
    """Does it take part in reading the inputs?"""

    def reads(self, place: TopicPartition) -> bool:
        return self.inputs or place[0] not in self.input_topics

    @property
    def input_partitions(self) -> Sequence[TopicPartition]:
        return [place for place in self.kafka.places if place[0] in self.input_topics]

    def read_inputs(self, *, reading: bool) -> None:
        self.inputs = reading
        self.kafka.balance(self.rng)

    def look(self) -> GroupLook | None:
        places = self.input_partitions
        committed = {place: max(0, self.kafka.commits.get(place, (0, ""))[0]) for place in places}
        return GroupLook(
            committed, {place: len(self.kafka.logs.get(place, [])) for place in places}
        )

    def gain(self, place: TopicPartition) -> None:
        self.owned.add(place)
        self.gained.append(place)

    def revoke(self, place: TopicPartition) -> None:
        self.lost.append(place)

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        """What the group said, then some records of the partitions that are owned and fetched."""
        del timeout_seconds
        lost, gained = self._hear()
        records: list[FakeRecord] = []
        for place in sorted(self.positions):
            if place in self.paused:
                continue
            start = self.positions[place]
            count = min(self.rng.randint(0, 3), records_max - len(records))
            found = self.kafka.logs.get(place, [])[start : start + count]
            records.extend(found)
            self.positions[place] = start + len(found)
        ends = {
            place: at
            for place, at in self.positions.items()
            if at == len(self.kafka.logs.get(place, [])) and place not in self.paused
        }
        return Polled(records, lost, gained, ends)

    def _hear(self) -> tuple[list[TopicPartition], list[TopicPartition]]:
        if self.expelled:
            lost = self._rejoin()
        else:
            lost = self.lost[:]
            for place in lost:
                self._let_go(place)
                self.kafka.released(place)
        gained = [place for place in self.gained if place in self.owned]
        self.known_generation = self.kafka.generation
        self.lost.clear()
        self.gained.clear()
        for place in gained:
            committed = max(0, self.kafka.commits.get(place, (0, ""))[0])
            # As librdkafka does where an open transaction hides the commit: from the earliest.
            self.positions[place] = committed if self.rng.random() < 0.8 else 0
            self.started[place] = self.rng.random() < 0.8
        return lost, gained

    def _rejoin(self) -> list[TopicPartition]:
        """Everything was lost while it was away; some may come back in the very same poll."""
        lost = sorted(self.owned)
        for place in lost:
            self._let_go(place)
        self.gained.clear()
        self.expelled = False
        self.kafka.members[self.name] = self
        if self.rng.random() < 0.5:
            self.kafka.balance(self.rng)
        return lost

    def _let_go(self, place: TopicPartition) -> None:
        self.owned.discard(place)
        self.positions.pop(place, None)
        self.paused.discard(place)

    def opening(self, place: TopicPartition) -> Opening | None:
        if self.kafka.late_offsets and self.rng.random() < self.kafka.late_offsets:
            return None
        offset, metadata = self.kafka.commits.get(place, (-1001, ""))
        high = len(self.kafka.logs.get(place, []))
        return opening(committed=offset, metadata=metadata, low=0, high=high)

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        return all(self.kafka.commits.get(place, (-1, ""))[0] >= end for place, end in ends.items())

    def watermarks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        return {place: (0, len(self.kafka.logs.get(place, []))) for place in self.kafka.places}

    def lag(self, place: TopicPartition, offset: int) -> int | None:
        return len(self.kafka.logs.get(place, [])) - offset

    def seek(self, place: TopicPartition, offset: int) -> bool:
        if not self.started.get(place):
            self.started[place] = True
            return False
        if not self.kafka.lost_seeks or self.rng.random() >= self.kafka.lost_seeks:
            self.positions[place] = offset
        return True

    def pause(self, places: Iterable[TopicPartition]) -> None:
        self.paused.update(places)

    def resume(self, places: Iterable[TopicPartition]) -> None:
        self.paused.difference_update(places)

    @property
    def joined(self) -> bool:
        return not self.expelled

    @property
    def waiting_seconds(self) -> float:
        return 0.0

    def membership(self) -> object:
        return self.name, self.known_generation

    def close(self) -> None:
        self.kafka.leave(self.name)


@dataclass(slots=True)
class FakeAnnouncer:
    """Transactions that abort and processes that die, at the rates given."""

    kafka: FakeKafka
    rng: random.Random
    abort_rate: float = 0.0
    crash_rate: float = 0.0

    def announce(
        self,
        announcements: Iterable[Announcement],
        commits: Sequence[Commit],
        membership: object,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        written = list(announcements)
        name, generation = cast("tuple[str, int]", membership)
        if self.rng.random() < ANSWERED_LATE:
            meanwhile()
        if self.rng.random() < self.crash_rate:
            raise Crash("before the commit")
        stale = name not in self.kafka.members or generation != self.kafka.generation
        lost_answer = self.rng.random() < self.abort_rate / 4
        if lost_answer and (stale or self.rng.random() < 0.5):
            raise Unsettled("not written")
        if stale or self.rng.random() < self.abort_rate:
            raise Aborted("stale generation" if stale else "asked for")
        self.kafka.announced.extend(written)
        for told in written:
            if (told.topic, 0) in self.kafka.places:  # read again by the group itself
                self.kafka.append((told.topic, 0), told.value or b"", told.headers)
        for one in commits:
            self.kafka.commits[one.topic, one.partition] = (one.offset, one.metadata)
        if lost_answer:
            raise Unsettled("written")
        if self.rng.random() < self.crash_rate:
            raise Crash("after the commit")

    def close(self) -> None:
        """Nothing to release."""
