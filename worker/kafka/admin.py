"""Checks a broker for `doctor` and before a start: does it answer, and do the topics exist?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata
from confluent_kafka.admin._resource import ResourceType

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.plural import count_of
from worker.kafka.connection import (
    REACH_SECONDS,
    ConnectionTrouble,
    KafkaConnection,
    connection_of,
)
from worker.kafka.topic_limits import read_limits
from worker.observe.findings import CONFIGURATION, Finding

TRY_SECONDS: Final = 1.0
DAY_MS: Final = 86_400_000


def inspect_broker(
    settings: Settings, deadline_seconds: float, *, feed_only: bool = False
) -> list[Finding]:
    """Whether the broker answers within the deadline, and each configured topic with it.

    feed_only: only those of `feed`, whose Kafka user may see no other.
    """
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
    topics = _topics(settings, found.topics, feed_only=feed_only)
    if feed_only or not all(check.ok for check in topics):
        return [first, *topics]
    return [first, *topics, _sizes(settings)]


def _sizes(settings: Settings) -> Finding:
    """The largest record that each written topic takes."""
    try:
        limits = read_limits(settings)
    except UsageError as error:
        advice = "`ledger-worker topics plan` compares the topics with what they should be"
        return Finding(
            "record sizes", ok=False, detail=str(error), advice=advice, exit_code=CONFIGURATION
        )
    shown = ", ".join(f"{topic} {size:,}" for topic, size in limits.record_bytes_max.items())
    unseen = ", ".join(limits.unseen)
    return Finding(
        "record sizes",
        ok=True,
        detail=f"largest records in bytes: {shown}",
        advice=f"grant DescribeConfigs on {unseen}: Kafka's default is taken" if unseen else "",
    )


def _topics_of(
    client: AdminClient, trouble: ConnectionTrouble, deadline_seconds: float
) -> ClusterMetadata:
    """The topics, in short requests: between two of them the client reports refused credentials."""
    until = time.monotonic() + deadline_seconds
    while True:
        try:
            left = max(until - time.monotonic(), 0.0)
            return client.list_topics(timeout=min(TRY_SECONDS, left))
        except KafkaException:
            client.poll(0)
            if trouble.authentication or time.monotonic() >= until:
                raise


def _topics(
    settings: Settings, found: dict[str, TopicMetadata], *, feed_only: bool
) -> list[Finding]:
    topics = settings.topics
    if feed_only:
        roles = map(topics.topic_of, ("payments", "settlements"))
        return [_topic(name, found.get(name)) for name in (*roles, topics.feed)]
    outputs = [topics.outbox, topics.rejected, topics.dead]
    feed = [topics.feed] if settings.feed.api_key else []
    wanted = [*topics.inputs.values(), *outputs, *topics.parked_topics, *feed]
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


def refuse_old(connection: KafkaConnection, topics: Sequence[str], since: int) -> None:
    """Would these topics delete records of so long ago as soon as they are written?

    since: the oldest record's time, in seconds since 1970. What the broker does not say passes.

    Raises:
        UsageError: one would.
    """
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    admin = connection.admin()  # it must live until its futures have their answers
    answers: Mapping[ConfigResource, Future[Any]] = admin.describe_configs(
        resources, request_timeout=REACH_SECONDS
    )
    for resource, answer in answers.items():
        try:
            found = answer.result(timeout=REACH_SECONDS)
            kept_ms = int(found["retention.ms"].value)
            deletes = "delete" in str(found["cleanup.policy"].value)
        except (KafkaException, TimeoutError, KeyError):
            continue
        if deletes and 0 <= kept_ms < (time.time() - since) * 1000:
            raise UsageError(
                f"the topic {resource.name} keeps records for {kept_ms // DAY_MS} days, and what"
                " happened longer ago would be deleted as soon as it is written: raise its"
                " retention.ms, or begin later with --from"
            )


def require_existing(settings: Settings, topics: Iterable[str], deadline_seconds: float) -> None:
    """Refuse to write to topics that do not exist: a producer would wait for them until its limit.

    Raises:
        DependencyUnavailable: some do not exist, each is named; or no broker answers.
    """
    connection = connection_of(settings)
    try:
        found = _topics_of(connection.admin(), connection.trouble, deadline_seconds).topics
    except KafkaException as error:
        raise connection.unreachable("looking at the topics", error) from None
    missing = sorted(set(topics) - found.keys())
    if missing:
        raise DependencyUnavailable(
            f"topics that do not exist: {', '.join(missing)}; make them with"
            " `ledger-worker topics apply`"
        )


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
