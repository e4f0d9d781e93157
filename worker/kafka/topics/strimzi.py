"""The declared topics and users as Strimzi resources (API v1): KafkaTopic and KafkaUser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import yaml

from worker.kafka.topics.declared import Grant, Resource, TopicsFile, TopicSpec

Authentication = Literal["tls", "scram-sha-512"]

API: Final = "kafka.strimzi.io/v1"
RESOURCES: Final[dict[Resource, str]] = {
    "topic": "topic",
    "group": "group",
    "transactional_id": "transactionalId",
}


def render(
    declared: TopicsFile, *, cluster: str, namespace: str, authentication: Authentication
) -> str:
    """Every resource as one YAML text, `---` between.

    Args:
        declared: the file.
        cluster: the name of Strimzi's Kafka resource.
        namespace: where the resources go; empty leaves it to kubectl.
        authentication: how the users prove who they are.
    """
    metadata = {"labels": {"strimzi.io/cluster": cluster}}
    if namespace:
        metadata |= {"namespace": namespace}  # type: ignore[dict-item]
    resources = [
        *(_topic(topic, metadata) for topic in declared.topics),
        *(_user(user, declared, metadata, authentication) for user in declared.users),
    ]
    return yaml.safe_dump_all(resources, sort_keys=False, allow_unicode=True)


def _topic(topic: TopicSpec, metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "KafkaTopic",
        "metadata": {
            "name": topic.name.replace("_", "-").lower(),
            **metadata,
            "annotations": {"ledger-worker/about": topic.about},
        },
        "spec": {
            "topicName": topic.name,
            "partitions": topic.partitions,
            "replicas": topic.replication,
            "config": dict(topic.config),
        },
    }


def _user(
    user: str, declared: TopicsFile, metadata: dict[str, Any], authentication: Authentication
) -> dict[str, Any]:
    mine = [grant for grant in declared.grants if grant.user == user]
    return {
        "apiVersion": API,
        "kind": "KafkaUser",
        "metadata": {
            "name": user,
            **metadata,
            "annotations": {"ledger-worker/about": declared.users[user]},
        },
        "spec": {
            "authentication": {"type": authentication},
            "authorization": {"type": "simple", "acls": list(_acls(mine))},
        },
    }


def _acls(grants: list[Grant]) -> Iterator[dict[str, Any]]:
    """One entry per resource, its operations together."""
    resources = dict.fromkeys((grant.resource, grant.name, grant.prefixed) for grant in grants)
    for resource, name, prefixed in resources:
        operations = [
            grant.operation.capitalize()
            for grant in grants
            if (grant.resource, grant.name, grant.prefixed) == (resource, name, prefixed)
        ]
        yield {
            "type": "allow",
            "resource": {
                "type": RESOURCES[resource],
                "name": name,
                "patternType": "prefix" if prefixed else "literal",
            },
            "operations": operations,
        }
