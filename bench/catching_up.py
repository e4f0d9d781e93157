"""A backlog on two topics that must be taken in the order of their times, beside one that need not.

The invariant: both have the same events in as many partitions; the backlog of two topics has them
in turn, a few at a time, so that neither can be read for long without the other.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from confluent_kafka import Producer

from bench.contenders import Bench, Figures
from bench.traffic import FLUSH_SECONDS, charges, value_of
from tests.servers.kafka import create_topics

ROUNDS = 3
RUN_MS = 5
"""So long one topic has the older records, then the other."""

START_MS = 1_760_000_000_000


def measure(bench: Bench) -> dict[str, Any]:
    """What time order costs: a backlog on two topics beside the same one on one."""
    names = _fill(bench)
    ran: list[dict[str, Figures]] = []
    for _ in range(ROUNDS):
        one = bench.worker(topic=bench.topic())
        inputs = {"LEDGER_WORKER_TOPICS__INPUTS": json.dumps(names)}
        ran.append({"one topic": one, "two topics": bench.worker(topic="", settings=inputs)})
    print(f"\n{'catching up':<18}{'events/s':>12}{'CPU µs/event':>14}{'peak MiB':>10}")
    medians = {
        name: {
            key: statistics.median(round_[name][key] for round_ in ran)
            for key in ("events_per_second", "cpu_us_per_event", "peak_mib")
        }
        for name in ran[0]
    }
    for name, figures in medians.items():
        speed, cpu, peak = figures.values()
        print(f"{name:<18}{speed:>12,.0f}{cpu:>14.1f}{peak:>10,.0f}")
    ratio = statistics.median(
        round_["two topics"]["events_per_second"] / round_["one topic"]["events_per_second"]
        for round_ in ran
    )
    print(f"events/s, two topics in order / one topic: {ratio:.2f}")
    return {
        "runs": ran,
        "ratio": ratio,
        "unit": "events/s",
        "bars": {name: figures["events_per_second"] for name, figures in medians.items()},
    }


def _fill(bench: Bench) -> dict[str, str]:
    """Two topics with half of the partitions each; the events are in each for RUN_MS in turn."""
    names = {role: f"bench-{bench.name}-turns-{role}" for role in ("payments", "others")}
    create_topics(bench.kafka, dict.fromkeys(names.values(), max(bench.partitions // 2, 1)))
    producer = Producer({"bootstrap.servers": bench.kafka, "linger.ms": 50})
    topics = list(names.values())
    for number, event in enumerate(charges(bench.events, seed=bench.seed, customers=1000)):
        key = event["data"]["object"]["customer"].encode()
        time_ms = START_MS + number
        topic = topics[time_ms // RUN_MS % len(topics)]
        while True:
            try:
                producer.produce(topic, value_of(event, "avro"), key, timestamp=time_ms)
                break
            except BufferError:
                producer.poll(0.5)
    if producer.flush(FLUSH_SECONDS):
        raise SystemExit("the broker did not take the events in time")
    return names
