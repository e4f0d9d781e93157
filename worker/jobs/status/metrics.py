"""A group's status in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.core.iso_times import NANOSECONDS
from worker.jobs.status.run import Status
from worker.observe.catalogue import PREFIX, STATUS_CATALOGUE

Sample = tuple[tuple[str, ...], float]


def exposition(found: Status) -> str:
    """Every gauge of the catalogue that there is something to say of."""
    registry = CollectorRegistry()
    registry.register(_Gauges(found))
    return generate_latest(registry).decode()


class _Gauges(Collector):
    def __init__(self, found: Status) -> None:
        self._found = found

    def collect(self) -> Iterator[GaugeMetricFamily]:
        samples = dict(_samples(self._found))
        for declared in STATUS_CATALOGUE:
            family = GaugeMetricFamily(
                PREFIX + declared.name, declared.meaning, labels=declared.labels
            )
            for labels, value in samples.get(declared.name, ()):
                family.add_metric(list(labels), value)
            yield family


def _samples(found: Status) -> Iterator[tuple[str, list[Sample]]]:
    yield "status_members", [((found.group.group,), len(found.group.members))]
    yield "status_lag_records", [((each.topic, each.role), each.lag) for each in found.lags]
    parked = [each for each in found.lags if each.role == "parked"]
    waiting = {each.topic: [0, 0.0] for each in parked}
    for each in found.waiting:
        entry = waiting.setdefault(each.topic, [0, 0.0])
        entry[0] += each.events
        due = each.first_due_ms / 1000
        entry[1] = min(entry[1] or due, due)
    yield "status_parked_events", [((topic,), events) for topic, (events, _) in waiting.items()]
    yield "status_parked_due_timestamp_seconds", _due(waiting.items())
    refused = [((each.kind, each.reason), each.events) for each in found.refused]
    yield "status_refused_events", [(labels, float(events)) for labels, events in refused]
    if found.newest is not None:
        seconds = found.newest.at_ns / NANOSECONDS
        yield "status_newest_posting_timestamp_seconds", [((), seconds)]
    approved = found.lock is not None and found.lock.digest == found.digest
    yield "status_rulebook_approved", [((found.digest,), float(approved))]
    if found.reconciled is not None:
        made_at = found.reconciled.made_at_seconds
        yield "status_reconciled_timestamp_seconds", [((), made_at)]
        yield "status_reconciled_differences", [((), found.reconciled.differences)]


def _due(waiting: Iterable[tuple[str, list[float]]]) -> list[Sample]:
    return [((topic,), due) for topic, (_, due) in waiting if due]
