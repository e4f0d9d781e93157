"""How long from produce to readable, at a steady rate that is far from full.

The invariant: the clock of one process gives both times; what is readable is what a
read-committed consumer gets.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Producer

from bench.contenders import ROOT, Bench
from bench.limit import rows_of
from bench.report import LEGS
from bench.straight import RuleByHand
from bench.traffic import charges, value_of
from tests.servers.kafka import create_topics
from worker.core.wire import ROW_BYTES
from worker.ledger.open import open_ledger

POSTINGS_PER_SECOND = 3000
SECONDS = 20
WARM_SECONDS = 5
OVERDRAFT_EVERY = 20
TICK_SECONDS = 0.005
LEDGER_ROWS = 32
"""In a request of the probe: about what a batch of the worker holds at this rate."""
LATE_SECONDS = 60


def measure(bench: Bench) -> dict[str, Any]:
    """Latency at a steady 3,000 postings/s, beside the ledger's own."""
    name = bench.fresh("latency")
    topic = f"{name}.in"
    create_topics(bench.kafka, {topic: bench.partitions})
    environment = bench.settings(name, topic=topic, outbox="json")
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker", "run"],
        env={**os.environ, **environment},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = _Run(bench, name, topic).go()
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=60)
    told = {what: _percentiles(waits) for what, waits in found.items()}
    print(f"\nat {POSTINGS_PER_SECOND:,} postings/s, ms{'p50':>12}{'p99':>8}{'max':>8}{'count':>9}")
    for what, one in told.items():
        numbers = f"{one['p50']:>12.1f}{one['p99']:>8.1f}{one['max']:>8.1f}"
        print(f"{what:<26}{numbers}{one['count']:>9,.0f}")
    bars = {f"{what}, {key}": one[key] for what, one in told.items() for key in ("p50", "p99")}
    return {"percentiles_ms": told, "unit": "ms", "bars": bars}


class _Run:
    """One producer at a steady pace, one reader, and one probe of the ledger, in threads."""

    def __init__(self, bench: Bench, name: str, topic: str) -> None:
        self._bench = bench
        self._name = name
        self._topic = topic
        self._sent: dict[bytes, float] = {}
        self._readable: dict[str, list[float]] = {"outbox": [], "rejected": []}
        self._ledger: list[float] = []
        self._measuring = False
        self._over = threading.Event()

    def go(self) -> dict[str, list[float]]:
        """Seconds from produce to readable, and the ledger's own for a request."""
        threads = [threading.Thread(target=one) for one in (self._read, self._probe)]
        for thread in threads:
            thread.start()
        try:
            self._produce()
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
        if self._sent:
            raise SystemExit(f"{len(self._sent)} events were not announced within {LATE_SECONDS} s")
        return {
            "produce to outbox": self._readable["outbox"],
            "produce to rejected": self._readable["rejected"],
            f"ledger, {LEDGER_ROWS} transfers": self._ledger,
        }

    def _produce(self) -> None:
        """Some seconds' worth to warm everything up; what counts begins when all of it came out."""
        producer = Producer({"bootstrap.servers": self._bench.kafka, "linger.ms": 0})
        rate = POSTINGS_PER_SECOND // LEGS
        events = charges(rate * (SECONDS + WARM_SECONDS), seed=3, customers=1000)
        self._steadily(producer, islice(events, rate * WARM_SECONDS), rate)
        self._measuring = True
        self._steadily(producer, events, rate)

    def _steadily(self, producer: Producer, events: Iterable[dict[str, Any]], rate: int) -> None:
        """Send at this rate, then wait until everything was announced."""
        began = time.monotonic()
        for number, event in enumerate(events):
            while (early := number / rate - (time.monotonic() - began)) > 0:
                producer.poll(0)
                time.sleep(min(early, TICK_SECONDS))
            self._send(producer, event, overdraft=number % OVERDRAFT_EVERY == 0)
        producer.flush(LATE_SECONDS)
        late = time.monotonic() + LATE_SECONDS
        while self._sent and time.monotonic() < late:
            time.sleep(0.1)

    def _send(self, producer: Producer, event: dict[str, Any], *, overdraft: bool) -> None:
        if overdraft:
            event["type"] = "charge.failed"
        value = value_of(event, "avro")
        self._sent[event["id"].encode()] = time.monotonic() if self._measuring else 0.0
        producer.produce(self._topic, value, event["data"]["object"]["customer"].encode())

    def _read(self) -> None:
        consumer = ClientConsumer(
            {
                "bootstrap.servers": self._bench.kafka,
                "group.id": f"{self._name}-reader",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
            }
        )
        consumer.subscribe([f"{self._name}.out", f"{self._name}.rejected"])
        while not self._over.is_set():
            messages = consumer.consume(1, 0.1)
            messages += consumer.consume(1000, 0) if messages else []
            now = time.monotonic()
            for message in messages:
                sent = self._sent.pop(message.key() or b"", 0.0) if not message.error() else 0.0
                if sent:
                    kind = str(message.topic()).rsplit(".", 1)[1]
                    self._readable["outbox" if kind == "out" else kind].append(now - sent)
        consumer.close()

    def _probe(self) -> None:
        """A second client beside the worker's, asking for about as much."""
        ledger = open_ledger(addresses=self._bench.ledger, cluster_id=0, deadline_seconds=60)
        books = RuleByHand(f"{self._name}_probe")
        rows = b"".join(rows_of(books, ledger, events=20_000, customers=100))
        size = LEDGER_ROWS * ROW_BYTES
        for start in range(0, len(rows) - size, size):
            if self._over.is_set():
                break
            asked = time.monotonic()
            ledger.create_transfers(rows[start : start + size])
            if self._measuring:
                self._ledger.append(time.monotonic() - asked)
            time.sleep(0.02)
        ledger.close()


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        raise SystemExit("nothing was measured: the worker did not start in time")
    ordered = sorted(one * 1000 for one in seconds)
    at = {"p50": 0.5, "p99": 0.99}
    found = {name: ordered[int(len(ordered) * part)] for name, part in at.items()}
    return {**found, "max": ordered[-1], "count": float(len(ordered))}
