"""Reads Stripe's balance transactions, and writes each once, with what its webhook did not tell.

The invariant: a balance transaction is on the topic when the checkpoint in the same transaction
says so, and a window before the checkpoint is read again, because Stripe shows some late. What of
the window was written already is known from the topics, so a crash at any step neither loses nor
doubles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import structlog

from worker.codecs.decode import event_of
from worker.core.event import Dead, Event
from worker.core.ports import Announcement, Record
from worker.jobs.feed.facts import (
    ListedEvent,
    Origin,
    StripeObject,
    dispute_outcome,
    payment_event,
    payout_outcome,
    settlement_event,
)
from worker.jobs.feed.feed_topics import FeedTopics, checkpoint_record, event_record
from worker.jobs.feed.lost_webhooks import LostWebhooks
from worker.jobs.feed.recent import Recent
from worker.jobs.feed.records import parsed
from worker.jobs.feed.slices import Pages, in_order
from worker.observe.feed_metrics import FeedMetrics

BALANCE_TRANSACTIONS: Final = "balance_transactions"
EVENTS: Final = "events"
EVENTS_DAYS_MAX: Final = 29
"""How far back events are read: Stripe lists those of thirty days."""

EVENTS_OVERLAP: Final = 3_600
"""Seconds of events that are read again, because some show late."""

SLACK_SECONDS: Final = 3_600
"""How far a webhook's record may be from its balance transaction, clocks included."""

HEARD_EVERY: Final = 500
"""Records between two polls of the group."""

DAY: Final = 86_400
OUTCOMES: Final[tuple[tuple[str, int, Callable[[StripeObject], Iterator[ListedEvent]]], ...]] = (
    ("payouts", 30 * DAY, payout_outcome),
    ("disputes", 180 * DAY, dispute_outcome),
)
"""Lists that tell what no balance transaction does, how long that may take, and how to read it."""

_log = structlog.get_logger(__name__)


class Lists(Protocol):
    """Stripe's lists."""

    @property
    def origin(self) -> Origin:
        """Who reads them."""
        ...

    def newest(self, name: str, since: int) -> int | None:
        """When the newest object since then was created."""
        ...

    def read(self, name: str, since: int, until: int | None, pages_max: int | None) -> Pages:
        """What was created in these seconds."""
        ...


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """What a feed of settlements reads, and where it writes.

    payments, settlements, checkpoints: topics.
    name: of its checkpoint.
    start: where it begins without one, in seconds since 1970.
    overlap: how far before the checkpoint it reads again, in seconds.
    heal_after: how long a webhook may take, in seconds; None: nothing is healed.
    outcome_every: seconds between two looks at what payouts and disputes came to.
    parallel: requests to Stripe at once.
    """

    payments: str
    settlements: str
    checkpoints: str
    name: str
    start: int
    overlap: int
    heal_after: float | None
    outcome_every: float
    parallel: int


class SettlementFeed:
    """One process's feed while it is the one that reads; `load` before the first look."""

    def __init__(  # noqa: PLR0913 - one argument per part
        self,
        plan: FeedPlan,
        *,
        lists: Lists,
        topics: FeedTopics,
        lost: LostWebhooks,
        metrics: FeedMetrics,
        executor: Executor,
        decode: Callable[[Record], Event | Dead],
        now: Callable[[], float],
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._lists = lists
        self._topics = topics
        self._lost = lost
        self._metrics = metrics
        self._executor = executor
        self._decode = decode
        self._now = now
        self._waiting = waiting
        self._written = Recent()
        self._judged = Recent()
        self._outcomes: dict[str, int] = {}
        self._events_since = 0
        self._looked_at = 0.0
        self.through = 0
        """The newest balance transaction that was read, in seconds since 1970; 0: none yet."""

    def load(self) -> None:
        """Find out what was written: at the start, and after a transaction that may have failed."""
        plan = self._plan
        checkpoints = self._topics.checkpoints()
        self.through = int(checkpoints.get(plan.name, {}).get("through", 0))
        prefix = f"{plan.name}/"
        self._outcomes = {
            name.removeprefix(prefix): int(value["created"])
            for name, value in checkpoints.items()
            if name.startswith(prefix)
        }
        self._events_since = self._outcomes.pop(EVENTS, self.window())
        self._topics.forget()
        self._written, self._judged = Recent(), Recent()
        for record in self._fresh(plan.settlements, self.window()):
            self._note_settlement(record)

    def look(self) -> None:
        """Read the window before the checkpoint, and all that is new; write what is missing."""
        start = self.window()
        for recent in (self._written, self._judged):
            recent.forget_before(start)
        self._lost.forget_before(start - SLACK_SECONDS)
        self._catch_up(start)
        newest = self._lists.newest(BALANCE_TRANSACTIONS, start)
        if newest is not None:
            for settled in self._slices(BALANCE_TRANSACTIONS, start, newest):
                self._take(settled)
        if self._plan.heal_after is not None:
            self._look_at_outcomes()
        self._metrics.polled("whole")

    def window(self) -> int:
        """Where the next look begins, in seconds since 1970."""
        if not self.through:
            return self._plan.start
        return max(self.through - self._plan.overlap, 0)

    def _slices(self, name: str, since: int, newest: int) -> Iterator[list[StripeObject]]:
        return in_order(
            partial(self._lists.read, name),
            since,
            newest,
            executor=self._executor,
            parallel=self._plan.parallel,
            waiting=self._waiting,
        )

    def _take(self, slice_: Iterable[StripeObject]) -> None:
        """One slice and the new checkpoint, in one transaction."""
        now = self._now()
        bodies: list[tuple[str, Mapping[str, Any]]] = []
        written: list[StripeObject] = []
        judged: list[StripeObject] = []
        through = self.through
        for settled in slice_:
            through = max(through, int(settled["created"]))
            if settled["id"] not in self._written:
                written.append(settled)
                event = settlement_event(settled, self._lists.origin)
                bodies.append((self._plan.settlements, event))
            if self._is_due(settled, now):
                judged.append(settled)
                healed = payment_event(settled, self._lists.origin)
                if healed is not None and self._lost.missing(healed):
                    bodies.append((self._plan.payments, healed))
        records = [event_record(topic, body) for topic, body in bodies]
        if through > self.through:
            records.append(self._checkpoint(through))
        self._write(records, bodies)
        self.through = through
        for settled in written:
            self._written.add(settled["id"], settled["created"])
        for settled in judged:
            self._judged.add(settled["id"], settled["created"])

    def _is_due(self, settled: StripeObject, now: float) -> bool:
        """Should its webhook have come by now, and is it not judged yet?"""
        after = self._plan.heal_after
        return (
            after is not None
            and settled["created"] + after <= now
            and settled["id"] not in self._judged
        )

    def _checkpoint(self, through: int) -> Announcement:
        return checkpoint_record(self._plan.checkpoints, self._plan.name, {"through": through})

    def _write(
        self, records: list[Announcement], bodies: list[tuple[str, Mapping[str, Any]]]
    ) -> None:
        if not records:
            return
        self._topics.write(records)
        for topic, body in bodies:
            self._metrics.written(body["type"])
            if topic == self._plan.payments:
                self._metrics.healed(body["type"])
                _log.info("webhook_healed", type=body["type"], event_id=body["id"])

    def _catch_up(self, start: int) -> None:
        """What webhooks have brought meanwhile, and settlements from elsewhere."""
        if self._plan.heal_after is None:
            return
        known = min(start, self._events_since) - SLACK_SECONDS
        for record in self._fresh(self._plan.payments, known):
            self._lost.note(self._decode(record), record.timestamp()[1] // 1_000)
        for record in self._fresh(self._plan.settlements, start):
            self._note_settlement(record)

    def _fresh(self, topic: str, since: int) -> Iterator[Record]:
        """Records that came since the last time; the group hears of this process meanwhile."""
        for number, record in enumerate(self._topics.fresh(topic, since)):
            if number % HEARD_EVERY == 0:
                self._waiting()
            yield record

    def _note_settlement(self, record: Record) -> None:
        body = parsed(record.value() or b"")
        event = event_of(body) if isinstance(body, dict) else None
        if isinstance(event, Event):
            about = event.body["data"]["object"]
            if isinstance(about.get("id"), str) and isinstance(about.get("created"), int):
                self._written.add(about["id"], about["created"])

    # What no balance transaction tells

    def _look_at_outcomes(self) -> None:
        now = self._now()
        if now - self._looked_at < self._plan.outcome_every:
            return
        for name, seconds, read in OUTCOMES:
            since = max(int(now) - seconds, 0)
            newest = self._lists.newest(name, since)
            if newest is None:
                continue
            for objects in self._slices(name, since, newest):
                self._take_outcomes(objects, read)
        self._look_at_events(int(now))
        self._forget_outcomes(int(now))
        self._looked_at = now

    def _take_outcomes(
        self, objects: Iterable[StripeObject], read: Callable[[StripeObject], Iterator[ListedEvent]]
    ) -> None:
        outcomes = {
            each["id"]: outcome
            for each in objects
            if each["id"] not in self._outcomes
            for outcome in read(each)
        }
        events = {
            name: self._lists.origin.event(
                f"list/{each.kind}/{name}", each.kind, each.created, each.about
            )
            for name, each in outcomes.items()
        }
        bodies: list[tuple[str, Mapping[str, Any]]] = [
            (self._plan.payments, event) for event in events.values() if self._lost.missing(event)
        ]
        records = [event_record(topic, body) for topic, body in bodies]
        records += [
            self._outcome_record(name, {"created": each.created}) for name, each in outcomes.items()
        ]
        self._write(records, bodies)
        self._outcomes |= {name: each.created for name, each in outcomes.items()}

    def _look_at_events(self, now: int) -> None:
        """Stripe's own events of what no object dates: captures in parts, and what was canceled."""
        fresh = self._events_since + 1
        # Never so far back that those which were judged are forgotten.
        since = min(fresh, max(fresh - EVENTS_OVERLAP, self.window()))
        since = max(since, now - EVENTS_DAYS_MAX * DAY, 0)
        newest = self._lists.newest(EVENTS, since)
        if newest is None:
            return
        for events in self._slices(EVENTS, since, newest):
            due = [each for each in events if self._is_due(each, now)]
            if due:
                self._take_events(due)

    def _take_events(self, events: list[StripeObject]) -> None:
        """The lost ones of a slice, and how far events were read, in one transaction."""
        lost = [each for each in events if self._lost.not_delivered(each)]
        bodies: list[tuple[str, Mapping[str, Any]]] = [
            (self._plan.payments, self._lists.origin.named(dict(each))) for each in lost
        ]
        since = max(self._events_since, *(int(each["created"]) for each in events))
        records = [event_record(topic, body) for topic, body in bodies]
        if since > self._events_since:
            records.append(self._outcome_record(EVENTS, {"created": since}))
        self._write(records, bodies)
        self._events_since = since
        for each in events:
            self._judged.add(each["id"], each["created"])

    def _forget_outcomes(self, now: int) -> None:
        """What no list is asked for any more."""
        oldest = now - max(seconds for _, seconds, _ in OUTCOMES) - DAY
        old = [name for name, created in self._outcomes.items() if created < oldest]
        self._write([self._outcome_record(name, None) for name in old], [])
        for name in old:
            del self._outcomes[name]

    def _outcome_record(self, name: str, value: Mapping[str, Any] | None) -> Announcement:
        return checkpoint_record(self._plan.checkpoints, f"{self._plan.name}/{name}", value)
