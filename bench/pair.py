"""Two workers of one group on one backlog, beside one worker alone."""

from __future__ import annotations

from typing import Any

from bench.contenders import Bench, finished, started

TIMES = 4
"""So many times the events of the contest: what joining the group takes must not be the figure."""


def measure(bench: Bench) -> dict[str, Any]:
    """Two processes share the load: their events/s together, and what one does alone."""
    topic = bench.topic(events=TIMES * bench.events)
    alone = bench.worker(topic=topic)
    name = bench.fresh("pair")
    environment = bench.settings(name, topic=topic, outbox="avro")
    both = [started(["bench.drain"], environment) for _ in range(2)]
    found = [finished(process) for process in both]
    settled = sum(one["events"] for one in found)
    if settled != TIMES * bench.events:
        raise SystemExit(f"two workers settled {settled} of {TIMES * bench.events} events")
    seconds = max(one["events"] / one["events_per_second"] for one in found)
    together = settled / seconds
    cpu = sum(one["cpu_us_per_event"] * one["events"] for one in found) / settled
    print(f"\none worker {alone['events_per_second']:,.0f} events/s, two {together:,.0f}", end="")
    print(f" ({together / alone['events_per_second']:.2f} times), {cpu:.1f} µs of CPU per event;")
    shares = " and ".join(f"{one['events']:,}" for one in found)
    print(f"every event settled once: {shares}")
    return {
        "alone": alone,
        "two": found,
        "unit": "events/s",
        "bars": {"one worker": alone["events_per_second"], "two workers": together},
    }
