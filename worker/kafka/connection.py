"""How every Kafka client of the worker connects: its settings, and what its errors mean.

Settings that the worker's guarantees rest on cannot be overridden by
`LEDGER_WORKER_KAFKA__CLIENT`. No secret reaches a log or an error message.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.ports import Commit
from worker.core.visible import without_credentials

REACH_SECONDS: Final = 10.0
"""How long a broker may take to answer at start-up."""

LOG_EVERY_SECONDS: Final = 10.0
"""A broker that is down is tried many times a second; each kind of error is logged so often."""

_FIXED: Final = frozenset(
    {
        "bootstrap.servers",
        "group.id",
        "transactional.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "isolation.level",
        "auto.offset.reset",
        "enable.idempotence",
        "acks",
    }
)

NOT_ALLOWED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""A grant is missing: the same call will not do better."""

FOR_GOOD: Final = frozenset(
    {
        *NOT_ALLOWED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - confluent_kafka names its local errors so
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._FATAL,  # noqa: SLF001
    }
)
"""Errors that a consumer reports and that do not pass by themselves."""

_HARMLESS: Final = frozenset({"security.protocol", "sasl.mechanism", "sasl.mechanisms"})
"""Settings whose values are words that messages are made of."""

_SETTING: Final = re.compile(r"property:? \"([\w.]+)\"")
_UNKNOWN: Final = "No such configuration property"

LEADERLESS: Final = KafkaError._UNKNOWN_PARTITION  # noqa: SLF001
"""A call fails so also while a partition's leader is gone and its successor not yet elected; that
it is gone for good, the consumer's messages say."""

READ_COMMITTED: Final = "read_committed"
_NOTHING: Final[Mapping[str, Any]] = {}

_log = structlog.get_logger(__name__)
Client = TypeVar("Client")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class ConnectionTrouble:
    """The last connection error that librdkafka reported, for messages to people."""

    text: str = ""
    authentication: bool = False
    down_since: float = 0.0
    """When all brokers were found down, in monotonic seconds; 0.0 while some answer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    logged_at: dict[str, float] = field(default_factory=dict)

    def note(self, error: KafkaError) -> None:
        """Record the fact: this is the error callback of librdkafka."""
        refused = error.code() in {KafkaError._AUTHENTICATION, KafkaError._SSL}  # noqa: SLF001
        now, name = time.monotonic(), error.name()
        with self.lock:
            due = now - self.logged_at.get(name, -LOG_EVERY_SECONDS) >= LOG_EVERY_SECONDS
            if due:
                self.logged_at[name] = now
            self.text = error.str()
            self.authentication = self.authentication or refused
            if error.code() == KafkaError._ALL_BROKERS_DOWN and not self.down_since:  # noqa: SLF001
                self.down_since = now
        if due:
            _log.warning("kafka_connection", error=name, fatal=error.fatal())

    def clear(self) -> None:
        """A broker has answered."""
        with self.lock:
            self.text, self.down_since = "", 0.0


def require_running_broker(settings: Settings, *, lacks: str = "holds no records") -> None:
    """Refuse the embedded broker, which begins and ends with this process."""
    if settings.kafka.embedded:
        raise UsageError(f"an embedded broker is new and {lacks}: name a running one")


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """How to reach a cluster; every Kafka client is made from one.

    bootstrap_servers: `host:port`, several with commas.
    client: extra settings for librdkafka from the configuration (TLS, SASL, …).
    trouble: the last errors that its clients reported.
    """

    bootstrap_servers: str
    client: Mapping[str, Any] = field(default_factory=dict)
    trouble: ConnectionTrouble = field(default_factory=ConnectionTrouble)

    def consumer(
        self, group: str, own: Mapping[str, Any], defaults: Mapping[str, Any] = _NOTHING
    ) -> Consumer:
        """A read-committed consumer that commits nothing by itself.

        own: settings that people cannot change. defaults: settings that they can.
        """
        fixed = {"group.id": group, "enable.auto.commit": False, "isolation.level": READ_COMMITTED}
        return self._opened(Consumer, {**fixed, **own}, defaults)

    def producer(self, own: Mapping[str, Any], defaults: Mapping[str, Any] = _NOTHING) -> Producer:
        """A producer. own: settings that people cannot change. defaults: settings that they can."""
        return self._opened(Producer, own, defaults)

    def admin(self) -> AdminClient:
        """A client that looks at the cluster and changes it."""
        return self._opened(AdminClient, _NOTHING, _NOTHING)

    def _opened(
        self,
        make: Callable[[dict[str, Any]], Client],
        own: Mapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> Client:
        """A client with these settings.

        Raises:
            UsageError: the extras name a setting that the guarantees rest on, or one that
                librdkafka does not know.
        """
        taken = sorted(_FIXED & self.client.keys())
        if taken:
            raise UsageError(
                f"kafka.client may not set {', '.join(taken)}: the worker sets it itself"
            )
        config = {
            # What the client would write to stderr by itself comes through `error_cb`, as JSON.
            "log_level": 2,
            **defaults,
            **self.client,
            **own,
            "bootstrap.servers": self.bootstrap_servers,
            "error_cb": self.trouble.note,
        }
        try:
            return make(config)
        except KafkaException as error:
            raise UsageError(f"kafka.client: {self._complaint(error.args[0].str())}") from None

    def _complaint(self, text: str) -> str:
        """What librdkafka says of a setting, by its name: its own words quote the value."""
        named = _SETTING.search(text)
        if named is None:
            return self._without_secrets(text)
        if text.startswith(_UNKNOWN):
            return f"librdkafka knows no setting {named[1]}"
        return f"the value of {named[1]} is none that librdkafka takes"

    def request(self, doing: str, call: Callable[..., Answer], *arguments: Any) -> Answer:  # noqa: ANN401
        """The broker's answer to one call of a client, within REACH_SECONDS.

        Raises:
            DependencyUnavailable: it did not answer, or refused us.
        """
        try:
            return call(*arguments, timeout=REACH_SECONDS)
        except KafkaException as error:
            raise self.unreachable(doing, error) from None

    def unreachable(self, doing: str, error: KafkaException) -> DependencyUnavailable:
        """One sentence about a broker that did not answer or refused us."""
        cause, trouble = error.args[0], self.trouble
        if cause.code() in NOT_ALLOWED:
            return not_allowed(doing, cause)
        text = self._without_secrets(trouble.text)
        if trouble.authentication:
            return DependencyUnavailable(f"Kafka refused the credentials while {doing}: {text}")
        said = self._without_secrets(str(cause.str()))
        reason = f"{said} ({text})" if text else said
        return DependencyUnavailable(f"Kafka could not be reached while {doing}: {reason}")

    def _without_secrets(self, text: str) -> str:
        """What the client said, without a value of its settings or a password in an address."""
        for name, value in self.client.items():
            if isinstance(value, str) and value and name not in _HARMLESS:
                text = text.replace(value, f"[{name}]")
        return without_credentials(text)


def connection_of(settings: Settings) -> KafkaConnection:
    """The cluster that the settings name; each connection notes the trouble of its own clients."""
    return KafkaConnection(settings.kafka.bootstrap_servers, settings.kafka.client)


def client_offsets(commits: Iterable[Commit]) -> list[TopicPartition]:
    """Commits as the client takes them."""
    return [
        TopicPartition(commit.topic, commit.partition, commit.offset, commit.metadata)
        for commit in commits
    ]


def passing(error: BaseException) -> bool:
    """May the same call of a consumer succeed a moment later? Yes, for all but `FOR_GOOD`."""
    if not isinstance(error, KafkaException):
        return False
    cause = error.args[0]
    return cause.code() == LEADERLESS or (not cause.fatal() and cause.code() not in FOR_GOOD)


def not_allowed(doing: str, error: KafkaError) -> DependencyUnavailable:
    """One sentence about a grant that is missing."""
    return DependencyUnavailable(
        f"Kafka refused us while {doing}: {error.str()};"
        " `ledger-worker topics plan` lists the grants that a worker needs"
    )
