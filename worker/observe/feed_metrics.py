"""The metrics of `feed`, on a registry of its own."""

from __future__ import annotations

from typing import Final

from worker.observe.metrics import counter, histogram, process_registry

TYPES_MAX: Final = 500
"""Types that are counted by name; Stripe has about 260."""

OTHER: Final = "other"
SIGNATURE_REASONS: Final = ("missing", "malformed", "wrong", "too_old")
STATUSES: Final = ("200", "400", "503")


class FeedMetrics:
    """One process's metrics, on `registry`. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.registry = registry = process_registry()
        self._webhooks = counter("feed_webhooks", registry)
        self._seconds = histogram("feed_webhook_seconds", registry)
        self._signatures = counter("feed_signature_failures", registry)
        self._events = counter("feed_events", registry)
        self._left_out = counter("feed_left_out", registry)
        self._types: set[str] = set()
        # What begins with 1 is no increase to Prometheus: the first would not be told to anybody.
        for status in STATUSES:
            self._webhooks.labels(status)
        for reason in SIGNATURE_REASONS:
            self._signatures.labels(reason)

    def answered(self, status: int, seconds: float) -> None:
        """Count one delivery."""
        self._webhooks.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def signature_failed(self, reason: str) -> None:
        """Count one delivery that is not Stripe's."""
        self._signatures.labels(reason).inc()

    def left_out(self) -> None:
        """Count one event that the rulebook ignores."""
        self._left_out.inc()

    def written(self, kind: str) -> None:
        """Count one event that is in Kafka. kind: its type, empty where it has none."""
        if kind not in self._types:
            if not kind or len(self._types) >= TYPES_MAX:
                kind = OTHER
            self._types.add(kind)
        self._events.labels(kind).inc()
