"""A consumer group as a test sees it."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._group import ConsumerGroupDescription

ASK_SECONDS = 10


def group_now(bootstrap_servers: str, group: str) -> ConsumerGroupDescription:
    """The group as its coordinator tells it; raises KafkaException or TimeoutError if none does.

    Asked with a new client: one whose brokers were killed has been seen never to answer.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    asked = admin.describe_consumer_groups([group], request_timeout=ASK_SECONDS)
    found: ConsumerGroupDescription = asked[group].result(2 * ASK_SECONDS)
    return found
