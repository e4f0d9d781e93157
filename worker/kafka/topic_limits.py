"""How large a record each written topic takes, and how far from now its time may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.kafka.connection import REACH_SECONDS, KafkaConnection, connection_of
from worker.kafka.producer import MESSAGE_BYTES_MAX

KAFKA_BYTES_MAX: Final = 1_048_588
"""`message.max.bytes` of a broker that was not told another: Kafka's documentation."""

FRAME_BYTES: Final = 512
"""What a batch of one record takes beside the record's key, value and headers; 70 were seen."""

LETTER_BYTES_MIN: Final = 131_072
"""A topic of dead letters takes this at least: the letter of a record that is too large for it has
its key and headers up to half of it."""

SETTING: Final = "max.message.bytes"
BEFORE: Final = "message.timestamp.before.max.ms"
AFTER: Final = "message.timestamp.after.max.ms"
TIMES: Final = frozenset({BEFORE, AFTER})
_UNSEEN: Final[Mapping[str, str]] = {}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """How large a record of each topic may be, and of what time.

    record_bytes_max: by topic, of key, value and headers together.
    times: by topic how many milliseconds before and after now a record's own time may be.
    unseen: topics whose setting may not be read; they are taken to have Kafka's default.
    """

    record_bytes_max: Mapping[str, int]
    times: Mapping[str, tuple[int, int]]
    unseen: Sequence[str] = ()

    def of(self, topics: Iterable[str]) -> int:
        """The largest record that every one of these topics takes."""
        return min(self.record_bytes_max[topic] for topic in topics)


def unread_limits(settings: Settings) -> TopicLimits:
    """Kafka's own defaults: the embedded broker does not say what it takes."""
    return _limits(connection_of(settings), dict.fromkeys(written_topics(settings), _UNSEEN))


def written_topics(settings: Settings) -> list[str]:
    """Every topic that the worker writes to."""
    topics = settings.topics
    return [topics.outbox, topics.rejected, topics.dead, *topics.parked_topics]


def read_limits(settings: Settings) -> TopicLimits:
    """Ask the broker about every topic that the worker writes to.

    Raises:
        UsageError: a topic is too small for any dead letter.
    """
    connection = connection_of(settings)
    found = _asked(connection, written_topics(settings))
    limits = _limits(connection, found)
    if limits.unseen:
        _log.info("topic_limits_unseen", topics=list(limits.unseen))
    dead = settings.topics.dead
    if limits.record_bytes_max[dead] < LETTER_BYTES_MIN:
        raise UsageError(
            f"topic {dead} takes records of {limits.record_bytes_max[dead]} bytes at most, and dead"
            f" letters need {LETTER_BYTES_MIN + FRAME_BYTES}: raise its {SETTING}, and the"
            " message.max.bytes of kafka.client where that is less"
        )
    return limits


def _asked(connection: KafkaConnection, topics: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """The settings of each topic; empty where they may not be read."""
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    admin = connection.admin()  # it must live until its futures have their answers
    answers: Mapping[ConfigResource, Future[Any]] = admin.describe_configs(
        resources, request_timeout=REACH_SECONDS
    )
    return {resource.name: _settings(answer) for resource, answer in answers.items()}


def _settings(answer: Future[Any]) -> Mapping[str, str]:
    try:
        entries = answer.result(timeout=REACH_SECONDS)
    except (KafkaException, TimeoutError):
        return _UNSEEN
    return {name: str(entry.value) for name, entry in entries.items() if entry.value is not None}


def _limits(connection: KafkaConnection, found: Mapping[str, Mapping[str, str]]) -> TopicLimits:
    own = int(connection.client.get("message.max.bytes", MESSAGE_BYTES_MAX))
    return TopicLimits(
        {
            topic: max(min(int(said.get(SETTING, KAFKA_BYTES_MAX)), own) - FRAME_BYTES, 1)
            for topic, said in found.items()
        },
        {topic: window for topic, said in found.items() if (window := _times(said))},
        tuple(topic for topic, said in found.items() if SETTING not in said),
    )


def _times(said: Mapping[str, str]) -> tuple[int, int] | None:
    """How far before and after now a record's own time may be; None: any, or nobody knows."""
    if said.get("message.timestamp.type") != "CreateTime" or not said.keys() >= TIMES:
        return None
    return int(said[BEFORE]), int(said[AFTER])
