"""A histogram of ages that takes a whole batch at once, cheaper than prometheus_client's own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from threading import Lock

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from worker.observe.catalogue import PREFIX, MetricSpec


class BatchHistogram(Collector):
    """Counts the seconds that passed since given times; upper bounds are inclusive."""

    def __init__(self, declared: MetricSpec) -> None:
        self._declared = declared
        self._bounds_ms = [round(bound * 1000) for bound in declared.buckets]
        self._labels = [*map(floatToGoString, declared.buckets), "+Inf"]
        self._counts = [0] * len(self._labels)
        self._sum_ms = 0
        self._lock = Lock()

    def since(self, times_ms: Sequence[int], *, now_ms: int) -> None:
        """Count the time from each of `times_ms` to `now_ms`; one in the future counts as 0."""
        ordered = sorted(times_ms)  # a batch is nearly in order, which makes this quick
        # Past a bound is whoever came before now − bound: they belong to later buckets.
        past = [bisect_left(ordered, now_ms - bound) for bound in self._bounds_ms]
        counts = [more - fewer for more, fewer in pairwise([len(ordered), *past, 0])]
        aged = bisect_left(ordered, now_ms)
        sum_ms = now_ms * aged - sum(ordered[:aged])
        with self._lock:
            self._counts = [old + new for old, new in zip(self._counts, counts, strict=True)]
            self._sum_ms += sum_ms

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The metric, for the registry."""
        with self._lock:
            cumulative = list(accumulate(self._counts))
            seconds = self._sum_ms / 1000
        family = HistogramMetricFamily(PREFIX + self._declared.name, self._declared.meaning)
        buckets = list(zip(self._labels, cumulative, strict=True))
        family.add_metric([], buckets=buckets, sum_value=seconds)
        yield family
