"""Which partitions a transaction writes to."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from worker.core.ports import Announcement, Commit
from worker.kafka.connection import KafkaConnection
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.kafka.producer import TransactionalProducer

KEYS = 50
ROUNDS = 3
WAIT_SECONDS_MAX = 30


@pytest.fixture(scope="module")
def written() -> dict[str, dict[bytes, set[int]]]:
    """By topic and transaction the partitions that hold its records: of `out` and `dead`."""
    broker = EmbeddedBroker()
    broker.make_topics(["in", "out", "dead"])
    announcer = TransactionalProducer(
        KafkaConnection(broker.bootstrap_servers),
        transactional_id="t",
        side_by_side=["out"],
    )
    config = {"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "log_level": 2}
    reader = ClientConsumer({**config, "auto.offset.reset": "earliest"})
    membership = reader.consumer_group_metadata()
    for number in range(ROUNDS):
        announcer.announce(
            [
                Announcement(topic, b"key %d" % key, b"round %d" % number, [])
                for key in range(KEYS)
                for topic in ("out", "dead")
            ],
            [Commit("in", 0, number + 1, "")],
            membership,
        )
    announcer.close()
    topics = reader.list_topics(timeout=WAIT_SECONDS_MAX).topics
    reader.assign(
        [
            ClientPartition(topic, number, 0)
            for topic in ("out", "dead")
            for number in topics[topic].partitions
        ]
    )
    found: dict[str, dict[bytes, set[int]]] = defaultdict(lambda: defaultdict(set))
    left, late = 2 * KEYS * ROUNDS, time.monotonic() + WAIT_SECONDS_MAX
    while left and time.monotonic() < late:
        for message in reader.consume(left, 0.5):
            if message.error() is None:
                found[message.topic() or ""][message.value() or b""].add(message.partition() or 0)
                left -= 1
    reader.close()
    assert left == 0
    return found


def test_a_transaction_writes_to_one_partition_and_the_next_to_another(
    written: dict[str, dict[bytes, set[int]]],
) -> None:
    """Each partition would cost it a request and a marker; over time all are written to."""
    assert [len(each) for each in written["out"].values()] == [1] * ROUNDS
    assert len(set.union(*written["out"].values())) == ROUNDS


def test_other_topics_are_spread_by_key(written: dict[str, dict[bytes, set[int]]]) -> None:
    """Dead and parked events keep the partition of their key."""
    places = list(written["dead"].values())
    assert len(places[0]) > 1
    assert places == [places[0]] * ROUNDS
