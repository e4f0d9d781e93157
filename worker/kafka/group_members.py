"""The members of a consumer group and their partitions, as the group's coordinator sees them."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import KafkaException

from worker.core.errors import DependencyUnavailable
from worker.core.ports import TopicPartition
from worker.kafka.connection import REACH_SECONDS, KafkaConnection


class MemberState(NamedTuple):
    """One member.

    host: as the broker sees it.
    """

    client_id: str
    instance_id: str
    host: str
    partitions: tuple[TopicPartition, ...]


class GroupState(NamedTuple):
    """A consumer group.

    state: the coordinator's word in lower case, as `stable` or `empty`.
    """

    group: str
    state: str
    members: tuple[MemberState, ...]


def group_state(connection: KafkaConnection, group: str) -> GroupState:
    """Who is in a group now; a group that never was is `dead` or `empty`, without members.

    Raises:
        DependencyUnavailable: the broker did not answer in time, or refused us.
    """
    admin = connection.admin()  # it must live until its future has the answer
    (answer,) = admin.describe_consumer_groups([group], request_timeout=REACH_SECONDS).values()
    try:
        found = answer.result(timeout=2 * REACH_SECONDS)
    except KafkaException as error:
        raise connection.unreachable(f"describing the group {group}", error) from None
    except TimeoutError:
        raise DependencyUnavailable(
            f"the group {group} was not described within {2 * REACH_SECONDS:g} s"
        ) from None
    members = (
        MemberState(
            client_id=each.client_id,
            instance_id=each.group_instance_id or "",
            host=each.host,
            partitions=tuple(
                sorted((one.topic, one.partition) for one in each.assignment.topic_partitions)
            ),
        )
        for each in found.members
    )
    by_name = sorted(members, key=lambda each: (each.instance_id, each.client_id))
    return GroupState(group, found.state.name.lower(), tuple(by_name))
