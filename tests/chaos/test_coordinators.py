"""Two brokers: what one coordinated or led goes to the other, or is led by nobody for a while."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.chaos.campaign import run
from tests.chaos.plan import ChaosPlan, Fault
from tests.chaos.servers import servers
from tests.chaos.test_chaos import EVENTS
from tests.servers.kafka import KafkaUnavailable
from tests.servers.kafka_pair import SECOND, KafkaPair, kafka_pair
from worker.core.assignment import Opening
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer

WAIT_SECONDS_MAX = 120
UNKNOWN_SECONDS = 20
"""Longer than a broker's session: then the cluster knows that nobody leads the partition."""

MOVES = ChaosPlan(
    seed=8,
    events=EVENTS,
    workers=2,
    faults=(
        Fault("coordinator_moved", at=0.2),
        Fault("reader_restart", at=0.4),
        Fault("coordinator_killed", at=0.6, seconds=1),
    ),
)

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaPair]:
    """Two brokers for these tests."""
    try:
        with kafka_pair(tmp_path_factory.mktemp("pair")) as both:
            yield both
    except KafkaUnavailable as missing:
        pytest.skip(str(missing))


def test_coordinators_that_move(pair: KafkaPair, tmp_path: Path) -> None:
    """Moved, killed, a reader restarted: every promise holds, and no worker leaves the group."""
    with servers(pair, tmp_path) as with_:
        found = run(MOVES, with_)
    assert found["struck"] == [fault.kind for fault in MOVES.faults]


def test_a_partition_that_nobody_leads(pair: KafkaPair) -> None:
    """Where the group stands on it is asked again until somebody does: no reason to end."""
    topic = f"t{uuid.uuid4().hex[:8]}"
    only_there = NewTopic(topic, num_partitions=1, replica_assignment=[[SECOND]])
    admin = AdminClient({"bootstrap.servers": pair.bootstrap_servers})
    admin.create_topics([only_there])[topic].result(WAIT_SECONDS_MAX)
    source = Consumer(KafkaConnection(pair.bootstrap_servers), group=topic, topics=[topic])
    try:
        pair.kill_second()
        until = time.monotonic() + UNKNOWN_SECONDS
        while time.monotonic() < until:
            assert source.opening((topic, 0)) is None
            time.sleep(0.1)
        pair.start()
        until = time.monotonic() + WAIT_SECONDS_MAX
        while not isinstance(source.opening((topic, 0)), Opening):
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        source.close()
