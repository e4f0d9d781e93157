"""The embedded broker: librdkafka's own mock cluster, in this process."""

from __future__ import annotations

from confluent_kafka import Producer

from worker.kafka.connection import REACH_SECONDS


class EmbeddedBroker:
    """librdkafka's mock cluster, in this process: for the demo and fast tests, no proof.

    It keeps no offsets that come in a transaction and hides no aborted records
    (librdkafka, rdkafka_mock.h).
    """

    def __init__(self) -> None:
        self._cluster = Producer(
            {"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 0}
        )
        brokers = self._cluster.list_topics(timeout=REACH_SECONDS).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def make_topics(self, topics: list[str]) -> None:
        """Topics come into being when somebody asks for them."""
        for topic in topics:
            self._cluster.list_topics(topic=topic, timeout=REACH_SECONDS)
