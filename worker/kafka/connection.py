"""How every Kafka client of the worker connects: settings, errors, and the embedded broker.

The invariant: no secret of the settings reaches a log or an error message. The settings that the
worker's guarantees rest on cannot be overridden by `LEDGER_WORKER_KAFKA__CLIENT`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException

from worker.core.errors import DependencyUnavailable, UsageError

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
"""What a consumer is told, and does not pass by itself."""

LEADERLESS: Final = KafkaError._UNKNOWN_PARTITION  # noqa: SLF001
"""A call is told so also while a partition's leader is gone and its successor not yet elected; that
it is gone for good, the consumer is told."""

_log = structlog.get_logger(__name__)


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


def client_config(
    *,
    bootstrap_servers: str,
    client: Mapping[str, Any],
    trouble: ConnectionTrouble,
    own: Mapping[str, Any],
) -> dict[str, Any]:
    """The settings of one client: people's extras under the worker's own.

    Raises:
        UsageError: the extras name a setting that the guarantees rest on.
    """
    taken = sorted(_FIXED & client.keys())
    if taken:
        raise UsageError(f"kafka.client may not set {', '.join(taken)}: the worker sets it itself")
    return {
        # What the client would write to stderr by itself comes through `error_cb`, as JSON lines.
        "log_level": 2,
        **client,
        **own,
        "bootstrap.servers": bootstrap_servers,
        "error_cb": trouble.note,
    }


def passing(error: BaseException) -> bool:
    """May the same call of a consumer succeed a moment later? Whatever is not refused for good."""
    if not isinstance(error, KafkaException):
        return False
    cause = error.args[0]
    return cause.code() == LEADERLESS or (not cause.fatal() and cause.code() not in FOR_GOOD)


def unreachable(
    doing: str, error: KafkaException, trouble: ConnectionTrouble
) -> DependencyUnavailable:
    """One sentence about a broker that did not answer or refused us."""
    reason = str(error.args[0].str()) if error.args else str(error)
    if error.args and error.args[0].code() in NOT_ALLOWED:
        return not_allowed(doing, error.args[0])
    if trouble.authentication:
        return DependencyUnavailable(f"Kafka refused the credentials while {doing}: {trouble.text}")
    if trouble.text:
        reason = f"{reason} ({trouble.text})"
    return DependencyUnavailable(f"Kafka could not be reached while {doing}: {reason}")


def not_allowed(doing: str, error: KafkaError) -> DependencyUnavailable:
    """One sentence about a grant that is missing."""
    return DependencyUnavailable(
        f"Kafka refused us while {doing}: {error.str()};"
        " `ledger-worker topics plan` lists the grants that a worker needs"
    )


T = TypeVar("T")


def open_client(make: Callable[[], T]) -> T:
    """Make a client; a setting that librdkafka does not know is a usage error."""
    try:
        return make()
    except KafkaException as error:
        raise UsageError(f"kafka.client: {error.args[0].str()}") from None
