"""The metrics of `sync`, on a registry of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.observe.metrics import PartitionGauge, counter, declared_metric, gauge, process_registry

COUNTED: Final = {
    "records": "sync_records",
    "unreadable": "sync_unreadable",
    "unnamed": "sync_unnamed",
    "rows_written": "sync_rows_written",
    "set_aside": "sync_rows_set_aside",
    "read_again": "sync_read_again",
}
"""What `sync` counts, and the metric that shows it."""


class SyncMetrics:
    """One process's metrics, on `registry`. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.registry = registry = process_registry()
        self._counters = {name: counter(metric, registry) for name, metric in COUNTED.items()}
        self._waiting = gauge("sync_rows_waiting", registry)
        self._lag = PartitionGauge(declared_metric("sync_lag_records"))
        self._shown: dict[str, int] = {}
        registry.register(self._lag)

    def show(self, counts: Mapping[str, int]) -> None:
        """Add what was counted since the last call."""
        for name, metric in self._counters.items():
            metric.inc(counts[name] - self._shown.get(name, 0))
        self._shown = dict(counts)

    def waiting(self, rows: int) -> None:
        """How many rows are set aside now."""
        self._waiting.set(rows)

    def lag(self, records: Mapping[tuple[str, int], int]) -> None:
        """Show the lag of exactly these (topic, partition)s; others are ours no more."""
        self._lag.members = dict(records)
