"""Hostile records through whole workers on real servers, round after round, and what must hold.

After each round: the worker has ended with 0, every offset has exactly one outcome, a record of
unreadable headers is dead, and memory is below the bound. Each letter is of another record.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.fuzz.records import HostileRecord, hostile_records
from tests.integration.cluster import INPUTS, Cluster, audit, ends, finish
from tests.servers.raw_producer import RawProducer

MEMORY_MIB_MAX = 640
"""What docs/performance.md states as the bound of a worker's memory."""

ANY_TIME_MS = 10**14
ORIGIN = ("topic", "partition", "offset")
GROUP = "fuzz"
SECONDS_MAX = 120
LOOK_SECONDS = 0.02


@dataclass(slots=True)
class FuzzResult:
    """What came of a campaign.

    records: written and read. seconds: of the workers. memory_mib: the most that one took.
    """

    records: int = 0
    seconds: float = 0.0
    memory_mib: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        """One line."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.outcomes.items()))
        return (
            f"{self.records:,} records: {kinds}; {self.seconds:.0f} s,"
            f" {self.memory_mib:.0f} MiB at most"
        )


@dataclass(slots=True)
class Campaign:
    """Rounds on one set of topics. seen: the records that a dead letter is about."""

    cluster: Cluster
    result: FuzzResult = field(default_factory=FuzzResult)
    letters_read: dict[int, int] = field(default_factory=dict)

    def round(self, seed: int, count: int) -> None:
        """Write so many records, and let a worker drain them."""
        before = self._ends()
        unreadable = self._write(hostile_records(seed, count))
        written = sum(self._ends().values()) - sum(before.values())
        assert written == count, f"{count} records were written, and {written} are there"
        began = time.monotonic()
        outcomes, memory_mib = drained(self.cluster)
        self.result.memory_mib = max(self.result.memory_mib, memory_mib)
        self.result.seconds += time.monotonic() - began
        self._check(seed, outcomes, count, unreadable)

    def _check(self, seed: int, outcomes: Counter[str], count: int, unreadable: int) -> None:
        total = outcomes.total()
        assert total == count, f"seed {seed}: {count} records came to {total} outcomes"
        assert outcomes["dead"] >= unreadable, f"seed {seed}: unreadable headers were taken"
        self.result.records += count
        self.result.outcomes += outcomes
        used = self.result.memory_mib
        assert used < MEMORY_MIB_MAX, f"seed {seed}: a worker took {used:.0f} MiB"

    def _write(self, records: Iterable[HostileRecord]) -> int:
        """How many of them have headers that cannot be read."""
        producer, unreadable = RawProducer(self.cluster.bootstrap_servers), 0
        for record in records:
            unreadable += record.unreadable
            producer.produce(
                self.cluster.topic(INPUTS[record.role]),
                record.value,
                key=record.key,
                timestamp_ms=record.timestamp_ms,
                headers=record.headers,
            )
        producer.flush()
        producer.close()
        return unreadable

    def _ends(self) -> dict[tuple[str, int], int]:
        found = {}
        for name in INPUTS.values():
            topic = self.cluster.topic(name)
            for partition, end in ends(self.cluster.bootstrap_servers, topic).items():
                found[topic, partition] = end
        return found

    def audit(self, ledger: str) -> None:
        """At the end: announcements and ledger agree, and each letter is of another record."""
        audit(self.cluster, ledger)
        letters: Counter[tuple[bytes, ...]] = Counter()
        for letter in self.cluster.read("dead"):
            headers: dict[str, Any] = dict(letter.headers() or ())
            letters[tuple(headers[f"__connect.errors.{part}"] for part in ORIGIN)] += 1
            self.result.reasons[headers["ledger_worker.reason"].decode()] += 1
        dead = self.result.outcomes["dead"] + self.result.outcomes["conflict"]
        assert len(letters) == dead, f"{dead} dead letters are about {len(letters)} records"
        assert letters.total() == dead, "a record has two dead letters"


def drained(cluster: Cluster) -> tuple[Counter[str], float]:
    """One worker's outcomes, and the most MiB that it took."""
    process = cluster.start(GROUP, "run", "--drain", "--json")
    memory_mib = 0.0
    while process.poll() is None:
        memory_mib = max(memory_mib, _peak_mib(process.pid))
        time.sleep(LOOK_SECONDS)
    return Counter(json.loads(finish(process))["outcomes"]), memory_mib


def _peak_mib(pid: int) -> float:
    """The most that a process took until now (proc(5), VmHWM); 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def campaign(bootstrap_servers: str, ledger: str) -> Campaign:
    """On topics of its own, whose inputs take any time."""
    cluster = Cluster(bootstrap_servers, ledger)
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    set_to = AlterConfigOpType.SET
    changes = [
        ConfigEntry(
            f"message.timestamp.{side}.max.ms", str(ANY_TIME_MS), incremental_operation=set_to
        )
        for side in ("before", "after")
    ]
    topics = [
        ConfigResource(ResourceType.TOPIC, cluster.topic(name), incremental_configs=changes)
        for name in INPUTS.values()
    ]
    for answer in admin.incremental_alter_configs(topics).values():
        answer.result(SECONDS_MAX)
    started = Campaign(cluster)
    started.result.outcomes += _any_time_is_taken(cluster)
    return started


def _any_time_is_taken(cluster: Cluster) -> Counter[str]:
    """Brokers take up a topic's settings a little later; the outcomes of what shows it."""
    deadline = time.monotonic() + SECONDS_MAX
    for name in INPUTS.values():
        topic = cluster.topic(name)
        for partition in range(cluster.partitions):
            producer = RawProducer(cluster.bootstrap_servers)
            while not ends(cluster.bootstrap_servers, topic)[partition]:
                assert time.monotonic() < deadline, f"{topic} takes no time in the future"
                producer.produce(topic, b"", partition=partition, timestamp_ms=4_000_000_000_000)
                producer.flush()
            producer.close()
    return cluster.drain(GROUP)
