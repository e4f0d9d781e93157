"""Brings a broker's topics and grants to what is declared. It deletes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin._acl import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable
from worker.core.plural import count_of
from worker.kafka.connection import KafkaConnection, connection_of
from worker.kafka.topics.declared import Grant, Resource, TopicAccess
from worker.kafka.topics.plan import BrokerTopic, TopicsPlan

CALL_SECONDS: Final = 30.0
"""How long the cluster may take for one request about all topics."""

AUTHORIZER: Final = "authorizer.class.name"
"""A broker's setting; empty, it keeps no grants, and answers a question about them with none."""

RESOURCES: Final[Mapping[Resource, ResourceType]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
OPERATIONS: Final[Mapping[TopicAccess, AclOperation]] = {
    "read": AclOperation.READ,
    "write": AclOperation.WRITE,
}

T = TypeVar("T")


class TopicAdmin:
    """Looks at one cluster's topics and changes them; made by `open_topic_admin`."""

    def __init__(self, connection: KafkaConnection, call_seconds: float = CALL_SECONDS) -> None:
        self._connection = connection
        self._client = connection.admin()
        self._seconds = call_seconds

    def topics(self, names: Collection[str]) -> dict[str, BrokerTopic]:
        """Those of the named topics that exist.

        Raises:
            DependencyUnavailable: no broker answered in time, or it refused us.
        """
        with self._asking("listing the topics"):
            listed = self._client.list_topics(timeout=self._seconds)
        there = sorted(set(names) & listed.topics.keys())
        configs = self._configs(there)
        return {
            name: BrokerTopic(
                partitions=len(listed.topics[name].partitions),
                replication=_replication(listed.topics[name].partitions),
                config=configs[name],
            )
            for name in there
        }

    def brokers(self) -> int:
        """How many brokers the cluster has."""
        with self._asking("looking at the brokers"):
            return len(self._client.list_topics(timeout=self._seconds).brokers)

    def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        with self._asking("reading the topics' settings"):
            answers = self._client.describe_configs(resources, request_timeout=self._seconds)
            found = {
                resource.name: future.result(self._seconds) for resource, future in answers.items()
            }
        return {
            name: {key: entry.value or "" for key, entry in entries.items()}
            for name, entries in found.items()
        }

    def grants(self, users: Iterable[str]) -> set[Grant] | None:
        """What these users may do; None when the broker keeps no grants."""
        with self._asking("reading the grants"):
            if not self._keeps_grants():
                return None
            return {
                grant
                for user in users
                for binding in self._bindings(f"User:{user}")
                for grant in _grant(user, binding)
            }

    def _keeps_grants(self) -> bool:
        """Has it an authorizer? A broker that does not show this setting is taken to have one."""
        brokers = self._client.list_topics(timeout=self._seconds).brokers
        broker = ConfigResource(ResourceType.BROKER, str(min(brokers)))
        answers = self._client.describe_configs([broker], request_timeout=self._seconds)
        entry = next(iter(answers.values())).result(self._seconds).get(AUTHORIZER)
        return entry is None or bool(entry.value)

    def _bindings(self, principal: str) -> list[AclBinding]:
        of_principal = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type] # any name: the stub knows bindings only
            ResourcePatternType.ANY,
            principal,
            None,  # type: ignore[arg-type] # any host
            AclOperation.ANY,
            AclPermissionType.ALLOW,
        )
        answer = self._client.describe_acls(of_principal, request_timeout=self._seconds)
        bindings: list[AclBinding] = answer.result(self._seconds)
        return bindings

    def apply(self, plan: TopicsPlan) -> None:
        """Do what the plan names: topics first, so that nobody waits for a grant on nothing.

        Raises:
            DependencyUnavailable: the cluster has too few brokers, refused a part, or did not
                answer in time; what was done before stays done, and a new plan shows the rest.
        """
        with self._asking("creating topics"):
            self._require_brokers(plan)
            self._create(plan)
        with self._asking("adding partitions"):
            self._repartition(plan)
        with self._asking("changing the topics' settings"):
            self._configure(plan)
        with self._asking("granting"):
            self._allow(plan)

    def _require_brokers(self, plan: TopicsPlan) -> None:
        """Kafka keeps each replica on a broker of its own."""
        replicas = max((topic.replication for topic in plan.create), default=0)
        if not replicas:
            return
        brokers = len(self._client.list_topics(timeout=self._seconds).brokers)
        if replicas > brokers:
            raise DependencyUnavailable(
                f"{replicas} replicas of each topic are declared, and the cluster has"
                f" {count_of(brokers, 'broker')}: give --replication {brokers}, or start more"
                " brokers; no topic was created"
            )

    def _create(self, plan: TopicsPlan) -> None:
        wanted = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication,
                config=dict(topic.config),
            )
            for topic in plan.create
        ]
        self._all(wanted, self._client.create_topics, operation_timeout=self._seconds)

    def _repartition(self, plan: TopicsPlan) -> None:
        wanted = [NewPartitions(change.topic, change.after) for change in plan.repartition]
        self._all(wanted, self._client.create_partitions, operation_timeout=self._seconds)

    def _configure(self, plan: TopicsPlan) -> None:
        topics = dict.fromkeys(change.topic for change in plan.configure)
        wanted = [
            ConfigResource(
                ResourceType.TOPIC,
                topic,
                incremental_configs=[
                    ConfigEntry(
                        change.key, change.after, incremental_operation=AlterConfigOpType.SET
                    )
                    for change in plan.configure
                    if change.topic == topic
                ],
            )
            for topic in topics
        ]
        self._all(wanted, self._client.incremental_alter_configs, request_timeout=self._seconds)

    def _allow(self, plan: TopicsPlan) -> None:
        wanted = [_binding(grant) for grant in plan.grant]
        self._all(wanted, self._client.create_acls, request_timeout=self._seconds)

    def _all(
        self, wanted: list[T], ask: Callable[..., Mapping[Any, Future[Any]]], **limits: float
    ) -> None:
        """Ask for all in one request and wait for each answer; the first refusal is raised."""
        if wanted:
            for answer in ask(wanted, **limits).values():
                answer.result(self._seconds + 1)

    @contextmanager
    def _asking(self, doing: str) -> Any:  # noqa: ANN401 - a context
        try:
            yield
        except KafkaException as error:
            raise self._connection.unreachable(doing, error) from None
        except TimeoutError:
            raise DependencyUnavailable(
                f"Kafka did not answer within {self._seconds:g} s while {doing}"
            ) from None


def open_topic_admin(settings: Settings, call_seconds: float = CALL_SECONDS) -> TopicAdmin:
    """The admin of the cluster that the settings name.

    call_seconds: how long the cluster may take for one request about all topics.
    """
    return TopicAdmin(connection_of(settings), call_seconds)


def _replication(partitions: Mapping[int, Any]) -> int:
    """The fewest replicas that a partition has."""
    return min((len(partition.replicas) for partition in partitions.values()), default=0)


def _binding(grant: Grant) -> AclBinding:
    return AclBinding(
        RESOURCES[grant.resource],
        grant.name,
        ResourcePatternType.PREFIXED if grant.prefixed else ResourcePatternType.LITERAL,
        f"User:{grant.user}",
        "*",
        OPERATIONS[grant.operation],
        AclPermissionType.ALLOW,
    )


def _grant(user: str, binding: AclBinding) -> list[Grant]:
    """The grant that a binding is; one of a kind that is never declared is none."""
    resources = [name for name, kind in RESOURCES.items() if kind == binding.restype]
    operations = [name for name, kind in OPERATIONS.items() if kind == binding.operation]
    if not resources or not operations or binding.host != "*":
        return []
    prefixed = binding.resource_pattern_type == ResourcePatternType.PREFIXED
    return [Grant(user, operations[0], resources[0], str(binding.name), prefixed)]
