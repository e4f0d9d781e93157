"""One process at a time does a job: it is the only member of a group, or refuses to begin.

The group reads nothing. Its coordinator knows who is alive: a process that was killed leaves it
after SESSION_MS, one that ends leaves it at once.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from worker.core.errors import DependencyUnavailable, UsageError
from worker.kafka.connection import REACH_SECONDS, KafkaConnection

SESSION_MS: Final = 10_000
POLL_MS_MAX: Final = 86_400_000
"""`keep` is called between portions of work, of which one may take long; the most Kafka takes."""

JOIN_SECONDS_MAX: Final = 30.0
TRIES_MAX: Final = 5
"""Two that begin at the same moment see each other, step back for a while, and look again; who is
there every time does the job."""

BACK_SECONDS_MAX: Final = 3.0
AGAIN_SECONDS: Final = 0.2


_PASSING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
    }
)
"""While a coordinator is found, which a new cluster does at the first question."""

_log = structlog.get_logger(__name__)


class JobLock:
    """Membership of a group alone; close it afterwards.

    A broker that cannot say who is in a group (the embedded one) gives no lock.

    group: the lock's own group.
    topic: any topic that the group may read; nothing is read of it.
    job: what only one may do, for the refusal.

    Raises:
        UsageError: another process does the job.
        DependencyUnavailable: a broker did not answer in time.
    """

    def __init__(self, connection: KafkaConnection, *, group: str, topic: str, job: str) -> None:
        self._connection = connection
        self._admin = connection.admin()
        self._group = group
        self._topic = topic
        self._name = f"{group}-{uuid.uuid4().hex}"
        self._consumer: Consumer | None = None
        for _ in range(TRIES_MAX):
            members = self._members()
            if members is None:
                _log.warning("job_lock_unsupported", group=group)
                return
            if not self._others(members) and self._joined_alone():
                return
            self.close()
            time.sleep(random.uniform(0, BACK_SECONDS_MAX))  # noqa: S311 - only to differ
        raise UsageError(
            f"another {job} of this group is under way, and only one may be: wait until it has"
            f" ended (one that was killed counts for {SESSION_MS // 1000} s more)"
        )

    def keep(self) -> None:
        """Follow the group: somebody may look in. To be called between portions of work."""
        if self._consumer is not None:
            self._consumer.poll(0)

    def close(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _joined_alone(self) -> bool:
        """Join; False when somebody else has joined too."""
        own: Mapping[str, Any] = {
            "client.id": self._name,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 4,
            "max.poll.interval.ms": POLL_MS_MAX,
        }
        self._consumer = self._connection.consumer(self._group, own)
        self._consumer.subscribe([self._topic], on_assign=_read_nothing)
        deadline = time.monotonic() + JOIN_SECONDS_MAX
        while time.monotonic() < deadline:
            self._consumer.poll(0.1)
            members = self._members() or []
            if self._name in members:
                return not self._others(members)
        raise DependencyUnavailable(
            f"the group {self._group} could not be joined in {JOIN_SECONDS_MAX:g} s"
        )

    def _others(self, members: Sequence[str]) -> bool:
        return any(name != self._name for name in members)

    def _members(self) -> list[str] | None:
        """The client ids of the group's members; None where the broker cannot say."""
        deadline = time.monotonic() + REACH_SECONDS
        while True:
            try:
                described = self._admin.describe_consumer_groups(
                    [self._group], request_timeout=REACH_SECONDS
                )
                about = described[self._group].result()
            except KafkaException as error:
                cause = error.args[0]
                if cause.code() == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001
                    return None
                if cause.code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return []
                if cause.code() not in _PASSING or time.monotonic() > deadline:
                    doing = f"asking who is in the group {self._group}"
                    raise self._connection.unreachable(doing, error) from None
                time.sleep(AGAIN_SECONDS)
            else:
                return [str(member.client_id) for member in about.members]


def _read_nothing(consumer: Consumer, partitions: list[ClientPartition]) -> None:
    del partitions
    consumer.assign([])
