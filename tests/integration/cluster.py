"""Worker processes on real servers, and an auditor that does not share their code.

The auditor reads the topics with a plain read-committed consumer, and the ledger through the
official client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as ClientPartition

from tests.servers.kafka import create_topics
from tests.servers.served import PREFIX, ServedLedger
from worker.codecs.avro import PACKAGED_IDS
from worker.core.wire import QueryFilter

ROOT = Path(__file__).parents[2]
RUN_SECONDS_MAX = 900
READ_SECONDS_MAX = 300
LOOK_SECONDS = 0.1
OUTBOX_PARTITIONS = 3
PARKED_FOR_LONG = "[3600, 3600]"


class Process(subprocess.Popen[bytes]):
    """One process of the worker's. Its stderr is a file, because a full pipe would stop it."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        super().__init__(
            [sys.executable, "-m", *arguments],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def said(self) -> bytes:
        """What it said on stderr until now."""
        descriptor = self._said.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def communicate(
        self, given: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Wait for its end; what it printed, and what it said."""
        out, _ = super().communicate(given, timeout)
        return out, self.said()


INPUTS = {"payments": "pay", "settlements": "settle", "commands": "cmd", "treasury": "treasury"}
"""Role to the short name of its topic."""


@dataclass(slots=True)
class Cluster:
    """Topics of its own on a shared broker, a ledger, and the settings that name them."""

    bootstrap_servers: str
    ledger_addresses: str
    partitions: int = 4
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")
    extra: dict[str, str] = field(default_factory=dict)
    module: str = "worker"

    def __post_init__(self) -> None:
        inputs = {self.topic(name): self.partitions for name in INPUTS.values()}
        outputs = {
            self.topic("posted"): OUTBOX_PARTITIONS,
            self.topic("rejected"): 1,
            self.topic("dead"): 1,
            self.topic("parked.1"): 1,
            self.topic("parked.2"): 1,
        }
        create_topics(self.bootstrap_servers, {**inputs, **outputs})

    def topic(self, name: str) -> str:
        """The full name of one of the cluster's topics."""
        return f"{self.prefix}.{name}"

    def environment(self, group: str) -> dict[str, str]:
        """The variables of a process of this group."""
        return {
            **os.environ,
            "LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "LEDGER_WORKER_KAFKA__GROUP_ID": f"{self.prefix}-{group}",
            "LEDGER_WORKER_LEDGER__ADDRESSES": self.ledger_addresses,
            "LEDGER_WORKER_TOPICS__INPUTS": json.dumps(
                {role: self.topic(name) for role, name in INPUTS.items()}
            ),
            "LEDGER_WORKER_TOPICS__OUTBOX": self.topic("posted"),
            "LEDGER_WORKER_TOPICS__REJECTED": self.topic("rejected"),
            "LEDGER_WORKER_TOPICS__DEAD": self.topic("dead"),
            "LEDGER_WORKER_TOPICS__PARKED": self.topic("parked"),
            "LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS": PARKED_FOR_LONG,
            "LEDGER_WORKER_HTTP__HOST": "127.0.0.1",
            "LEDGER_WORKER_LEDGER__DEADLINE_SECONDS": "120",
            "LEDGER_WORKER_KAFKA__CLIENT": '{"transaction.timeout.ms": 60000}',
            "LEDGER_WORKER_HTTP__PORT": "0",
            "LEDGER_WORKER_SCHEMA_REGISTRY__IDS": json.dumps(dict(PACKAGED_IDS)),
            **self.extra,
        }

    def settle_in(self, monkeypatch: pytest.MonkeyPatch, group: str) -> None:
        """Commands that run in this process are of this group from now on."""
        for name, value in self.environment(group).items():
            monkeypatch.setenv(name, value)

    def start(self, group: str, *arguments: str, **more: str) -> Process:
        """One process of `ledger-worker`; its result is JSON on standard output."""
        return Process([self.module, *arguments], self.environment(group) | more)

    def command(self, group: str, *arguments: str) -> str:
        """Run a command to its end and give what it printed."""
        return finish(self.start(group, *arguments))

    def drain(self, group: str, *, processes: int = 1, format_: str = "json") -> Counter[str]:
        """Drain with some processes side by side; their outcomes added up."""
        self.extra["LEDGER_WORKER_OUTBOX__FORMAT"] = format_
        started = [self.start(group, "run", "--drain", "--json") for _ in range(processes)]
        outcomes: Counter[str] = Counter()
        for process in started:
            outcomes.update(json.loads(finish(process))["outcomes"])
        return outcomes

    def read(self, name: str) -> list[Message]:
        """Every committed record of a topic."""
        return read_topic(self.bootstrap_servers, self.topic(name))

    def produce(self, name: str, events: Sequence[dict[str, Any]]) -> None:
        """Write some events to one of the cluster's topics, as JSON."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers})
        for event in events:
            producer.produce(self.topic(name), json.dumps(event).encode())
        assert producer.flush(READ_SECONDS_MAX) == 0

    def wait_until_told(self, records: int, name: str = "posted") -> None:
        """Wait until a topic holds so many records; who wrote them may be at work still.

        Each transaction's marker counts as one more.
        """
        topic = self.topic(name)
        consumer = _reader(self.bootstrap_servers, "read_uncommitted")
        deadline = time.monotonic() + RUN_SECONDS_MAX
        while sum(_ends(consumer, topic).values()) < records:
            assert time.monotonic() < deadline, f"{topic} did not reach {records} records"
            time.sleep(LOOK_SECONDS)
        consumer.close()

    def posted(self) -> list[dict[str, Any]]:
        """The outbox as its readers see it."""
        return [json.loads(message.value() or b"") for message in self.read("posted")]


def refusals(messages: Iterable[Any], *, replayed: bool = False) -> Counter[tuple[str, int]]:
    """How often each event was announced as refused at each attempt.

    messages: the rejected topic. replayed: everything was read again, which tells the refusals of
    parked records again. Raises AssertionError where the refusal of one record is there twice: it
    is written in the transaction that commits the record's offset.
    """
    found: Counter[tuple[str, int]] = Counter()
    records: Counter[tuple[str, int, int]] = Counter()
    for message in messages:
        one = json.loads(message.value() or b"")
        found[one["event_id"], one["attempt"]] += 1
        records[one["topic"], one["partition"], one["offset"]] += 1
    twice = [
        record
        for record, count in records.items()
        if count > 1 and not (replayed and ".parked." in record[0])
    ]
    assert not twice, f"the refusals of {len(twice)} records were announced twice: {twice[:3]}"
    return found


def finish(process: Process, *, code: int = 0) -> str:
    """Wait for a process and give its output; what it said in anger fails the test."""
    out, err = process.communicate(timeout=RUN_SECONDS_MAX)
    assert process.returncode == code, f"exit {process.returncode}: {err.decode()[-3000:]}"
    return out.decode()


def read_topic(bootstrap_servers: str, topic: str) -> list[Message]:
    """All of a topic with isolation read_committed, in order within each partition.

    Up to where it ends now, also where a process died in a transaction: its reader waits there
    until the broker has aborted it.
    """
    missing = ends(bootstrap_servers, topic)
    consumer = _reader(bootstrap_servers, "read_committed")
    consumer.assign([ClientPartition(topic, partition, 0) for partition in missing])
    records: list[Message] = []
    deadline = time.monotonic() + READ_SECONDS_MAX
    while missing:
        assert time.monotonic() < deadline, f"the end of {topic} was not reached"
        for message in consumer.consume(1000, 0.5):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                partition, offset = message.partition(), message.offset()
                if partition in missing and offset is not None and offset >= missing[partition]:
                    del missing[partition]
    consumer.close()
    return records


def ends(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """Where each partition ends now, open transactions and their markers included."""
    consumer = _reader(bootstrap_servers, "read_uncommitted")
    found = _ends(consumer, topic)
    consumer.close()
    return found


def _ends(consumer: ClientConsumer, topic: str) -> dict[int, int]:
    partitions = consumer.list_topics(topic, timeout=READ_SECONDS_MAX).topics[topic].partitions
    return {number: _end(consumer, ClientPartition(topic, number)) for number in partitions}


def _end(consumer: ClientConsumer, place: ClientPartition) -> int:
    """Where a partition ends; asked again while nobody leads it, as after a broker's outage."""
    deadline = time.monotonic() + READ_SECONDS_MAX
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, READ_SECONDS_MAX)[1])
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOOK_SECONDS)


def _reader(bootstrap_servers: str, isolation: str) -> ClientConsumer:
    return ClientConsumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"auditor-{uuid.uuid4()}",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )


def read_ledger(address: str) -> tuple[list[Any], list[Any]]:
    """Every account and transfer of the ledger, through the official client.

    The embedded ledger that stands in for a server (`served:` before its address) is asked itself.
    """
    if address.startswith(PREFIX):
        return _read_served(address.removeprefix(PREFIX))
    import tigerbeetle as tb  # noqa: PLC0415 - only where the client is installed

    def pages(query: Any) -> list[Any]:
        found: list[Any] = []
        while page := query(_filter(tb, found[-1].timestamp + 1 if found else 0)):
            found.extend(page)
        return found

    with tb.ClientSync(cluster_id=0, replica_addresses=address.rpartition(":")[2]) as client:
        # A call of the client has no limit of its own; a closed client raises.
        limit = threading.Timer(READ_SECONDS_MAX, client.close)
        limit.start()
        try:
            return pages(client.query_accounts), pages(client.query_transfers)
        finally:
            limit.cancel()


def _read_served(address: str) -> tuple[list[Any], list[Any]]:
    ledger = ServedLedger(address)
    found: tuple[list[Any], list[Any]] = ([], [])
    for rows, query in zip(found, (ledger.query_accounts, ledger.query_transfers), strict=True):
        since = 0
        while page := query(QueryFilter(timestamp_min=since, limit=8189)):
            rows.extend(page)
            since = page[-1].timestamp + 1
    ledger.close()
    return found


def _filter(tb: Any, since: int) -> Any:
    return tb.QueryFilter(
        user_data_128=0,
        user_data_64=0,
        user_data_32=0,
        ledger=0,
        code=0,
        timestamp_min=since,
        timestamp_max=0,
        limit=8189,
        flags=tb.QueryFilterFlags.NONE,
    )


def audit(cluster: Cluster, address: str) -> tuple[int, int]:
    """Chains are whole, the outbox tells each transfer exactly once, and every ledger sums to zero.

    Returns (transfers, announcements).
    """
    accounts, transfers = read_ledger(address)
    legs = Counter(held.user_data_128 for held in transfers)
    partial = [held for held in transfers if legs[held.user_data_128] != held.user_data_32 & 0xFFFF]
    assert not partial, f"{len(partial)} transfers of partial chains"
    told = Counter(
        (one["transfer_id"], one["amount"], one["ledger_timestamp"]) for one in cluster.posted()
    )
    held = Counter((f"{one.id:032x}", str(one.amount), str(one.timestamp)) for one in transfers)
    missing, extra = held - told, told - held
    assert not missing, f"{missing.total()} transfers were not announced: {list(missing)[:3]}"
    assert not extra, f"{extra.total()} announcements too many: {list(extra)[:3]}"
    sums: Counter[int] = Counter()
    for account in accounts:
        sums[account.ledger] += account.debits_posted - account.credits_posted
        sums[account.ledger] += account.debits_pending - account.credits_pending
    assert not any(sums.values()), "debits and credits differ"
    return len(transfers), told.total()


def keys(messages: Sequence[Message]) -> set[bytes | None]:
    """The keys of some records."""
    return {message.key() for message in messages}
