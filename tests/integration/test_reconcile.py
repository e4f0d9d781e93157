"""Reconciliation on real Kafka and real TigerBeetle: clean, in parts, and spoiled.

RECONCILE_EVENTS=100000 plays so many events; each step then says how long it took.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ClientPartition

from tests.integration.cluster import Cluster, Process, ends, finish
from tests.jobs.reconcile.spoiled import Spoiled, assert_all_found, spoil
from tests.jobs.reconcile.stripe import payouts, report_rows, rest_of_stories, write_report
from tests.jobs.reports.played import LedgerTime, Played, place
from tests.servers.kafka import KafkaBroker
from tests.servers.tigerbeetle import TigerBeetleUnavailable, tigerbeetle
from worker.commands.cli import main
from worker.config.settings import Settings
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.scene import COMMANDS, PAYMENTS, Generated
from worker.jobs.generate.traffic import generate
from worker.ledger.embedded import EmbeddedLedger

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

EVENTS = int(os.environ.get("RECONCILE_EVENTS", "500"))
MORE = 80
ROLES = frozenset(Settings().topics.inputs)
SEED = 11
WAIT_SECONDS_MAX = 120
PARTS = 2
SETTLE = ("--settle-days", "9999")  # the events are of the past, and the last are half told
DEVELOPMENT_MAX = 10_000
"""Events for which the server's small batches will do."""

NAMES = {
    "pay": "stripe.payments",
    "settle": "stripe.settlements",
    "cmd": "wallet.commands",
    "posted": "ledger.transfers.posted",
    "rejected": "ledger.events.rejected",
    "dead": "ledger.events.dead",
    "parked.1": "ledger.events.parked.1",
}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of an empty ledger."""
    try:
        with tigerbeetle(development=EVENTS <= DEVELOPMENT_MAX, data_dir=tmp_path) as server:
            yield server.address
    except TigerBeetleUnavailable as missing:
        pytest.skip(str(missing))


def test_clean_in_parts_and_spoiled(
    kafka: KafkaBroker,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No alarm while workers go on; then every corruption is found in its class, nothing else."""
    cluster = Cluster(kafka.bootstrap_servers, address, partitions=1)
    cluster.extra["LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS"] = "[1, 3]"
    day = Played(EmbeddedLedger(), tmp_path, LedgerTime(0))
    produced = [one for one in generate(EVENTS, SEED, roles=ROLES) if "payout" not in one.note]
    for one in produced:
        place(day, Settings(), one)
    for one in rest_of_stories(day, EVENTS, SEED):
        place(day, Settings(), one)
        produced.append(one)
    report = report_rows(day)
    # What others wait for comes first, and what was parked is taken up before the rest.
    for first in (True, False):
        produce(cluster, [one for one in produced if (one.role == PAYMENTS) is first])
        said("drained", cluster.start("g", "run", "--drain"))
        take_up_parked(cluster)
    produce(cluster, payouts(day))
    said("drained", cluster.start("g", "run", "--drain"))
    said(
        "reconciled",
        cluster.start("g", "reconcile", *SETTLE, "--report", str(tmp_path / "clean.json")),
        code=1,
    )
    clean = json.loads((tmp_path / "clean.json").read_text())
    assert clean["summary"]["differences"] == clean["summary"]["dead_letters"] > 0
    assert clean["summary"]["announcements_compared"] is True
    assert clean["summary"]["not_checked_for_compaction"] == []
    said("planned a replay", cluster.start("g", "replay"))
    assert_parts_agree(cluster, tmp_path)
    day.records.clear()
    for name, topic in NAMES.items():
        day.records[topic] = [archived(one, cluster) for one in cluster.read(name)]
    spoiled = Spoiled(day, report, tmp_path, address)
    spoil(spoiled)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", address)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__DEADLINE_SECONDS", "120")
    monkeypatch.chdir(tmp_path)
    stripe = write_report(tmp_path / "stripe.csv", spoiled.rows)
    asked = ["--from-files", str(spoiled.archive()), "--stripe-report", str(stripe), *SETTLE]
    capsys.readouterr()
    assert main(["reconcile", *asked, "--json"]) == 1
    assert_all_found(json.loads(capsys.readouterr().out), spoiled)


def take_up_parked(cluster: Cluster) -> None:
    """Work until no event waits any more: Stripe's report tells of those too."""
    if not parked(cluster):
        return
    worker = cluster.start("g", "run")
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while parked(cluster):
        assert time.monotonic() < deadline, "parked events were not taken up"
        assert worker.poll() is None
        time.sleep(0.3)
    worker.terminate()
    assert worker.wait(WAIT_SECONDS_MAX) == 0


def parked(cluster: Cluster) -> int:
    """How many offsets of the topics where events wait are not committed."""
    group = cluster.environment("g")["LEDGER_WORKER_KAFKA__GROUP_ID"]
    asking = ClientConsumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": group})
    left = 0
    for topic in map(cluster.topic, ("parked.1", "parked.2")):
        (end,) = ends(cluster.bootstrap_servers, topic).values()
        (at,) = asking.committed([ClientPartition(topic, 0)], WAIT_SECONDS_MAX)
        left += end - max(at.offset, 0)
    asking.close()
    return left


def produce(cluster: Cluster, events: Iterable[Generated]) -> None:
    """Write events to the inputs, each to the partition of its key."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "linger.ms": 20})
    names = {topic: name for name, topic in NAMES.items()}
    inputs = Settings().topics.inputs
    for one in events:
        topic = cluster.topic(names[inputs[one.role]])
        while True:
            try:
                producer.produce(topic, json_value(one), one.key)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def said(doing: str, process: Process, *, code: int = 0) -> None:
    """Wait for a command that ends with this code; say what it took, if many events are played."""
    if "RECONCILE_EVENTS" not in os.environ:
        finish(process, code=code)
        return
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with ThreadPoolExecutor(1) as watching:
        peak = watching.submit(peak_mib, process.pid)
        finish(process, code=code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took = time.monotonic() - began
    print(f"{doing}: {took:.1f} s, {cpu:.1f} s of CPU, {peak.result()} MiB", file=sys.__stderr__)


def peak_mib(pid: int) -> int:
    """The most memory that a process has held, watched until it ends; 0 where nobody tells."""
    status, peak = Path(f"/proc/{pid}/status"), 0
    while True:
        try:
            told = status.read_text(encoding="ascii").partition("VmHWM:")[2].split()
        except OSError:
            return peak
        if not told:
            return peak
        peak = int(told[0]) // 1024
        time.sleep(0.1)


def assert_parts_agree(cluster: Cluster, folder: Path) -> None:
    """Parts of different moments, with workers at work between them, join without alarm."""
    (folder / "parts").mkdir()
    more = [one for one in generate(EVENTS + MORE * 4, SEED, roles=ROLES) if one.role == COMMANDS][
        -MORE:
    ]
    for number in range(PARTS):
        asked = ["--partitions", f"{number}/{PARTS}", "--part-to", str(folder / "parts")]
        said(f"part {number}", cluster.start("g", "reconcile", *asked))
        produce(cluster, more[number * (MORE // PARTS) :][: MORE // PARTS])
        cluster.drain("g")
    joined = folder / "joined.json"
    asked = ["--merge", str(folder / "parts"), "--report", str(joined), *SETTLE]
    said("merged", cluster.start("g", "reconcile", *asked), code=1)
    found = json.loads(joined.read_text())
    assert found["summary"]["differences"] == found["summary"]["dead_letters"]
    assert "in_transit" in {item["class"] for item in found["items"]}


def archived(record: Any, cluster: Cluster) -> ArchivedRecord:
    """A record as an archive holds it; topics have the names that the settings have."""
    names = {cluster.topic(name).encode(): topic.encode() for name, topic in NAMES.items()}
    headers = [
        (name, names.get(value, value) if name == "__connect.errors.topic" else value)
        for name, value in record.headers() or ()
    ]
    topic = names[record.topic().encode()].decode()
    at = (topic, record.partition(), record.offset())
    at_ms = record.timestamp()[1]
    return ArchivedRecord(*at, record.key(), record.value(), headers, at_ms)
