"""Catching up with several workers: one reads the whole backlog, the others stand by.

Time order needs all that lags in one place: of two workers that read a backlog side by side, one
would post a payment before the other posts the charge that pays for it. So after an outage whoever
has the first input partition waits, and the others hand theirs over until nothing lags.

Outages are what a worker has seen itself: it has just started, or its ledger was away for long. A
group that is merely slow shares the work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final, NamedTuple

import structlog

from worker.core.ports import GroupLook, SharedInputs, TopicPartition

LONG_PAUSE_SECONDS: Final = 10.0
"""A ledger that was away for so long is an outage."""

IN_VAIN_LIMITS: Final = 2
"""After so many times the limit the backlog must be smaller."""

_log = structlog.get_logger(__name__)


class Phase(Enum):
    """Who reads the inputs?"""

    SHARING = "each member its partitions"
    HOLDING = "nobody yet: it is found out who lags, or waited for what others hand over"
    STANDING_BY = "others"


class HandOver(NamedTuple):
    """How handing over is timed.

    look_seconds: between two looks at the group's offsets.
    limit_seconds: how long is waited for others before this worker goes on without.
    """

    look_seconds: float
    limit_seconds: float


class CatchingUp:
    """What this worker does about a backlog. shared: None where no other worker can be meant."""

    def __init__(self, shared: SharedInputs | None, timing: HandOver) -> None:
        self._shared = shared
        self._timing = timing
        self._phase = Phase.SHARING
        self._outage = True
        self._mine: Collection[TopicPartition] = ()
        self._since = 0.0
        self._looks: list[GroupLook] = []
        self._looked_at = 0.0
        self._moved_at: dict[TopicPartition, float] = {}
        self._stuck_at: Mapping[TopicPartition, int] = {}
        self._backlog: int | None = None

    @property
    def watching(self) -> bool:
        """May there be anything to do?"""
        return self._shared is not None and (self._outage or self._phase is not Phase.SHARING)

    @property
    def holding(self) -> bool:
        """Is nothing to be posted now?"""
        return self._phase is Phase.HOLDING

    def paused(self, seconds: float) -> None:
        """Nothing was read for so long, because the ledger did not answer."""
        if seconds >= LONG_PAUSE_SECONDS:
            self._outage = True

    def step(self, mine: Collection[TopicPartition], now: float) -> bool:
        """One round; True: everything in flight is to be read anew, because others may have older.

        mine: the input partitions of this worker. now: seconds of a clock that never goes back.
        """
        if self._shared is None:
            return False
        if self._phase is Phase.STANDING_BY:
            self._stand_by(self._shared, now)
        elif self._phase is Phase.HOLDING:
            self._hold(self._shared, mine, now)
        elif self._outage and 0 < len(mine) < len(self._shared.input_partitions):
            self._enter(Phase.HOLDING, now)
            self._mine = set(mine)
            return True
        return False

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase = phase
        self._since = self._looked_at = now
        self._looks = []
        self._moved_at = {}
        self._backlog = None

    # Holding

    def _hold(self, shared: SharedInputs, mine: Collection[TopicPartition], now: float) -> None:
        whole = shared.input_partitions
        if len(mine) >= len(whole):
            _log.info("catching_up_alone", partitions=len(whole))
            self._enter(Phase.SHARING, now)
        elif set(mine) != self._mine:
            self._enter(Phase.HOLDING, now)
            self._mine = set(mine)
        elif now - self._since >= self._timing.limit_seconds:
            _log.warning("catching_up_side_by_side", waited_seconds=self._timing.limit_seconds)
            self._share(now)
        elif self._look(shared, now):
            self._judge(shared, now)

    def _judge(self, shared: SharedInputs, now: float) -> None:
        """Two looks say who lags."""
        if not any(self._lags(each) for each in shared.input_partitions if each not in self._mine):
            self._share(now)
        elif min(shared.input_partitions) not in self._mine:
            _log.info("standing_by")
            shared.read_inputs(reading=False)
            self._enter(Phase.STANDING_BY, now)

    def _share(self, now: float) -> None:
        self._outage = False
        self._enter(Phase.SHARING, now)

    # Standing by

    def _stand_by(self, shared: SharedInputs, now: float) -> None:
        """Come back when nothing lags, or nobody works on it."""
        if not self._look(shared, now):
            return
        lagging = [each for each in shared.input_partitions if self._lags(each)]
        since = now - self._timing.limit_seconds
        moved = {each for each, moved_at in self._moved_at.items() if moved_at > since}
        if moved.intersection(lagging) and not self._in_vain(now):
            return
        committed = self._looks[-1].committed
        stuck = bool(lagging) and not moved
        self._outage = stuck and committed != self._stuck_at
        self._stuck_at = committed if stuck else {}
        _log.info("reads_inputs_again", lagging=len(lagging))
        shared.read_inputs(reading=True)
        self._enter(Phase.SHARING, now)

    def _in_vain(self, now: float) -> bool:
        """Is the one worker not fast enough? Its backlog is compared now and then."""
        if now - self._since < IN_VAIN_LIMITS * self._timing.limit_seconds:
            return False
        committed, ends = self._looks[-1]
        backlog = sum(max(0, end - committed.get(each, 0)) for each, end in ends.items())
        self._since, before, self._backlog = now, self._backlog, backlog
        return before is not None and backlog >= before

    # Looks at the group

    def _look(self, shared: SharedInputs, now: float) -> bool:
        """Take another look, in time; True when one came that has one before it."""
        if now - self._looked_at < self._timing.look_seconds:
            return False
        look = shared.look()
        if look is None:
            return False
        self._looked_at = now
        before = self._looks[-1].committed if self._looks else {}
        for partition, committed in look.committed.items():
            if partition not in self._moved_at or committed != before.get(partition):
                self._moved_at[partition] = now
        self._looks = [*self._looks[-1:], look]
        return len(self._looks) > 1

    def _lags(self, partition: TopicPartition) -> bool:
        """Had the group not committed at this look what there was at the one before?"""
        before, now = self._looks
        return now.committed.get(partition, -1) < before.ends.get(partition, 0)
