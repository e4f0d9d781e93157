"""Where a job's own group stands, for jobs that read partitions without sharing them.

The invariant: offsets travel in the announcer's transaction; the group has no members, so that its
coordinator takes them from whoever holds the transactional id.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from worker.config.settings import Settings
from worker.core.ports import Commit, TopicPartition
from worker.kafka.connection import (
    REACH_SECONDS,
    ConnectionTrouble,
    client_config,
    open_client,
    unreachable,
)


class JobOffsets:
    """One group's offsets; close it afterwards."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._trouble = ConnectionTrouble()
        config = client_config(
            bootstrap_servers=settings.kafka.bootstrap_servers,
            client=settings.kafka.client,
            trouble=self._trouble,
            own={
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            },
        )
        self._consumer = open_client(lambda: ClientConsumer(config))

    def committed(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The group's offsets; negative where it has none."""
        return {(one.topic, one.partition): one.offset for one in self._ask(places)}

    def metadata(self, place: TopicPartition) -> str:
        """What the group's commit on this partition carries; empty where it has none."""
        (found,) = self._ask([place])
        return found.metadata or "" if found.offset >= 0 else ""

    def _ask(self, places: Sequence[TopicPartition]) -> list[ClientPartition]:
        asked = [ClientPartition(*place) for place in places]
        try:
            return list(self._consumer.committed(asked, timeout=REACH_SECONDS))
        except KafkaException as error:
            raise unreachable("asking for committed offsets", error, self._trouble) from None

    def membership(self) -> object:
        """What a transactional commit must show: a group without members."""
        return self._consumer.consumer_group_metadata()

    def commit(self, commits: Sequence[Commit]) -> None:
        """Outside any transaction.

        For the embedded broker, which forgets offsets that come in one, and for the first offsets
        of a group that nobody has joined.
        """
        offsets = [
            ClientPartition(one.topic, one.partition, one.offset, one.metadata) for one in commits
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise unreachable("committing offsets", error, self._trouble) from None

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()
