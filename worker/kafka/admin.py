"""Checks a broker for `doctor` and before a start: does it answer, and do the topics exist?"""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.plural import count_of
from worker.kafka.connection import ConnectionTrouble, connection_of
from worker.observe.findings import CONFIGURATION, Finding

TRY_SECONDS: Final = 1.0


def inspect_broker(settings: Settings, deadline_seconds: float) -> list[Finding]:
    """Whether the broker answers within the deadline, and each configured topic with it."""
    connection = connection_of(settings)
    try:
        found = _topics_of(connection.admin(), connection.trouble, deadline_seconds)
    except UsageError as error:
        advice = "correct LEDGER_WORKER_KAFKA__CLIENT"
        return [
            Finding("kafka", ok=False, detail=str(error), advice=advice, exit_code=CONFIGURATION)
        ]
    except KafkaException as error:
        detail = str(connection.unreachable("looking at the broker", error))
        advice = "check LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS, the network, and the credentials"
        return [Finding("kafka", ok=False, detail=detail, advice=advice)]
    brokers = len(found.brokers)
    first = Finding("kafka", ok=True, detail=f"{count_of(brokers, 'broker')} answered")
    return [first, *_topics(settings, found.topics)]


def _topics_of(
    client: AdminClient, trouble: ConnectionTrouble, deadline_seconds: float
) -> ClusterMetadata:
    """Asked in short tries: between them one hears that the credentials were refused."""
    until = time.monotonic() + deadline_seconds
    while True:
        try:
            left = max(until - time.monotonic(), 0.0)
            return client.list_topics(timeout=min(TRY_SECONDS, left))
        except KafkaException:
            client.poll(0)
            if trouble.authentication or time.monotonic() >= until:
                raise


def _topics(settings: Settings, found: dict[str, TopicMetadata]) -> list[Finding]:
    topics = settings.topics
    outputs = [topics.outbox, topics.rejected, topics.dead]
    wanted = [*topics.inputs.values(), *outputs, *topics.parked_topics]
    return [_topic(name, found.get(name)) for name in wanted]


def _topic(name: str, about: TopicMetadata | None) -> Finding:
    if about is None:
        detail = "does not exist, or may not be seen"
        advice = "make it with `ledger-worker topics apply`, or grant describe on it"
        return Finding(f"topic {name}", ok=False, detail=detail, advice=advice)
    if about.error is not None:
        return Finding(
            f"topic {name}", ok=False, detail=about.error.str(), advice="grant read on it"
        )
    return Finding(f"topic {name}", ok=True, detail=count_of(len(about.partitions), "partition"))


def require_topics(settings: Settings, deadline_seconds: float) -> None:
    """Stop before the start when a broker or topic is missing.

    Raises:
        DependencyUnavailable: with one sentence about the first that is missing.
        UsageError: the extra client settings are wrong.
    """
    for check in inspect_broker(settings, deadline_seconds):
        if not check.ok:
            sentence = f"{check.name}: {check.detail}; {check.advice}"
            if check.exit_code == CONFIGURATION:
                raise UsageError(sentence)
            raise DependencyUnavailable(sentence)
