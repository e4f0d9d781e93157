"""Writes records one by one and reports each as soon as the broker has acknowledged it.

For the webhook endpoint, which may tell Stripe that it has an event only then. What cannot be
written in time is reported as failed, and whoever sent it sends it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from worker.core.errors import DependencyUnavailable
from worker.kafka.connection import KafkaConnection

POLL_SECONDS: Final = 0.05
LINGER_MS: Final = 2
"""How long a record waits for company: webhooks come many at a time."""

PROBE_EVERY_SECONDS: Final = 1.0
"""While all brokers are down, one that answers is looked for so often."""

LOG_EVERY_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class Acknowledgement(NamedTuple):
    """What became of one record.

    error: the name of Kafka's error; empty when it is written.
    """

    token: object
    error: str


class AcknowledgedProducer:
    """A producer with a thread that waits for acknowledgements; close it afterwards.

    deadline_seconds: within which a record is acknowledged, or reported as failed.
    acknowledged: called from the thread with all that came in one round.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        deadline_seconds: float,
        acknowledged: Callable[[Sequence[Acknowledgement]], None],
    ) -> None:
        self._connection = connection
        self._acknowledged = acknowledged
        self._arrived: list[Acknowledgement] = []
        self._logged_at = 0.0
        self._probed_at = 0.0
        self._closing = threading.Event()
        self._producer = connection.producer(
            {"enable.idempotence": True, "message.timeout.ms": int(deadline_seconds * 1000)},
            {"compression.type": "lz4", "linger.ms": LINGER_MS},
        )
        self._thread = threading.Thread(target=self._wait, name="acknowledgements", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Does the thread still report?"""
        return self._thread.is_alive()

    @property
    def down_seconds(self) -> float:
        """How long no broker has answered; 0.0 while some do."""
        since = self._connection.trouble.down_since
        return time.monotonic() - since if since else 0.0

    def reach(self, topic: str) -> None:
        """Ask the broker for the topic.

        Raises:
            DependencyUnavailable: it does not answer, or has no such topic.
        """
        found = self._connection.request(
            f"asking for topic {topic}", self._producer.list_topics, topic
        )
        error = found.topics[topic].error
        if error is not None:
            raise DependencyUnavailable(
                f"the topic {topic} does not exist, or may not be written: make it with"
                f" `ledger-worker topics apply` ({error.str()})"
            )

    def publish(self, *, topic: str, key: bytes | None, value: bytes, token: object) -> str:
        """Queue one record; the name of the error when it cannot even be queued."""

        def delivered(error: KafkaError | None, _: Message) -> None:
            self._arrived.append(Acknowledgement(token, error.name() if error else ""))

        try:
            self._producer.produce(topic, value, key, on_delivery=delivered)
        except BufferError:
            return "_QUEUE_FULL"
        except KafkaException as error:
            return str(error.args[0].name())
        return ""

    def _wait(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(POLL_SECONDS)
            if self._arrived:
                self._report()
            elif self._connection.trouble.down_since:
                self._probe()

    def _report(self) -> None:
        arrived, self._arrived = self._arrived, []
        failed = {one.error for one in arrived if one.error}
        if any(not one.error for one in arrived):
            self._connection.trouble.clear()
        now = time.monotonic()
        if failed and now - self._logged_at > LOG_EVERY_SECONDS:
            self._logged_at = now
            _log.warning("records_not_acknowledged", errors=sorted(failed))
        self._acknowledged(arrived)

    def _probe(self) -> None:
        """While nothing is written, only an answer shows that the outage is over."""
        now = time.monotonic()
        if now - self._probed_at < PROBE_EVERY_SECONDS:
            return
        self._probed_at = now
        try:
            self._producer.list_topics(timeout=PROBE_EVERY_SECONDS)
        except KafkaException:
            return
        self._connection.trouble.clear()

    def close(self, deadline_seconds: float = 0.0) -> None:
        """Wait for what is under way, and report it; then end."""
        self._closing.set()
        self._thread.join()
        self._producer.flush(deadline_seconds)
        if self._arrived:
            self._report()
