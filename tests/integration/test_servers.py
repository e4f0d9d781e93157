"""The real servers of the tests are what they say they are."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Producer

from tests.servers.kafka import KafkaBroker, create_topics, kafka_broker

ANSWER_SECONDS = 300


def produce(broker: KafkaBroker, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(ANSWER_SECONDS) == 0


def consume(broker: KafkaBroker, topic: str, count: int) -> list[bytes]:
    consumer = ClientConsumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": str(uuid.uuid4()),
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        found = consumer.consume(count, timeout=ANSWER_SECONDS)
    finally:
        consumer.close()
    return [value for message in found if (value := message.value()) is not None]


@pytest.mark.kafka
def test_the_broker_keeps_what_is_produced(kafka: KafkaBroker) -> None:
    """A record written to a declared topic of the real broker is read back."""
    topic = f"smoke-{uuid.uuid4()}"
    create_topics(kafka.bootstrap_servers, {topic: 1})
    produce(kafka, topic, [b"one", b"two"])
    assert consume(kafka, topic, 2) == [b"one", b"two"]


@pytest.mark.kafka
@pytest.mark.skipif(
    "CHAOS_EVENTS" not in os.environ,
    reason="three starts of a broker take minutes: set CHAOS_EVENTS=150, whose faults need this",
)
def test_the_broker_comes_back_with_its_data(kafka: KafkaBroker, tmp_path: Path) -> None:
    """A broker that was killed, and one that was stopped, has its records when it is back."""
    del kafka  # skips where no broker can be had
    with kafka_broker(tmp_path) as broker:
        create_topics(broker.bootstrap_servers, {"lasting": 1})
        produce(broker, "lasting", [b"before"])
        broker.kill()
        broker.start()
        broker.stop()
        broker.start()
        assert consume(broker, "lasting", 1) == [b"before"]
    assert not list(tmp_path.iterdir())
