"""Writes records outside any transaction: generated traffic, journal entries."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, Message

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable
from worker.kafka.connection import KafkaConnection, connection_of

REPORT_EVERY: Final = 1000


class PlainProducer:
    """Writes records outside any transaction."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._trouble = connection.trouble
        self._failed = ""
        self._sent = 0
        self._producer = connection.producer(
            {"enable.idempotence": True, "linger.ms": 20, "compression.type": "lz4"}
        )

    def publish(
        self, *, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int
    ) -> None:
        """Queue one record; waits while the queue is full."""
        while True:
            try:
                self._producer.produce(
                    topic, value, key, timestamp=timestamp_ms, on_delivery=self._delivered
                )
                break
            except BufferError:
                self._producer.poll(0.5)
        self._sent += 1
        if self._sent % REPORT_EVERY == 0:
            self._producer.poll(0)
            self._raise_failed()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = f"{message.topic()}: {error.str()}"

    def _raise_failed(self) -> None:
        if self._failed:
            raise DependencyUnavailable(f"Kafka did not take a record for {self._failed}")

    def flush(self, deadline_seconds: float) -> None:
        """Wait for every acknowledgement.

        Raises:
            DependencyUnavailable: not all came within the deadline, or a record was refused.
        """
        left = self._producer.flush(deadline_seconds)
        self._raise_failed()
        if left:
            why = f" ({self._trouble.text})" if self._trouble.text else ""
            raise DependencyUnavailable(f"Kafka acknowledged all but {left} records in time{why}")


def open_plain_producer(settings: Settings) -> PlainProducer:
    """A plain producer for the cluster that the settings name."""
    return PlainProducer(connection_of(settings))
