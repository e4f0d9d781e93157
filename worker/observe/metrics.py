"""Metrics: the reports, counted for a scraper on a registry of the worker's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.observe.catalogue import (
    CATALOGUE,
    FEED_CATALOGUE,
    PREFIX,
    SERVE_CATALOGUE,
    SYNC_CATALOGUE,
    MetricSpec,
)
from worker.observe.histogram import BatchHistogram
from worker.observe.report import STAGES, BatchReport

_DECLARED = {
    declared.name: declared
    for declared in (*CATALOGUE, *SERVE_CATALOGUE, *FEED_CATALOGUE, *SYNC_CATALOGUE)
}


class Metrics:
    """One process's metrics, on `registry`. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.registry = registry = process_registry()
        self._consumed = counter("records_consumed", registry)
        self._outcomes = counter("outcomes", registry)
        self._reasons = counter("outcome_reasons", registry)
        self._alerts = counter("alerts", registry)
        self._transfers = counter("transfers_posted", registry)
        self._events = histogram("batch_events", registry)
        self._legs = histogram("batch_legs", registry)
        stages = histogram("stage_seconds", registry)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._end_to_end = BatchHistogram(_DECLARED["end_to_end_seconds"])
        self._lag = PartitionGauge(_DECLARED["lag_records"])
        self._order_waiting = gauge("order_waiting_seconds", registry)
        self._passed = counter("partitions_passed", registry)
        self._parked = gauge("parked_age_seconds", registry)
        self._requests = counter("ledger_requests", registry)
        self._retries = counter("ledger_retries", registry)
        self._unavailable = counter("ledger_unavailable_seconds", registry)
        self._waiting = gauge("ledger_waiting_seconds", registry)
        self._aborts = counter("transaction_aborts", registry)
        self._repeated = gauge("transaction_aborts_repeated", registry)
        self._rebalances = counter("rebalances", registry)
        self._balance = gauge("account_balance", registry)
        self._build = gauge("build_info", registry)
        registry.register(self._end_to_end)
        registry.register(self._lag)

    def expect(
        self, outcomes: Iterable[tuple[str, str]], reasons: Iterable[tuple[str, str]]
    ) -> None:
        """Show these (topic, outcome)s and (outcome, reason)s as 0 before the first of them.

        A counter that begins with 1 is no increase to Prometheus: nobody would hear of the first
        conflict.
        """
        for topic, outcome in outcomes:
            self._outcomes.labels(topic, outcome)
            self._passed.labels(topic)
        for labels in reasons:
            self._reasons.labels(*labels)

    def consumed(self, records: Mapping[str, int]) -> None:
        """Count records read, by topic."""
        for topic, count in records.items():
            self._consumed.labels(topic).inc(count)

    def batch(self, report: BatchReport) -> None:
        """Count one committed batch."""
        self._events.observe(report.events)
        self._legs.observe(report.legs)
        for labels, count in report.outcomes.items():
            self._outcomes.labels(*labels).inc(count)
        for labels, count in report.reasons.items():
            self._reasons.labels(*labels).inc(count)
        for labels, count in report.transfers.items():
            self._transfers.labels(*labels).inc(count)
        for stage, seconds in report.stage_seconds.items():
            self._stages[stage].observe(seconds)
        for operation, count in report.ledger_requests.items():
            self._requests.labels(operation).inc(count)
        self._retries.inc(report.ledger_retries)
        self._end_to_end.since(report.timestamps_ms, now_ms=report.committed_ms)

    def alert(self, count: int) -> None:
        """Count postings that a person should look at."""
        self._alerts.inc(count)

    def parked(self, ages_seconds: Mapping[str, float]) -> None:
        """Show, by parked topic, how long its next event has been waiting since it first came."""
        for topic, seconds in ages_seconds.items():
            self._parked.labels(topic).set(seconds)

    def order_waiting(self, seconds: Callable[[], float]) -> None:
        """Where every scrape reads how long records have been waiting for an older partition."""
        self._order_waiting.set_function(seconds)

    def passed(self, topic: str) -> None:
        """Count a partition that the others went on without."""
        self._passed.labels(topic).inc()

    def abort(self, *, in_a_row: int) -> None:
        """Count one aborted transaction. in_a_row: how many were, for the same reason."""
        self._aborts.inc()
        self._repeated.set(in_a_row)

    def aborts_ended(self) -> None:
        """A transaction was committed again."""
        self._repeated.set(0)

    def rebalance(self, kind: str) -> None:
        """Count one change of the assignment: `assigned`, `revoked` or `lost`."""
        self._rebalances.labels(kind).inc()

    def lag(self, records: Mapping[tuple[str, int], int]) -> None:
        """Show the lag of exactly these (topic, partition)s; others are ours no more."""
        self._lag.members = dict(records)

    def ledger_unavailable(self, seconds: float) -> None:
        """Add time that a request to the ledger has waited beyond the deadline."""
        self._unavailable.inc(seconds)

    def ledger_waiting(self, seconds: Callable[[], float]) -> None:
        """Where every scrape reads how long the request under way has been waiting."""
        self._waiting.set_function(seconds)

    def balance(self, account: str, currency: str, major_units: float) -> None:
        """Show what one account holds."""
        self._balance.labels(account, currency).set(major_units)

    def build(self, *, version: str, rulebook: str) -> None:
        """Show the version and the rulebook's digest."""
        self._build.labels(version, rulebook).set(1)


class ServeMetrics:
    """The metrics of `serve`, on `registry`. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.registry = registry = process_registry()
        self._requests = counter("serve_requests", registry)
        self._seconds = histogram("serve_request_seconds", registry)
        self._accounts = histogram("serve_lookup_accounts", registry)
        self._waiting = gauge("ledger_waiting_seconds", registry)
        self._build = gauge("build_info", registry)

    def request(self, *, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def lookup(self, accounts: int) -> None:
        """Count one request to the ledger."""
        self._accounts.observe(accounts)

    def ledger_waiting(self, seconds: Callable[[], float]) -> None:
        """Where every scrape reads how long the request under way has been waiting."""
        self._waiting.set_function(seconds)

    def build(self, *, version: str, rulebook: str) -> None:
        """Show the version and the rulebook's digest."""
        self._build.labels(version, rulebook).set(1)


def process_registry() -> CollectorRegistry:
    """A registry of its own, with what the operating system says of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def declared_metric(name: str) -> MetricSpec:
    """What the catalogue says of a metric."""
    return _DECLARED[name]


def counter(name: str, registry: CollectorRegistry) -> Counter:
    """The counter that the catalogue declares."""
    declared = _DECLARED[name]
    return Counter(PREFIX + name, declared.meaning, declared.labels, registry=registry)


def gauge(name: str, registry: CollectorRegistry) -> Gauge:
    """The gauge that the catalogue declares."""
    declared = _DECLARED[name]
    return Gauge(PREFIX + name, declared.meaning, declared.labels, registry=registry)


def histogram(name: str, registry: CollectorRegistry) -> Histogram:
    """The histogram that the catalogue declares."""
    declared = _DECLARED[name]
    return Histogram(
        PREFIX + name,
        declared.meaning,
        declared.labels,
        buckets=declared.buckets,
        registry=registry,
    )


class PartitionGauge(Collector):
    """A gauge by topic and partition whose members are replaced all at once.

    prometheus_client's own would show the last lag of a partition that moved to another worker.
    """

    def __init__(self, declared: MetricSpec) -> None:
        self._declared = declared
        self.members: Mapping[tuple[str, int], int] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For a scrape: the members as they are now."""
        declared = self._declared
        family = GaugeMetricFamily(PREFIX + declared.name, declared.meaning, labels=declared.labels)
        for (topic, partition), records in self.members.items():
            family.add_metric([topic, str(partition)], records)
        yield family
