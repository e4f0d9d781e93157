"""Workers, a ledger and a Kafka in one thread: every crash, abort and rebalance from one seed.

The workers run the real pipeline, posting and decisions on the real embedded ledger; only Kafka
and the clock are made up. `DelayedThread` stands for the ledger's thread: a call runs when the
simulation says so, also after its worker has died or lost its partitions.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from tests.simulation.kafka import Crash, FakeAnnouncer, FakeKafka
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.decode import Decoder
from worker.codecs.parked import ParkedEvents
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.ports import Announcement, Ledger, Record, StageName, TopicPartition
from worker.core.translate import Translator
from worker.core.wire import Account, QueryFilter, Transfer
from worker.ledger.embedded import EmbeddedLedger
from worker.pipeline import Pipeline
from worker.rulebooks.load import load
from worker.stages.batch import Limits
from worker.stages.catching_up import HandOver
from worker.stages.decode import EventReader
from worker.stages.intake import InputSettings
from worker.stages.item import Item
from worker.stages.partitions import InputTopic
from worker.stages.post.poster import Poster
from worker.stages.time_order import Patience

P = ParamSpec("P")
R = TypeVar("R")

RULES = load(Path(__file__).parent / "rules.yaml")
TRANSLATOR = Translator(RULES)
GROUP = "simulated"
LIMIT_SECONDS = 5.0
HAND_OVER_SECONDS = 4.0
PARKED = {"parked.1": 200, "parked.2": 700}
"""Each parked topic's delay in milliseconds."""

READ_AS = {"events": InputTopic("events"), "urgent": InputTopic("events", priority="high")} | {
    topic: InputTopic("", tries, delay_ms)
    for tries, (topic, delay_ms) in enumerate(PARKED.items(), start=1)
}


class InstantAnswer(Future[R]):
    """An answer that nobody waits for in real time."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        del timeout
        return super().exception(timeout=0)


class DelayedThread(Executor):
    """Calls wait here until the simulation lets one run."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: InstantAnswer[R] = InstantAnswer()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Crash as crash:
                future.set_exception(crash)

        self.waiting.append(run)
        return future

    def run_one(self) -> None:
        if self.waiting:
            self.waiting.pop(0)()


class MortalLedger:
    """The ledger as one process sees it: the process may die around any call."""

    def __init__(self, ledger: EmbeddedLedger, rng: random.Random, crash_rate: float) -> None:
        self._ledger = ledger
        self._rng = rng
        self._crash_rate = crash_rate
        self.batch_max = ledger.batch_max

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._ledger, name)

        def mortal(*arguments: Any) -> Any:
            if self._rng.random() < self._crash_rate:
                raise Crash(f"before {name}")
            answer = call(*arguments)
            if self._rng.random() < self._crash_rate:
                raise Crash(f"after {name}")
            return answer

        return mortal


class PlainWriter:
    """Announcements that the auditor reads without the worker's codecs, but for parked events."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        dead = DeadLetters(topic="dead", group=GROUP, rulebook_digest="")
        self._parked = ParkedEvents(topics=list(PARKED), dead=dead, now_ms=now_ms)

    def write(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Announcement]:
        written = []
        for item, outcome in zip(items, outcomes, strict=True):
            place = f"{item.assignment.topic}/{item.assignment.partition}/{item.offset}"
            for leg in outcome.legs:
                content = {"id": leg.id, "at": leg.timestamp, "amount": leg.amount, "of": place}
                written.append(Announcement("posted", None, json.dumps(content).encode(), []))
            if outcome.rejection is not None:
                content = {"reason": outcome.rejection.reason, "of": place}
                written.append(Announcement("rejected", None, json.dumps(content).encode(), []))
            if outcome.dead is not None and outcome.kind is OutcomeKind.PARKED:
                stay = item.assignment
                parked = self._parked.park(
                    item.record, outcome.dead, tries=stay.tries, role=item.role, since=stay.since
                )
                written.append(parked)
            elif outcome.dead is not None:
                content = {"reason": outcome.dead.reason, "of": place}
                written.append(Announcement("dead", None, json.dumps(content).encode(), []))
        return written


@dataclass(slots=True)
class QuietObserver:
    """Counts outcomes."""

    outcomes: dict[str, int] = field(default_factory=dict)

    def beat(self) -> None: ...
    def rebalanced(
        self,
        *,
        lost: Sequence[TopicPartition],
        gained: Sequence[TopicPartition],
        assigned: Sequence[TopicPartition],
    ) -> None: ...
    def opened(self, partitions: Sequence[TopicPartition]) -> None: ...
    def parked(self, partition: TopicPartition, record: Record | None) -> None: ...
    def passed(self, partition: TopicPartition) -> None: ...
    def aborted(self, reason: str) -> None: ...
    def stage(self, name: StageName, seconds: float) -> None: ...

    def committed(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        del items
        for outcome in outcomes:
            self.outcomes[outcome.kind] = self.outcomes.get(outcome.kind, 0) + 1


@dataclass(slots=True)
class Rates:
    """How often what goes wrong, per chance."""

    abort: float = 0.05
    crash: float = 0.01
    balance: float = 0.03
    expel: float = 0.01


@dataclass(slots=True)
class SimulatedCluster:
    """One simulated cluster."""

    seed: int
    places: list[TopicPartition]
    workers: int = 2
    rates: Rates = field(default_factory=Rates)
    legs_max: int = 40
    lost_seeks: float = 0.0
    late_offsets: float = 0.0
    events_max: int = 0
    """Of each worker's batches; 0 draws a number for each."""

    skew_seconds: float = 0.2
    hand_over: bool = False
    """Does one worker catch up for all?"""

    events_limit: int = 0
    """After how many records each worker stops taking more; 0: never."""

    rng: random.Random = field(init=False)
    kafka: FakeKafka = field(init=False)
    ledger: EmbeddedLedger = field(init=False)
    alive: dict[str, tuple[Pipeline, DelayedThread]] = field(default_factory=dict)
    ghosts: list[DelayedThread] = field(default_factory=list)
    observer: QuietObserver = field(default_factory=QuietObserver)
    born: int = 0
    time: float = 0.0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.places = [*self.places, *((topic, 0) for topic in PARKED)]
        self.kafka = FakeKafka(
            self.places, lost_seeks=self.lost_seeks, late_offsets=self.late_offsets
        )
        self.ledger = EmbeddedLedger(now_ns=lambda: int(1_800_000_000e9 + self.time * 1e9))

    def start(self) -> None:
        """Start a worker under a new name, as a restarted pod's process would have."""
        self.born += 1
        name = f"w{self.born}"
        thread = DelayedThread()
        source = self.kafka.join(name, self.rng)
        ledger = MortalLedger(self.ledger, self.rng, self.rates.crash / 4)
        announcer = FakeAnnouncer(self.kafka, self.rng, self.rates.abort, self.rates.crash)
        pipeline = Pipeline(
            inputs=InputSettings(
                group=GROUP,
                topics=READ_AS,
                limits=Limits(self.events_max or self.rng.randint(1, 12), self.legs_max, 1 << 20),
                linger_seconds=0.01,
                patience=Patience(self.skew_seconds, LIMIT_SECONDS),
                hand_over=HandOver(self.skew_seconds, HAND_OVER_SECONDS),
                events_limit=self.events_limit,
            ),
            source=source,
            reader=EventReader(Decoder(), TRANSLATOR),
            posting=Poster(cast("Ledger", ledger), TRANSLATOR, parked_max=len(PARKED)),
            writer=PlainWriter(self.wall_ms),
            announcer=announcer,
            observer=self.observer,
            ledger_thread=thread,
            now=lambda: self.time,
            wall_ms=self.wall_ms,
            shared=source if self.hand_over else None,
        )
        self.alive[name] = (pipeline, thread)
        self.kafka.balance(self.rng)

    def wall_ms(self) -> int:
        """Milliseconds since 1970 on everybody's clock."""
        return 1_800_000_000_000 + int(self.time * 1000)

    def kill(self, name: str) -> None:
        """End it as kill -9 does: what it has sent to the ledger may still arrive there."""
        _, thread = self.alive.pop(name)
        if self.rng.random() < 0.5:
            self.ghosts.append(thread)
        self.kafka.leave(name)

    def advance(self) -> None:
        """One worker moves, or something goes wrong."""
        self.time += self.rng.random() * 0.01
        while len(self.alive) < self.workers:
            self.start()
        name = self.rng.choice(sorted(self.alive))
        pipeline, thread = self.alive[name]
        if self.rng.random() < self.rates.balance:
            self.kafka.balance(self.rng)
        if self.rng.random() < self.rates.expel:
            self.kafka.leave(name)
            self.kafka.balance(self.rng)
        self._haunt()
        try:
            if self.rng.random() < 0.5:
                thread.run_one()
            pipeline.step()
        except Crash:
            self.kill(name)

    def _haunt(self) -> None:
        for ghost in self.ghosts:
            try:
                ghost.run_one()
            except Crash:
                continue
        self.ghosts = [ghost for ghost in self.ghosts if ghost.waiting]

    def settle(self, turns_max: int = 20_000) -> None:
        """Calm weather until everything is committed."""
        self.rates = Rates(0, 0, 0, 0)
        for name in list(self.alive):
            self.kill(name)
        for _ in range(turns_max):
            self.advance()
            if self.rng.random() < 0.05:
                self.kafka.balance(self.rng)
            ends = {place: len(self.kafka.logs.get(place, [])) for place in self.places}
            stands = {place: self.kafka.commits.get(place, (0, ""))[0] for place in ends}
            if stands == ends and not self.ghosts:
                return
        raise AssertionError(f"seed {self.seed}: not everything was committed in time")

    def transfers(self) -> list[Transfer]:
        """All of the ledger."""
        return self.ledger.query_transfers(QueryFilter(limit=8189))

    def accounts(self) -> list[Account]:
        """All of the ledger's accounts."""
        return self.ledger.query_accounts(QueryFilter(limit=8189))
