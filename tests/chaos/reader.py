"""A reader of the outbox as its users write one: in a group of its own, at least once.

What it read is in a file, a line for each announcement, before its offset may be committed. So a
reader that was killed reads some again, and never passes one over. `Reader` starts the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaException

from tests.integration.cluster import Cluster, Process

POLL_SECONDS = 0.5
END_SECONDS_MAX = 300
LOOK_SECONDS = 0.2
Seen = dict[int, list[str]]
"""Transfer ids by partition, in the order in which they were read first."""


@contextmanager
def reading(cluster: Cluster) -> Iterator[OutboxReader]:
    """A reader of this cluster's outbox, from its start on."""
    with tempfile.TemporaryDirectory() as folder:
        reader = OutboxReader(cluster, Path(folder) / "seen")
        try:
            yield reader
        finally:
            reader.kill()


class OutboxReader:
    """A process that reads while a run is under way."""

    def __init__(self, cluster: Cluster, file: Path) -> None:
        self._file = file
        self._arguments = (
            "tests.chaos.reader",
            *(cluster.bootstrap_servers, cluster.topic("posted")),
            *(f"{cluster.prefix}-reader", str(file)),
        )
        self._process = self._start()

    def _start(self) -> Process:
        self._file.touch()
        return Process(self._arguments, os.environ)

    def restart(self) -> None:
        """Killed, and another takes its place."""
        self._runs()
        self.kill()
        self._process = self._start()

    def finish(self, announced: int) -> Seen:
        """When it has read so many announcements: end it; what it has seen."""
        deadline = time.monotonic() + END_SECONDS_MAX
        while (count := sum(map(len, self._seen().values()))) < announced:
            assert time.monotonic() < deadline, f"the reader saw {count} of {announced}"
            self._runs()
            time.sleep(LOOK_SECONDS)
        self._process.terminate()
        code = self._process.wait(END_SECONDS_MAX)
        assert code == 0, f"the reader ended with {code}: {self._process.said()[-2000:]!r}"
        return self._seen()

    def kill(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._process.wait(END_SECONDS_MAX)

    def _runs(self) -> None:
        assert self._process.poll() is None, f"the reader ended: {self._process.said()[-2000:]!r}"

    def _seen(self) -> Seen:
        """What each line of the file says, the first time."""
        seen: dict[int, dict[str, None]] = {}
        for line in self._file.read_text(encoding="ascii").splitlines():
            partition, transfer = line.split()
            seen.setdefault(int(partition), {})[transfer] = None
        return {partition: list(transfers) for partition, transfers in seen.items()}


def read(bootstrap_servers: str, topic: str, group: str, file: Path) -> None:
    """Until SIGTERM. Outages are librdkafka's to wait for; only a fatal error ends it."""
    consumer = ClientConsumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "auto.commit.interval.ms": 500,
            "session.timeout.ms": 6_000,
        }
    )
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    consumer.subscribe([topic])
    with file.open("ab", buffering=0) as seen:
        while not asked:
            message = consumer.poll(POLL_SECONDS)
            if message is None:
                continue
            if error := message.error():
                print(error, file=sys.stderr)
                if error.fatal():
                    sys.exit(1)
                continue
            transfer = json.loads(message.value() or b"")["transfer_id"]
            seen.write(f"{message.partition()} {transfer}\n".encode())
            try:
                consumer.store_offsets(message)
            except KafkaException as taken:  # the partition was lost meanwhile: it is read again
                print(taken, file=sys.stderr)
    consumer.close()


if __name__ == "__main__":
    _, servers, topic, group, file = sys.argv
    read(servers, topic, group, Path(file))
