"""Intake: how many records a poll may bring, how long it waits, and when partitions are paused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from worker.core.ports import GroupMember, Polled, TopicPartition
from worker.stages.batch import Limits
from worker.stages.catching_up import CatchingUp, HandOver
from worker.stages.in_flight import InFlight
from worker.stages.partitions import InputTopic, Partitions
from worker.stages.time_order import Patience, TimeOrder

IDLE_SECONDS: Final = 0.1
"""How long one poll waits when there is nothing to do."""

BUSY_SECONDS: Final = 0.002
"""How long one poll waits while the ledger works on a batch."""

OPENING_SECONDS: Final = 0.02
"""How long one poll waits while the group is being asked where it is on a partition."""

SLOW_LEDGER_SECONDS: Final = 1.0
"""Past this a full worker pauses its partitions and polls on, to stay in its group."""

NOTHING: Final = Polled((), (), (), {})


@dataclass(frozen=True, slots=True)
class InputSettings:
    """What is read, for which group, and in what batches.

    group: the consumer group.
    topics: what each is read as, by name.
    limits: of a batch.
    linger_seconds: how long a batch waits for more events.
    patience: how long records wait for older ones.
    hand_over: how long workers wait for each other.
    events_limit: stop taking records after so many; 0 means never.
    """

    group: str
    topics: Mapping[str, InputTopic]
    limits: Limits
    linger_seconds: float
    patience: Patience
    hand_over: HandOver
    events_limit: int = 0


class Reading(Enum):
    """Are records taken?"""

    TAKING = "as they come"
    PAUSED = "not now: the batch is full, and polls only keep us in the group"


class Intake:
    """Polls for the loop.

    now: seconds of a clock that never goes back.
    """

    def __init__(  # noqa: PLR0913 - one argument per part of the loop
        self,
        *,
        inputs: InputSettings,
        source: GroupMember,
        partitions: Partitions,
        order: TimeOrder,
        catching_up: CatchingUp,
        in_flight: InFlight,
        now: Callable[[], float],
    ) -> None:
        self._order = order
        self._catching_up = catching_up
        self._inputs = inputs
        self._source = source
        self._partitions = partitions
        self._in_flight = in_flight
        self._now = now
        self._reading = Reading.TAKING
        self._paused_at = 0.0

    @property
    def taking(self) -> bool:
        """Are partitions that are awake fetched from?"""
        return self._reading is Reading.TAKING

    def poll(self) -> Polled:
        """What the next batch has room for; while it is full, nothing but the group's news."""
        if not self._in_flight.filling.full:
            self._take()
            return self._records()
        if not self._in_flight.wait(SLOW_LEDGER_SECONDS):
            self._pause()
        return NOTHING if self.taking else self._source.poll(records_max=1, timeout_seconds=0)

    def poll_ahead(self) -> Polled:
        """What is there already and the next batch has room for."""
        if not self.room or not self.taking:
            return NOTHING
        return self._source.poll(records_max=self._wanted, timeout_seconds=0)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these now; while paused, with all the others when that ends."""
        if partitions and self.taking:
            self._source.resume(partitions)

    def _take(self) -> None:
        """Paused → taking."""
        if not self.taking:
            self._source.resume(self._partitions.awake())
            self._reading = Reading.TAKING
            self._catching_up.paused(self._now() - self._paused_at)

    def _pause(self) -> None:
        """Taking → paused."""
        if self.taking:
            self._source.pause(self._partitions.opened())
            self._order.paused()
            self._paused_at = self._now()
            self._reading = Reading.PAUSED

    def _records(self) -> Polled:
        wanted, patience = self._wanted, self._patience()
        polled = NOTHING
        if self.room:
            polled = self._source.poll(records_max=wanted, timeout_seconds=patience)
        if not polled.records:
            self._in_flight.wait(BUSY_SECONDS)
        return polled

    @property
    def _wanted(self) -> int:
        """How many records are polled for; some always, so that the group is heard."""
        if self._order.waits_for:
            return self._inputs.limits.events_max
        return max(self.room - self._order.ready, 1)

    @property
    def room(self) -> int:
        """How many records may be taken now."""
        if self._in_flight.filling.full:
            return 0
        room = self._in_flight.filling.room
        if not self._inputs.events_limit:
            return room
        left = (
            self._inputs.events_limit - self._in_flight.settled - len(list(self._in_flight.items()))
        )
        return max(0, min(room, left))

    def _patience(self) -> float:
        """How many seconds a poll may wait for a record."""
        if self._in_flight.posting is not None or self._order.ready:
            return 0.0
        if self._partitions.waits_for_ledger:
            return BUSY_SECONDS
        if self._in_flight.filling.items:
            left = self._in_flight.filling_since + self._inputs.linger_seconds - self._now()
            return min(max(left, 0.0), IDLE_SECONDS)
        return OPENING_SECONDS if self._partitions.opening else IDLE_SECONDS


class RecordsAhead:
    """What was polled before a commit, to be taken while the broker commits.

    seconds: how long that took.
    """

    def __init__(
        self,
        polled: Polled,
        take: Callable[[Polled], None],
        now: Callable[[], float],
    ) -> None:
        self._polled = polled
        self._take = take
        self._now = now
        self.seconds = 0.0

    def take(self) -> None:
        """Decode and translate them, unless that was done."""
        polled, self._polled = self._polled, NOTHING
        started = self._now()
        self._take(polled)
        self.seconds += self._now() - started
