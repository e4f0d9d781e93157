"""The pipeline's observer: one report per batch to metrics, logs and health, without payloads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from worker.codecs.parked import waiting_since_ms
from worker.core.chain import Chain
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.ports import GroupMember, Ledger, Record, StageName, TopicPartition
from worker.observe.balance_gauges import BalanceGauges
from worker.observe.health import Health
from worker.observe.metrics import Metrics
from worker.observe.repeated_aborts import RepeatedAborts
from worker.observe.report import STAGES, BatchReport
from worker.stages.item import Item

LAG_SECONDS: Final = 1.0
"""How often membership and lag are looked at."""

_log = structlog.get_logger(__name__)


class BatchObserver:
    """Feeds metrics, logs and health from the pipeline's reports.

    deadline_seconds: after so long without an answer the ledger counts as unavailable.
    requests: takes the ledger's requests since the last call, by operation.
    sessions_lost: how often the group revoked our partitions for lack of heartbeats.
    """

    def __init__(  # noqa: PLR0913 - one argument per output
        self,
        *,
        metrics: Metrics,
        health: Health,
        ledger: Ledger,
        source: GroupMember,
        balances: BalanceGauges,
        sessions_lost: Callable[[], int],
        requests: Callable[[], dict[str, int]],
        deadline_seconds: float,
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._ledger = ledger
        self._source = source
        self._balances = balances
        self._sessions_lost = sessions_lost
        self._sessions_lost_before = 0
        self._requests = requests
        self._deadline_seconds = deadline_seconds
        self._stages: dict[StageName, float] = {}
        self._aborts = RepeatedAborts()
        self._assigned: Sequence[TopicPartition] = ()
        self._parked_since_ms: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._beat_at = self._lag_at = time.monotonic()
        self.outcomes: Counter[str] = Counter()
        """Committed outcomes since the start, by kind."""
        self.outcomes_by_topic: Counter[tuple[str, str]] = Counter()
        """The same by topic and kind."""
        self.lag_records: int | None = None
        """Records that lie behind what was committed here, when that was last looked at."""

    def beat(self) -> None:
        """Health is set in every round; membership and lag are checked now and then."""
        now = time.monotonic()
        self._health.beat()
        looks = now - self._lag_at > LAG_SECONDS
        if looks or not self._health.assigned:
            self._health.assigned = self._source.joined  # a question to the client's own thread
        late = self._ledger.waiting_seconds - self._deadline_seconds
        if late > 0:
            self._metrics.ledger_unavailable(min(late, now - self._beat_at))
        self._beat_at = now
        self._balances.refresh(now)
        if looks:
            self._lag_at = now
            self._show_lag()
            self._show_parked()

    def _show_lag(self) -> None:
        found = {
            partition: self._source.lag(partition, self._committed[partition])
            for partition in self._assigned
            if partition in self._committed
        }
        known = {partition: lag for partition, lag in found.items() if lag is not None}
        self.lag_records = sum(known.values()) if known else None
        self._metrics.lag(known)

    def _show_parked(self) -> None:
        ages = {partition[0]: 0.0 for partition in self._parked_since_ms}
        for (topic, _), since_ms in self._parked_since_ms.items():
            if since_ms:
                ages[topic] = max(ages[topic], time.time() - since_ms / 1000)
        self._metrics.parked(ages)

    def parked(self, partition: TopicPartition, record: Record | None) -> None:
        """Remember since when the next parked record has been waiting."""
        self._parked_since_ms[partition] = waiting_since_ms(record) if record is not None else 0

    def rebalanced(
        self,
        *,
        lost: Sequence[TopicPartition],
        gained: Sequence[TopicPartition],
        assigned: Sequence[TopicPartition],
    ) -> None:
        """Count and log what the group moved."""
        self._assigned = assigned
        for partition in (*lost, *gained):
            self._committed.pop(partition, None)
            if partition in self._parked_since_ms:
                self._parked_since_ms[partition] = 0
        sessions_lost = self._sessions_lost()
        if lost:
            expired = sessions_lost > self._sessions_lost_before
            self._metrics.rebalance("lost" if expired else "revoked")
        self._sessions_lost_before = sessions_lost
        if gained:
            self._metrics.rebalance("assigned")
        _log.info("rebalanced", lost=_names(lost), gained=_names(gained), held=len(assigned))

    def opened(self, partitions: Sequence[TopicPartition]) -> None:
        """Log which partitions are read now."""
        _log.info("partitions_opened", partitions=_names(partitions))

    def passed(self, partition: TopicPartition) -> None:
        """This partition lags and brings nothing: the others go on without it."""
        topic, number = partition
        self._metrics.passed(topic)
        _log.error("partition_passed", topic=topic, partition=number)

    def aborted(self, reason: str) -> None:
        """Count and log an abort; one that comes again and again makes the worker not ready."""
        self._stages.clear()
        self._aborts.aborted(reason)
        self._metrics.abort(in_a_row=self._aborts.count)
        self._health.stuck = self._aborts.stuck
        _log.warning("transaction_aborted", reason=reason)
        if self._health.stuck:
            _log.error("transactions_stuck", reason=reason, aborts=self._aborts.count)

    def stage(self, name: StageName, seconds: float) -> None:
        """Add to the stage's time of the batch to come."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds

    def committed(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Count one batch, and log what a person should look at."""
        if self._aborts.count:
            self._aborts.committed()
            self._metrics.aborts_ended()
            self._health.stuck = ""
        for assignment, offset in {item.assignment: item.offset for item in items}.items():
            self._committed[assignment.topic, assignment.partition] = offset + 1
        report = _report(items, outcomes, self._stages, self._requests())
        self._stages = {}
        self._metrics.batch(report)
        consumed: Counter[str] = Counter()
        for (topic, kind), count in report.outcomes.items():
            consumed[topic] += count
            self.outcomes[kind] += count
            self.outcomes_by_topic[topic, kind] += count
        self._metrics.consumed(consumed)
        if report.reasons or any(outcome.alert for outcome in outcomes):
            self._log_trouble(items, outcomes)

    def _log_trouble(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """One line for each kind of trouble in the batch, with the position of the first."""
        seen: dict[_Trouble, tuple[Item, int]] = {}
        for item, outcome in zip(items, outcomes, strict=True):
            trouble = _trouble(outcome)
            if trouble is not None:
                first, count = seen.get(trouble, (item, 0))
                seen[trouble] = (first, count + 1)
        for trouble, (item, count) in seen.items():
            if trouble.event == _ALERT:
                self._metrics.alert(count)
            log = _log.warning if trouble.event == _DEAD_LETTER else _log.error
            log(
                trouble.event,
                reason=trouble.reason,
                why=trouble.why,
                records=count,
                topic=item.assignment.topic,
                partition=item.assignment.partition,
                offset=item.offset,
            )


_ALERT: Final = "look_at_posting"
_DEAD_LETTER: Final = "dead_letter"


class _Trouble(NamedTuple):
    """What a person should look at: the name of the log line, and why."""

    event: str
    reason: str
    why: str


def _trouble(outcome: Outcome) -> _Trouble | None:
    if outcome.alert:
        return _Trouble(_ALERT, outcome.kind.value, outcome.alert)
    if outcome.dead is None or outcome.kind is OutcomeKind.PARKED:
        return None
    event = "conflict" if outcome.kind is OutcomeKind.CONFLICT else _DEAD_LETTER
    return _Trouble(event, outcome.dead.reason.value, outcome.dead.detail)


def _report(
    items: Sequence[Item],
    outcomes: Sequence[Outcome],
    stages: dict[StageName, float],
    requests: dict[str, int],
) -> BatchReport:
    """Counted up in a flat loop: it runs for every event."""
    kinds, reasons, transfers = _Tally(), _Tally(), _Tally()
    stamps, legs = [], 0
    for item, outcome in zip(items, outcomes, strict=True):
        kind, _, transaction, posted, rejection, dead, _ = outcome
        kinds.add(item.assignment.topic, kind)
        if type(item.translated) is Chain:
            legs += len(item.translated.legs)
        if posted:
            for leg in posted:
                transfers.add(leg.currency.name, transaction)
        elif rejection is not None:
            reasons.add(kind, rejection.reason)
        elif dead is not None:
            reasons.add(kind, dead.reason.value)
        known, milliseconds = item.record.timestamp()
        if known:
            stamps.append(milliseconds)
    return BatchReport(
        events=len(items),
        legs=legs,
        outcomes=kinds.counts(),
        reasons=reasons.counts(),
        transfers=transfers.counts(),
        stage_seconds={stage: stages[stage] for stage in STAGES if stage in stages},
        timestamps_ms=stamps,
        committed_ms=time.time_ns() // 1_000_000,
        ledger_requests=requests,
    )


class _Tally:
    """Counts pairs of texts that mostly come in runs: only where one ends is anything looked up."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._first = self._second = ""
        self._run = 0

    def add(self, first: str, second: str) -> None:
        """Count the pair once more."""
        if first is not self._first or second is not self._second:
            self._end_run()
            self._first, self._second = first, second
        self._run += 1

    def counts(self) -> dict[tuple[str, str], int]:
        """How often each pair came."""
        self._end_run()
        return self._counts

    def _end_run(self) -> None:
        if self._run:
            pair = (str(self._first), str(self._second))  # an enum's member as its text
            self._counts[pair] = self._counts.get(pair, 0) + self._run
            self._run = 0


def _names(partitions: Sequence[TopicPartition]) -> list[str]:
    return [f"{topic}/{number}" for topic, number in partitions]
