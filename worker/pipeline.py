"""The one visible loop: poll → decode → translate → batch → post → announce → commit.

Read this file first. One batch is in the ledger (in a thread of its own) while the next is
consumed, decoded and translated here; when the ledger has answered, the next batch goes in, and
the answered one is announced and committed in one Kafka transaction. While the broker commits,
what was polled just before is decoded and translated.

The invariant: a record's outcome is committed only together with its announcements, only by the
assignment that consumed it, and only after the ledger has answered. Everything it does with the
world goes through the ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import chain
from typing import Final

from worker.core.assignment import Assignment, CommittedPosition
from worker.core.errors import Aborted, Unsettled
from worker.core.outcome import Outcome
from worker.core.ports import (
    Announcement,
    Announcer,
    Commit,
    GroupMember,
    Polled,
    Record,
)
from worker.stages.batch import Batch, Limits
from worker.stages.item import Item
from worker.stages.partitions import InputTopic, Partitions
from worker.stages.priority import PriorityRounds
from worker.stages.protocols import Observer, Posting, Reader, Writer

IDLE_SECONDS: Final = 0.1
"""How long one poll waits when there is nothing to do."""

BUSY_SECONDS: Final = 0.002
"""How long one poll waits while the ledger works on a batch."""

OPENING_SECONDS: Final = 0.02
"""How long one poll waits while the group is being asked where it stands on a partition."""

SLOW_LEDGER_SECONDS: Final = 1.0
"""Past this a full worker pauses its partitions and polls on, to stay in its group."""

NAP_MS: Final = 250
"""The least that a partition sleeps before its next parked record is due: waking costs a fetch."""

WINDOW_BATCHES: Final = 4
"""`until` runs this many full batches ahead of the next offset; two are in flight at most."""

PORTION: Final = 64
"""So many records are decoded at once, and then translated."""

NOTHING: Final = Polled((), (), (), {})


@dataclass(frozen=True, slots=True)
class InputState:
    """What is read, for whom, and in what portions.

    group: the consumer group. topics: what each is read as. linger_seconds: how long a batch waits
    for company. events_limit: stop taking records after so many; 0 means never.
    """

    group: str
    topics: Mapping[str, InputTopic]
    limits: Limits
    linger_seconds: float
    events_limit: int = 0


@dataclass(slots=True)
class _InFlight:
    """The batch that the ledger is working on, and when it was handed over."""

    items: list[Item]
    answer: Future[list[Outcome]]
    since: float


class Pipeline:
    """One worker's loop; it belongs to one thread.

    ledger_thread: runs one call at a time, in order: the ledger takes one request at a time.
    now: seconds of a clock that never goes back. wall_ms: milliseconds since 1970,
    the same for every worker.
    """

    def __init__(  # noqa: PLR0913 - one argument per port
        self,
        *,
        inputs: InputState,
        source: GroupMember,
        reader: Reader,
        posting: Posting,
        writer: Writer,
        announcer: Announcer,
        observer: Observer,
        ledger_thread: Executor,
        now: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        self._inputs = inputs
        self._source = source
        self._reader = reader
        self._posting = posting
        self._writer = writer
        self._announcer = announcer
        self._observer = observer
        self._now = now
        self._wall_ms = wall_ms
        self.partitions = Partitions(
            group=inputs.group,
            topics=inputs.topics,
            window=WINDOW_BATCHES * inputs.limits.events_max,
            source=source,
        )
        self._ledger_thread = ledger_thread
        self._batch = Batch(inputs.limits)
        self._batch_since = 0.0
        self._in_flight: _InFlight | None = None
        self._announcing: list[Item] = []
        self._ahead: Sequence[Record] = ()
        self._ahead_seconds = 0.0
        self._paused = False
        self._turns = PriorityRounds()
        self.settled = 0
        """Records whose outcome is committed, since the start."""

    def step(self) -> None:
        """One turn of the loop: a poll, at most one request to the ledger, and one transaction."""
        self._observer.beat()
        self._wake()
        self._take_turns()
        self._take(self._follow(self._poll()))
        if self.partitions.opening:
            self._open_partitions()
        answered = self._answered()
        # A full batch keeps the ledger busy meanwhile; a small one takes along what comes by then.
        if self._due() and (answered is None or self._batch.full):
            self._submit()
        if answered is not None:
            self._poll_ahead()
            self._announce(*answered)
            self._take_ahead()
            self._announcing = []

    def finish(self, deadline_seconds: float) -> bool:
        """Announce what the ledger has in hand if it answers in time; drop the rest.

        Returns whether the ledger answered.
        """
        answered = self._wait_for_ledger(deadline_seconds)
        done = self._answered()
        if done is not None:
            self._announce(*done)
        return answered

    @property
    def idle(self) -> bool:
        """Is nothing under way?"""
        return not (self._batch.items or self._in_flight or self.partitions.opening)

    def commit_tails(self) -> None:
        """Stand at the very end of every partition that was read to its end."""
        if self.idle and (tails := self.partitions.tails()):
            self._commit((), tails)

    # Poll

    def _poll(self) -> Polled:
        if not self._batch.full:
            if self._paused:
                self._source.resume(self.partitions.awake())
                self._paused = False
            return self._poll_for_records()
        if not self._wait_for_ledger(SLOW_LEDGER_SECONDS) and not self._paused:
            self._source.pause(self.partitions.opened())
            self._paused = True
        return self._source.poll(records_max=1, timeout_seconds=0) if self._paused else NOTHING

    def _poll_for_records(self) -> Polled:
        room, patience = self._room, self._patience()
        polled = self._source.poll(records_max=room, timeout_seconds=patience) if room else NOTHING
        if not polled.records:
            self._wait_for_ledger(BUSY_SECONDS)
        return polled

    @property
    def _room(self) -> int:
        """How many records may be taken now."""
        if not self._inputs.events_limit:
            return self._batch.room
        left = self._inputs.events_limit - self.settled - len(list(self._in_hand()))
        return max(0, min(self._batch.room, left))

    def _poll_ahead(self) -> None:
        """Fetch what can be decoded and translated while the broker commits."""
        if self._room and not (self._batch.full or self._paused):
            polled = self._source.poll(records_max=self._room, timeout_seconds=0)
            self._ahead = self._follow(polled)

    def _take_ahead(self) -> None:
        """Decode and translate it; only once."""
        records, self._ahead = self._ahead, ()
        started = self._now()
        self._take(records)
        self._ahead_seconds += self._now() - started

    def _patience(self) -> float:
        """How many seconds a poll may wait for a record."""
        if self._in_flight is not None:
            return 0.0
        if self.partitions.waits_for_ledger:
            return BUSY_SECONDS
        if self._batch.items:
            left = self._batch_since + self._inputs.linger_seconds - self._now()
            return min(max(left, 0.0), IDLE_SECONDS)
        return OPENING_SECONDS if self.partitions.opening else IDLE_SECONDS

    def _wait_for_ledger(self, seconds: float) -> bool:
        """Wait for the batch in flight; True when there is none, or it was answered."""
        if self._in_flight is None:
            return True
        try:
            self._in_flight.answer.exception(timeout=seconds)
        except TimeoutError:
            return False
        return True

    # Partitions

    def _follow(self, polled: Polled) -> Sequence[Record]:
        """Take over what the group said, and drop unsubmitted work that is not ours any more."""
        if self.partitions.follow(polled):
            self._batch.drop_lost(self.partitions.all())
            held = self.partitions.places()
            self._observer.rebalanced(lost=polled.lost, gained=polled.gained, held=held)
        return polled.records

    def _open_partitions(self) -> None:
        opened = self.partitions.open_known()
        if self.partitions.opening and self._in_flight is None:
            starts = self.partitions.first_starts(self._ask_newest)
            if starts and self._commit((), starts):
                opened += self.partitions.open_first(starts)
        if opened:
            self._observer.opened(opened)
            if not self._paused:
                self._source.resume(opened)

    def _ask_newest(self) -> Future[int]:
        return self._ledger_thread.submit(self._posting.newest_timestamp)

    # Decode and translate

    def _take(self, records: Sequence[Record]) -> None:
        """Each record whose turn it is becomes an item of the batch."""
        if ready := self.partitions.take(records, self._is_due):
            self._fill(ready)

    def _is_due(self, record: Record, assignment: Assignment) -> bool:
        """Has this parked record waited long enough? If not, its partition sleeps until then."""
        place = (assignment.topic, assignment.partition)
        now_ms, delay_ms = self._wall_ms(), assignment.delay_ms
        due_ms = self._reader.due_ms(record, delay_ms=delay_ms)
        if due_ms <= now_ms:
            return True
        # A clock that was ahead when the record was parked must not make it wait for years.
        wake_ms = max(min(due_ms, now_ms + delay_ms), now_ms + NAP_MS)
        self.partitions.sleep(place, offset=record.offset(), wake_ms=wake_ms)
        self._observer.parked(place, record)
        return False

    def _wake(self) -> None:
        """Take parked records that are due by now."""
        woken = self.partitions.wake(self._wall_ms())
        for place in woken:
            self._observer.parked(place, None)
        if woken and not self._paused:
            self._source.resume(woken)

    def _take_turns(self) -> None:
        """After a turn with full batches the less urgent rest, until nobody else is behind."""
        if (self._turns.begins(self._now()) or self.partitions.rested) and not self._paused:
            self.partitions.take_turns(self._turns.number)

    def _fill(self, ready: list[tuple[Record, Assignment]]) -> None:
        """In portions: what is decoded is translated, and its memory free, before it gets cold."""
        if not self._batch.items:
            self._batch_since = self._now()
        for start in range(0, len(ready), PORTION):
            portion = ready[start : start + PORTION]
            started = self._now()
            found = self._reader.decode([record for record, _ in portion])
            decoded = self._now()
            self._batch.extend(self._reader.items(portion, found, group=self._inputs.group))
            self._observer.stage("decode", decoded - started)
            self._observer.stage("translate", self._now() - decoded)

    # Post

    def _due(self) -> bool:
        """Is it time to hand the batch over?"""
        batch = self._batch
        if self._in_flight is not None or self.partitions.waits_for_ledger or not batch.items:
            return False
        waited = self._now() - self._batch_since
        return batch.full or batch.urgent or waited >= self._inputs.linger_seconds

    def _submit(self) -> None:
        self._turns.batch(full=self._batch.full)
        items = self._batch.cut()
        now = self._now()
        self._batch_since = now
        if items:
            answer = self._ledger_thread.submit(self._posting.post, items)
            self._in_flight = _InFlight(items, answer, now)
        elif blocked := self.partitions.blocked(self._batch.items):
            self._commit((), blocked)

    def _answered(self) -> tuple[list[Item], list[Outcome]] | None:
        """The batch that the ledger has answered."""
        flight = self._in_flight
        if flight is None or not flight.answer.done():
            return None
        self._in_flight = None
        self._announcing = flight.items
        outcomes = flight.answer.result()
        self._observer.stage("post", self._now() - flight.since)
        return flight.items, outcomes

    # Announce and commit

    def _announce(self, items: list[Item], outcomes: list[Outcome]) -> None:
        """All but what is not ours any more: a commit that failed just now may have made it so."""
        if not self.partitions.all_ours(items):
            pairs = zip(items, outcomes, strict=True)
            kept = [(item, outcome) for item, outcome in pairs if self.partitions.ours(item)]
            items, outcomes = [item for item, _ in kept], [outcome for _, outcome in kept]
        if not items:
            return
        started = self._now()
        announcements = self._writer.write(items, outcomes)
        self._observer.stage("announce", self._now() - started)
        if self._commit(announcements, self.partitions.stands(items)):
            self.settled += len(items)
            self._observer.committed(items, outcomes)

    def _commit(
        self,
        announcements: Iterable[Announcement],
        stands: list[tuple[Assignment, int, CommittedPosition]],
    ) -> bool:
        """One transaction; False when it failed and everything is read again.

        The consumer is not polled in here, so that no partition can leave meanwhile.
        """
        commits = [
            Commit(one.topic, one.partition, offset, stand.metadata())
            for one, offset, stand in stands
        ]
        started, self._ahead_seconds = self._now(), 0.0
        membership = self._source.membership()
        try:
            self._announcer.announce(announcements, commits, membership, self._take_ahead)
        except (Aborted, Unsettled) as failed:
            self._take_ahead()  # so that it is known to be in hand
            for place in self.partitions.asleep():
                self._observer.parked(place, None)
            self.partitions.start_over(self._in_hand())
            self._observer.aborted(str(failed))
            self._batch.drop_lost(self.partitions.all())  # nobody's now, and read again
            return False
        self._observer.stage("commit", self._now() - started - self._ahead_seconds)
        for one, offset, stand in stands:
            one.was_committed(next_offset=offset, stand=stand)
        return True

    def _in_hand(self) -> Iterable[Item]:
        """What was read and is not committed: all that the transaction and the ledger have not."""
        flying = self._in_flight.items if self._in_flight is not None else ()
        return chain(self._announcing, flying, self._batch.items)
