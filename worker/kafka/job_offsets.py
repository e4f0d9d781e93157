"""Committed offsets of a group without members, for jobs that read partitions without sharing them.

They travel in the job's transaction; the coordinator accepts them from the transactional id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from worker.config.settings import Settings
from worker.core.ports import Commit, TopicPartition
from worker.kafka.connection import KafkaConnection, client_offsets, connection_of


class JobOffsets:
    """One group's offsets; close it afterwards."""

    def __init__(self, connection: KafkaConnection, group: str) -> None:
        self.connection = connection
        self.group = group
        self._consumer = connection.consumer(group, {})

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The group's offsets; negative where it has none."""
        return {
            (commit.topic, commit.partition): commit.offset
            for commit in self._committed(partitions)
        }

    def metadata(self, partition: TopicPartition) -> str:
        """What the group's commit on this partition carries; empty where it has none."""
        (found,) = self._committed([partition])
        return found.metadata or "" if found.offset >= 0 else ""

    def _committed(self, partitions: Sequence[TopicPartition]) -> list[ClientPartition]:
        wanted = [ClientPartition(*partition) for partition in partitions]
        return self.connection.request(
            "asking for committed offsets", self._consumer.committed, wanted
        )

    def membership(self) -> object:
        """What a transactional commit must show: a group without members."""
        return self._consumer.consumer_group_metadata()

    def commit(self, commits: Sequence[Commit]) -> None:
        """Outside any transaction.

        For the embedded broker, which forgets offsets that come in one, and for the first offsets
        of a group that nobody has joined.
        """
        offsets = client_offsets(commits)
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise self.connection.unreachable("committing offsets", error) from None

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()


@contextmanager
def open_job_offsets(settings: Settings, group: str) -> Iterator[JobOffsets]:
    """A group's offsets in the cluster that the settings name, closed at the end."""
    with closing(JobOffsets(connection_of(settings), group)) as offsets:
        yield offsets
