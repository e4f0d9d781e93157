"""The metrics of `feed`, on a registry of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from worker.observe.metrics import counter, gauge, histogram, process_registry

TYPES_MAX: Final = 500
"""Types that are counted by name; Stripe has about 260."""

TYPE_LENGTH_MAX: Final = 100
OTHER: Final = "other"
SIGNATURE_REASONS: Final = ("missing", "malformed", "wrong", "too_old")
NOT_HEALED_REASONS: Final = ("no_fact", "refused")
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
        self._requests = counter("feed_requests", registry)
        self._polls = counter("feed_polls", registry)
        self._poll_age = gauge("feed_poll_age_seconds", registry)
        self._newest_age = gauge("feed_newest_age_seconds", registry)
        self._healed = counter("feed_healed", registry)
        self._not_healed = counter("feed_not_healed", registry)
        self._types: set[str] = set()
        # What begins with 1 is no increase to Prometheus: the first would not be told to anybody.
        for status in STATUSES:
            self._webhooks.labels(status)
        for reason in SIGNATURE_REASONS:
            self._signatures.labels(reason)
        for reason in NOT_HEALED_REASONS:
            self._not_healed.labels(reason)

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

    def requested(self, name: str, result: str) -> None:
        """Count one request to a list of Stripe's."""
        self._requests.labels(name.partition("/")[0], result).inc()

    def polled(self, result: str) -> None:
        """Count one look: `whole` or `failed`."""
        self._polls.labels(result).inc()

    def ages(self, poll: Callable[[], float], newest: Callable[[], float]) -> None:
        """Where every scrape reads how long ago the last whole look and its newest were."""
        self._poll_age.set_function(poll)
        self._newest_age.set_function(newest)

    def healed(self, kind: str) -> None:
        """Count one payment event that no webhook had brought."""
        self._healed.labels(kind).inc()

    def not_healed(self, reason: str) -> None:
        """Count one that could not be written."""
        self._not_healed.labels(reason).inc()

    def written(self, kind: str) -> None:
        """Count one event that is in Kafka. kind: its type, empty where it has none."""
        if kind not in self._types:
            if not kind or len(kind) > TYPE_LENGTH_MAX or len(self._types) >= TYPES_MAX:
                kind = OTHER
            self._types.add(kind)
        self._events.labels(kind).inc()
