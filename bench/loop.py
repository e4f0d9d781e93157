"""What the plain contenders share: a consumer, a transactional producer, and the clock.

The invariant: the settings are the worker's own, but for the client's `linger.ms` (5): without it
a loop that encodes as it produces sends small requests, and takes a quarter more CPU. All are
measured alike: from the first record to the last commit, CPU and memory of the whole process.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Message, Producer
from confluent_kafka import TopicPartition as ClientPartition

from worker.core.ids import position_base

PARTITIONS_MAX = 1000
IDLE_SECONDS_MAX = 60.0

Headers = list[tuple[str, str | bytes | None]]


@dataclass(slots=True)
class Stopwatch:
    """Seconds and CPU seconds since the first record, as of the last commit."""

    began: float = 0.0
    began_cpu: float = 0.0
    seconds: float = 0.0
    cpu: float = 0.0

    def start(self) -> None:
        """The first record is here; later calls change nothing."""
        if not self.began:
            self.began, self.began_cpu = time.monotonic(), time.process_time()

    def lap(self) -> None:
        """So far."""
        if not self.began:
            return
        self.seconds = time.monotonic() - self.began
        self.cpu = time.process_time() - self.began_cpu

    def report(self, events: int, **more: object) -> None:
        """One line of JSON for the benchmark that started this process."""
        figures = {"seconds": self.seconds, "cpu": self.cpu, "peak_mib": peak_mib()}
        print(json.dumps({"events": events, **figures, **more}))


def peak_mib() -> float:
    """The most memory that this program had; getrusage would count what its parent had, too."""
    status = Path("/proc/self/status")
    if status.exists():
        said = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(said["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(slots=True)
class Loop:
    """Reads a topic to its end in batches, and commits each with what is produced.

    Usage of every contender: SERVERS LEDGER TOPIC OUTBOX GROUP EVENTS
    """

    servers: str
    ledger: str
    topic: str
    outbox: str
    group: str
    expected: int
    consumer: ClientConsumer = field(init=False)
    producer: Producer = field(init=False)
    clock: Stopwatch = field(default_factory=Stopwatch)
    bases: list[int] = field(default_factory=list)
    done: int = 0

    @staticmethod
    def from_arguments(given: list[str]) -> Loop:
        """A loop that has joined its group."""
        servers, ledger, topic, outbox, group, events = given
        loop = Loop(servers, ledger, topic, outbox, group, int(events))
        loop.connect()
        return loop

    def connect(self) -> None:
        self.consumer = ClientConsumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": self.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "queued.min.messages": 20_000,
                "queued.max.messages.kbytes": 32_768,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 20,
            }
        )
        self.producer = Producer(
            {
                "bootstrap.servers": self.servers,
                "transactional.id": self.group,
                "compression.type": "lz4",
                "delivery.report.only.error": True,
                "retry.backoff.ms": 5,
                "queue.buffering.max.messages": 200_000,
            }
        )
        self.producer.init_transactions(60)
        self.bases = [
            position_base(group=self.group, topic=self.topic, partition=number)
            for number in range(PARTITIONS_MAX)
        ]
        self.consumer.subscribe([self.topic])

    def batches(self, size: int) -> Iterator[list[Message]]:
        """Batches of at most this size, until all events were seen."""
        heard = time.monotonic()
        while self.done < self.expected:
            messages = [one for one in self.consumer.consume(size, 0.2) if one.error() is None]
            if messages:
                self.clock.start()
                heard = time.monotonic()
                yield messages
                self.done += len(messages)
            elif time.monotonic() - heard > IDLE_SECONDS_MAX:
                raise SystemExit(f"only {self.done} of {self.expected} events came")

    def position(self, message: Message) -> int:
        """`user_data_64` of the record."""
        return self.bases[message.partition() or 0] | (message.offset() or 0)

    def begin(self) -> None:
        self.producer.begin_transaction()

    def produce(self, value: bytes, key: bytes, headers: Headers) -> None:
        """One record of the outbox."""
        while True:
            try:
                self.producer.produce(self.outbox, value, key, headers=headers)
                break
            except BufferError:
                self.producer.poll(0.1)

    def commit(self, messages: list[Message]) -> None:
        """The transaction of this batch."""
        ends = {message.partition() or 0: (message.offset() or 0) + 1 for message in messages}
        self.producer.send_offsets_to_transaction(
            [ClientPartition(self.topic, number, at) for number, at in ends.items()],
            self.consumer.consumer_group_metadata(),
        )
        self.producer.commit_transaction()
        self.clock.lap()

    def report(self) -> None:
        self.clock.report(self.done)
        self.consumer.close()
