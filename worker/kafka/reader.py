"""Reads a topic from its first record to the end seen now, for people and checks.

The invariant: read-committed, in no group, and it commits nothing.
"""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable
from worker.core.ports import Record
from worker.kafka.connection import (
    REACH_SECONDS,
    ConnectionTrouble,
    client_config,
    open_client,
    unreachable,
)

READ_SECONDS_MAX: Final = 60.0


def read_all(settings: Settings, topic: str) -> list[Record]:
    """Every record of a topic, in order within each partition; all in memory.

    Raises:
        DependencyUnavailable: the broker did not answer, or the end was not reached in time.
    """
    trouble = ConnectionTrouble()
    config = client_config(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        client=settings.kafka.client,
        trouble=trouble,
        own={
            "group.id": "ledger-worker-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        },
    )
    consumer = open_client(lambda: ClientConsumer(config))
    try:
        partitions = consumer.list_topics(topic, timeout=REACH_SECONDS).topics[topic].partitions
        consumer.assign([ClientPartition(topic, number, 0) for number in partitions])
        return _to_the_end(consumer, topic, set(partitions))
    except KafkaException as error:
        raise unreachable(f"reading {topic}", error, trouble) from None
    finally:
        consumer.close()


def _to_the_end(consumer: ClientConsumer, topic: str, open_partitions: set[int]) -> list[Record]:
    records: list[Any] = []
    deadline = time.monotonic() + READ_SECONDS_MAX
    while open_partitions:
        if time.monotonic() > deadline:
            raise DependencyUnavailable(f"the end of {topic} was not reached in time")
        for message in consumer.consume(1000, 0.2):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                open_partitions.discard(int(message.partition() or 0))
            else:
                raise KafkaException(error)
    return records
