"""Hostile records end no worker; a short run of `python -m tests.fuzz`, and one without servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fuzz.campaign import MEMORY_MIB_MAX, campaign, drained
from tests.fuzz.records import LARGE_BYTES, HostileRecord, hostile_records
from tests.integration.cluster import INPUTS, Cluster, audit
from tests.servers.kafka import KafkaBroker
from tests.servers.raw_producer import RawProducer
from tests.servers.tigerbeetle import TigerBeetleUnavailable, tigerbeetle
from worker.config.settings import Settings
from worker.core.ports import Record
from worker.jobs.live.compose import open_worker, with_broker
from worker.jobs.live.run import Stop, work
from worker.kafka.topic_reader import read_all
from worker.ledger.embedded import EmbeddedLedger

RECORDS = 1_500
"""What the embedded broker keeps of a topic is limited to some megabytes."""

SHORT = int(os.environ.get("FUZZ_RECORDS", "4000"))
ROUND = 20_000


def test_hostile_records_each_have_one_outcome() -> None:
    """In the real loop, on the embedded broker: the process goes on, and no record is left over."""
    settings = Settings()
    roles = settings.topics.with_roles(("treasury",))
    settings = settings.model_copy(update={"topics": roles})
    outputs = [roles.outbox, roles.rejected, roles.dead]
    records = list(hostile_records(7, RECORDS, large=False))
    with with_broker(
        settings.model_copy(
            update={"kafka": settings.kafka.model_copy(update={"bootstrap_servers": "embedded"})}
        ),
        outputs,
    ) as reachable:
        producer = RawProducer(reachable.kafka.bootstrap_servers)
        for record in records:
            write(producer, roles.inputs[record.role], record)
        producer.flush()
        producer.close()
        with open_worker(reachable, ledger=EmbeddedLedger(), embedded_broker=True) as worker:
            outcomes = worker.observer.outcomes
            work(worker, stop=Stop(), done=lambda: sum(outcomes.values()) >= RECORDS)
        letters = read_all(reachable, roles.dead)
    assert sum(outcomes.values()) == RECORDS
    assert outcomes["posted"] > 0
    assert len(set(origins(letters))) == len(letters)
    left_out = [
        letter for letter in letters if ("ledger_worker.left_out", b"headers") in last(letter)
    ]
    assert len(left_out) == sum(record.unreadable for record in records) > 0


def write(producer: RawProducer, topic: str, record: HostileRecord) -> None:
    producer.produce(
        topic,
        record.value,
        key=record.key,
        timestamp_ms=record.timestamp_ms,
        headers=record.headers,
    )


def last(letter: Record) -> list[tuple[str, bytes | None]]:
    """The header after the block that the worker adds, if there is one."""
    return (letter.headers() or [])[-1:]


def origins(letters: list[Record]) -> Iterator[tuple[bytes | None, ...]]:
    for letter in letters:
        headers = dict(letter.headers() or [])
        yield tuple(
            headers[f"__connect.errors.{part}"] for part in ("topic", "partition", "offset")
        )


@pytest.fixture
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with tigerbeetle(data_dir=tmp_path_factory.mktemp("ledger")) as server:
            yield server.address
    except TigerBeetleUnavailable as missing:
        pytest.skip(str(missing))


@pytest.mark.kafka
@pytest.mark.tigerbeetle
def test_hostile_records_on_real_servers(kafka: KafkaBroker, ledger: str) -> None:
    """As many as FUZZ_RECORDS asks for: whole processes, and at the end the auditor."""
    fuzzed = campaign(kafka.bootstrap_servers, ledger)
    for seed, start in enumerate(range(0, SHORT, ROUND)):
        fuzzed.round(seed, min(ROUND, SHORT - start))
    fuzzed.audit(ledger)


@pytest.mark.kafka
@pytest.mark.tigerbeetle
@pytest.mark.parametrize("kind", ["charge.succeeded", "nothing.known"])
@pytest.mark.parametrize("count", [40, 300])
def test_large_records_of_small_objects_stay_below_the_bound(
    kafka: KafkaBroker, ledger: str, kind: str, count: int
) -> None:
    """Decoded all at once they took 1.2 and 2.1 GB; posted or dead, each ends in one outcome."""
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    producer = RawProducer(kafka.bootstrap_servers)
    for number in range(count):
        producer.produce(cluster.topic(INPUTS["payments"]), large(kind, f"{kind}{number}"))
    producer.flush()
    producer.close()
    outcome = "posted" if kind == "charge.succeeded" else "dead"
    outcomes, memory_mib = drained(cluster)
    assert outcomes == {outcome: count}
    assert memory_mib < MEMORY_MIB_MAX
    if outcome == "posted":
        assert audit(cluster, ledger) == (count, count)


def large(kind: str, number: str) -> bytes:
    """An event in order, beside very many objects of one empty key."""
    event = (
        b'{"id": "evt_%b", "type": "%b", "created": 1760000000, "data": {"object":'
        b' {"id": "ch_%b", "amount": 9, "amount_captured": 9, "paid": true, "captured": true,'
        b' "currency": "usd", "customer": "cus_1", "created": 1760000000}}, "junk": ['
    ) % (number.encode(), kind.encode(), number.encode())
    item = b'{"":0}'
    return event + b",".join([item] * ((LARGE_BYTES - len(event)) // (len(item) + 1))) + b"]}"


def test_the_bound_is_stated_and_below_the_charts_limit() -> None:
    """A container of the chart is not killed for its memory by what somebody writes to a topic."""
    root = Path(__file__).parents[2]
    values = yaml.safe_load((root / "helm" / "ledger-worker" / "values.yaml").read_text())
    limit = values["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert int(limit.removesuffix("Gi")) * 1024 > MEMORY_MIB_MAX
    assert f"stays below {MEMORY_MIB_MAX} MiB" in (root / "docs" / "performance.md").read_text()
