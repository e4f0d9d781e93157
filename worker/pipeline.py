"""The loop: poll → decode → translate → batch → post → announce → commit.

Read this file first. One batch is in the ledger (in a thread of its own) while the next is
consumed, decoded and translated here; when the ledger has answered, the next batch goes in, and
the answered one is announced and committed in one Kafka transaction. While the broker commits,
what was polled just before is decoded and translated.

The invariant: a record's outcome is committed only together with its announcements, only by the
assignment that consumed it, and only after the ledger has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from typing import Final

from worker.core.assignment import Assignment
from worker.core.errors import Aborted, Unsettled
from worker.core.ports import (
    Announcement,
    Announcer,
    Commit,
    GroupMember,
    Polled,
    Record,
    SharedInputs,
)
from worker.stages.catching_up import CatchingUp
from worker.stages.commits import PartitionCommit
from worker.stages.decode import EventReader
from worker.stages.in_flight import InFlight, PostingBatch
from worker.stages.intake import NOTHING, InputSettings, Intake, RecordsAhead
from worker.stages.parking import NAP_MS, wake_ms
from worker.stages.partitions import Partitions
from worker.stages.pending_schemas import known_part
from worker.stages.portions import portions
from worker.stages.priority import priority_rank
from worker.stages.protocols import Observer, Posting, Writer
from worker.stages.time_order import OwnedRecord, TimeOrder

WINDOW_BATCHES: Final = 4
"""`until` runs this many full batches ahead of the next offset; two are in flight at most."""


class Pipeline:
    """One worker's loop; it belongs to one thread.

    ledger_thread: runs one call at a time, in order: the ledger takes one request at a time.
    now: seconds of a clock that never goes back.
    wall_ms: milliseconds since 1970, the same for every worker.
    """

    def __init__(  # noqa: PLR0913 - one argument per port
        self,
        *,
        inputs: InputSettings,
        source: GroupMember,
        reader: EventReader,
        posting: Posting,
        writer: Writer,
        announcer: Announcer,
        observer: Observer,
        ledger_thread: Executor,
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        shared: SharedInputs | None = None,
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
        self._in_flight = InFlight(inputs.limits)
        self._order = TimeOrder(
            patience=inputs.patience,
            rank_of=lambda topic: priority_rank(inputs.topics[topic].priority),
            lag=source.lag,
            passes=observer.passed,
        )
        self._ordered = 0
        self._catching_up = CatchingUp(shared, inputs.hand_over)
        self._intake = Intake(
            inputs=inputs,
            source=source,
            partitions=self.partitions,
            order=self._order,
            catching_up=self._catching_up,
            in_flight=self._in_flight,
            now=now,
        )

    @property
    def settled(self) -> int:
        """Records whose outcome is committed, since the start."""
        return self._in_flight.settled

    @property
    def waiting_seconds(self) -> float:
        """How long records have been waiting for an older partition."""
        since = self._order.waits_since
        return self._now() - since if since is not None else 0.0

    def step(self) -> None:
        """One round: a poll, at most one request to the ledger, and one transaction."""
        self._observer.beat()
        self._wake()
        self._take(self._follow(self._intake.poll()))
        self._catch_up()
        if self.partitions.opening:
            self._open_partitions()
        answered = self._answered()
        # A full batch keeps the ledger busy meanwhile; a small one takes along what comes by then.
        if self._due() and (answered is None or self._in_flight.filling.full):
            self._submit()
        if answered is not None:
            ahead = self._ahead(self._follow(self._intake.poll_ahead()))
            self._announce(answered, ahead)
            ahead.take()
            self._in_flight.announced()

    def finish(self, deadline_seconds: float) -> bool:
        """Announce what the ledger works on if it answers in time; drop the rest.

        Returns whether the ledger answered.
        """
        in_time = self._in_flight.wait(deadline_seconds)
        answered = self._answered()
        if answered is not None:
            self._announce(answered, self._ahead(NOTHING))
        return in_time

    @property
    def idle(self) -> bool:
        """Is nothing under way?"""
        in_flight = self._in_flight
        opening = self.partitions.opening
        return not (in_flight.filling.items or in_flight.posting or opening or len(self._order))

    def commit_tails(self) -> None:
        """Commit the very end of every partition that was read to its end."""
        if self.idle and (tails := self.partitions.tails()):
            self._commit((), tails, self._ahead(NOTHING))

    # Partitions

    def _follow(self, polled: Polled) -> Polled:
        """Take over what the group said, and drop unsubmitted work that is not ours any more."""
        if self.partitions.follow(polled):
            self._in_flight.drop_lost(self.partitions.all())
            assigned = self.partitions.assigned()
            self._observer.rebalanced(lost=polled.lost, gained=polled.gained, assigned=assigned)
        return polled

    def _open_partitions(self) -> None:
        opened = self.partitions.open_known()
        if self.partitions.opening and self._in_flight.posting is None:
            first = self.partitions.first_commits(self._request_newest)
            if first and self._commit((), first, self._ahead(NOTHING)):
                opened += self.partitions.open_first(first)
        if opened:
            self._observer.opened(opened)
            self._intake.resume(opened)

    def _request_newest(self) -> Future[int]:
        return self._ledger_thread.submit(self._posting.newest_timestamp)

    # Parked records

    def _wake(self) -> None:
        """Take parked records that are due by now."""
        woken = self.partitions.wake(self._wall_ms())
        for partition in woken:
            self._observer.parked(partition, None)
        self._intake.resume(woken)

    def _is_due(self, record: Record, assignment: Assignment) -> bool:
        """Has this parked record waited long enough? If not, its partition sleeps until then."""
        now_ms, delay_ms = self._wall_ms(), assignment.delay_ms
        due_ms = self._reader.due_ms(record, delay_ms=delay_ms)
        if due_ms <= now_ms:
            return True
        until_ms = wake_ms(due_ms=due_ms, now_ms=now_ms, delay_ms=delay_ms)
        self.partitions.sleep(assignment, offset=record.offset(), wake_ms=until_ms)
        self._observer.parked((assignment.topic, assignment.partition), record)
        return False

    # Time order

    def _take(self, polled: Polled) -> None:
        """Take what was polled, the oldest of all partitions first, as far as there is room."""
        records = self.partitions.take(polled.records, self._is_due)
        if self._ordered != self.partitions.changes:
            self._ordered = self.partitions.changes
            self._order.follow(self.partitions.all())
        self._order.add(records, polled.ends, now=self._now(), now_ms=self._wall_ms())
        if self._intake.taking:
            self.partitions.hold(self._order.ahead())
        self._fill(self._order.take(self._intake.room))

    def _catch_up(self) -> None:
        """After an outage one worker reads what lags; what others may have older is waited for."""
        if self._catching_up.watching:
            if self._catching_up.step(self.partitions.inputs(), self._now()):
                self._read_anew()
            self._order.holding = self._catching_up.holding

    # Decode and translate

    def _fill(self, taken: Sequence[OwnedRecord]) -> None:
        """Decode and translate these for the batch, in portions."""
        asleep: set[Assignment] = set()
        for portion in portions(taken):
            started = self._now()
            events = self._reader.decode_taken(portion)
            decoded = self._now()
            if asleep or self._reader.pending:
                portion, events = known_part(portion, events, asleep, self._sleep)  # noqa: PLW2901
            items = self._reader.items(portion, events, group=self._inputs.group)
            self._in_flight.fill(items, started)
            self._observer.stage("decode", decoded - started)
            self._observer.stage("translate", self._now() - decoded)

    def _sleep(self, assignment: Assignment, offset: int) -> None:
        """Read the partition again from this offset in a moment; the others go on without it."""
        self._order.set_aside(assignment)
        self.partitions.sleep(assignment, offset=offset, wake_ms=self._wall_ms() + NAP_MS)

    # Batch and post

    def _due(self) -> bool:
        """Is it time to hand the batch over?"""
        batch = self._in_flight.filling
        busy = self._in_flight.posting is not None or self.partitions.waits_for_ledger
        if busy or not batch.items:
            return False
        waited = self._now() - self._in_flight.filling_since
        return batch.full or batch.urgent or waited >= self._inputs.linger_seconds

    def _submit(self) -> None:
        now = self._now()
        items = self._in_flight.cut(now)
        if items:
            outcomes = self._ledger_thread.submit(self._posting.post, items)
            self._in_flight.submitted(items, outcomes, now)
        elif blocked := self.partitions.blocked(self._in_flight.filling.items):
            self._commit((), blocked, self._ahead(NOTHING))

    def _answered(self) -> PostingBatch | None:
        """The batch that the ledger has answered."""
        answered = self._in_flight.answered()
        if answered is not None:
            answered.outcomes.result()  # raises what the ledger's thread raised
            self._observer.stage("post", self._now() - answered.since)
        return answered

    def _ahead(self, polled: Polled) -> RecordsAhead:
        return RecordsAhead(polled, self._take, self._now)

    # Announce and commit

    def _announce(self, answered: PostingBatch, ahead: RecordsAhead) -> None:
        """All but what is not ours any more: a commit that failed just now may have made it so."""
        items, outcomes = answered.items, answered.outcomes.result()
        if not self.partitions.all_ours(items):
            pairs = zip(items, outcomes, strict=True)
            kept = [(item, outcome) for item, outcome in pairs if self.partitions.ours(item)]
            items, outcomes = [item for item, _ in kept], [outcome for _, outcome in kept]
        if not items:
            return
        started = self._now()
        announcements = self._writer.write(items, outcomes)
        self._observer.stage("announce", self._now() - started)
        if self._commit(announcements, self.partitions.settled(items), ahead):
            self._in_flight.settled += len(items)
            self._observer.committed(items, outcomes)

    def _commit(
        self,
        announcements: Iterable[Announcement],
        commits: Sequence[PartitionCommit],
        ahead: RecordsAhead,
    ) -> bool:
        """One transaction; False when it failed and everything is read again.

        The consumer is not polled in here, so that no partition can leave meanwhile.
        """
        started = self._now()
        offsets = [
            Commit(assignment.topic, assignment.partition, offset, metadata.as_json())
            for assignment, offset, metadata in commits
        ]
        membership = self._source.membership()
        try:
            self._announcer.announce(announcements, offsets, membership, ahead.take)
        except (Aborted, Unsettled) as failed:
            ahead.take()  # so that it is known to be in flight
            self._start_over(str(failed))
            return False
        self._observer.stage("commit", self._now() - started - ahead.seconds)
        for assignment, offset, metadata in commits:
            assignment.was_committed(next_offset=offset, metadata=metadata)
        return True

    def _start_over(self, reason: str) -> None:
        """A transaction failed: nobody knows better than the group what of it is written."""
        self._read_anew()
        self._observer.aborted(reason)

    def _read_anew(self) -> None:
        """Everything in flight is dropped, and read again from where the group says."""
        for partition in self.partitions.asleep():
            self._observer.parked(partition, None)
        self.partitions.start_over(self._in_flight.items(), self._order.first())
        self._in_flight.drop_lost(self.partitions.all())
