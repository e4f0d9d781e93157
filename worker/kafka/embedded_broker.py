"""The embedded broker: librdkafka's own mock cluster, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Producer

from worker.config.settings import Settings
from worker.core.ports import TopicPartition
from worker.kafka.broker_reads import BrokerReads
from worker.kafka.connection import REACH_SECONDS, KafkaConnection
from worker.kafka.group_members import GroupState, MemberState
from worker.kafka.offsets import TopicOffsets
from worker.kafka.topic_reader import TopicReader, open_topic_reader


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


class EmbeddedOffsets(TopicOffsets):
    """Those of the mock cluster, which knows no offsets by time: all that it has is read."""

    def by_time(
        self,
        bounds: Mapping[TopicPartition, tuple[int, int]],
        *,
        start_ms: int,
        end_ms: int = 0,
    ) -> dict[TopicPartition, tuple[int, int]]:
        """All of it."""
        del start_ms, end_ms
        return dict(bounds)


@contextmanager
def _open_reader(settings: Settings) -> Iterator[TopicReader]:
    with open_topic_reader(settings, offsets=EmbeddedOffsets) as reader:
        yield reader


def _this_process(connection: KafkaConnection, group: str) -> GroupState:
    """The mock cluster describes no groups; there is one member, which reads everything."""
    del connection
    return GroupState(group, "stable", (MemberState("this process", "", "", ()),))


EMBEDDED_READS = BrokerReads(_open_reader, _this_process)
"""How the mock cluster is read."""
