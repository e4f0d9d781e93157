"""What comes later, and what is not understood, on a real broker."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.integration.cluster import Cluster, finish
from tests.servers.kafka import KafkaBroker

PATIENCE_SECONDS = 90
"""The docs say 30; the machine of the tests may be slow. By the client's own pace it took 300."""

pytestmark = pytest.mark.kafka


def ignored(number: int) -> dict[str, object]:
    event = {"id": f"evt_{number}", "type": "customer.created", "created": 1}
    return {**event, "data": {"object": {}}}


@pytest.mark.tigerbeetle
def test_added_partitions_are_read_while_the_worker_runs(kafka: KafkaBroker, ledger: str) -> None:
    """A running worker takes records of partitions that are added, soon, and from their first."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    topic = cluster.topic("pay")
    process = cluster.start("g", "run", "--max-events", "2", "--json")
    cluster.produce("pay", [ignored(0)])
    time.sleep(10)  # it is in the group by then, or joins one that has two partitions
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for done in admin.create_partitions([NewPartitions(topic, 2)]).values():
        done.result(60)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, json.dumps(ignored(1)).encode(), partition=1)
    assert producer.flush(60) == 0
    began = time.monotonic()
    try:
        process.wait(PATIENCE_SECONDS)
    finally:
        process.send_signal(signal.SIGTERM)
    assert json.loads(finish(process))["outcomes"] == {"ignored": 2}
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_doctor_looks_at_the_newest_records(kafka: KafkaBroker, tmp_path: Path) -> None:
    """A topic of which three quarters are no events is a failure that says what they are."""
    cluster = Cluster(kafka.bootstrap_servers, f"embedded:{tmp_path}/books.ledger", partitions=2)
    wrapped = {"detail": ignored(0), "source": "aws.partner/stripe.com"}
    cluster.produce("pay", [wrapped, wrapped, wrapped, ignored(1)])
    cluster.produce("cmd", [ignored(number) for number in range(50)])
    said = finish(cluster.start("g", "doctor", "--sample", "10", "--json"), code=2)
    found = {check["name"]: check for check in json.loads(said)["checks"]}
    payments = found[f"records of {cluster.topic('pay')}"]
    assert not payments["ok"]
    assert "of the newest 4: 3 dead, 1 ignored" in payments["detail"]
    assert "3 not_an_event: `id` is missing" in payments["detail"]
    commands = found[f"records of {cluster.topic('cmd')}"]
    assert "of the newest 10" in commands["detail"]
