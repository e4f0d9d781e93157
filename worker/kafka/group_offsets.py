"""The group's committed offsets, read in a thread by a client that joins no group.

An answer that a broker may yet correct is requested again, and so is a commit that seems to lie
behind its partition's end: a broker that has just come back may not know the end yet, and taking
that for a reset would skip transfers that are posted and not yet announced.

A thread, because a dead worker's open transaction can hide the commit for many seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import structlog
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from worker.core.assignment import Opening, opening
from worker.core.ports import GroupLook, TopicPartition
from worker.kafka.connection import LEADERLESS, KafkaConnection, passing

TRY_SECONDS: Final = 2.0
"""How long a broker may take for one answer before a retry."""

REACHED_EVERY_SECONDS: Final = 0.25
"""How often a drain asks how far its group is."""

BEYOND_SECONDS: Final = 30.0
"""How long a partition's end is requested again before a commit behind it means a reset."""

_log = structlog.get_logger(__name__)


class GroupOffsets:
    """Asks for commits and watermarks; closes the client it is given."""

    def __init__(self, client: ClientConsumer, connection: KafkaConnection) -> None:
        self._client = client
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="offsets")
        self._openings: dict[TopicPartition, Future[Opening | None]] = {}
        self._beyond_since: dict[TopicPartition, float] = {}
        self._reached: Future[bool] | None = None
        self._reached_at = 0.0
        self._look: Future[GroupLook | None] | None = None

    def opening(self, partition: TopicPartition) -> Opening | None:
        """The group's commit against the partition's watermarks; None: not yet, ask again."""
        if partition not in self._openings:
            self._openings[partition] = self._thread.submit(self._read_opening, partition)
        if not self._openings[partition].done():
            return None
        return self._openings.pop(partition).result()

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """They came or went: an answer counts only for the assignment of its request."""
        for partition in partitions:
            self._openings.pop(partition, None)
            self._beyond_since.pop(partition, None)

    def _read_opening(self, partition: TopicPartition) -> Opening | None:
        try:
            found, (low, high) = self._commit_and_watermarks(partition)
        except KafkaException as error:
            self._must_pass(error)
            return None
        if found.offset > high and not self._stays_beyond(partition, found.offset, high):
            return None
        start = opening(committed=found.offset, metadata=found.metadata, low=low, high=high)
        if found.offset >= 0 and start.offset != found.offset:
            where = {"topic": partition[0], "partition": partition[1], "committed": found.offset}
            _log.error("kafka_offsets_reset", **where, first=low, end=high)
        return start

    def _stays_beyond(self, partition: TopicPartition, committed: int, high: int) -> bool:
        """Has this commit been behind the end for so long that the topic must be another?"""
        now = time.monotonic()
        if partition not in self._beyond_since:
            where = {"topic": partition[0], "partition": partition[1], "committed": committed}
            _log.warning("kafka_commit_beyond_end", **where, end=high)
        if now - self._beyond_since.setdefault(partition, now) < BEYOND_SECONDS:
            return False
        self._beyond_since.pop(partition, None)
        return True

    def _commit_and_watermarks(
        self, partition: TopicPartition
    ) -> tuple[ClientPartition, tuple[int, int]]:
        (found,) = self._client.committed([ClientPartition(*partition)], timeout=TRY_SECONDS)
        if found.error is not None:
            raise KafkaException(found.error)
        try:
            marks = self._client.get_watermark_offsets(
                ClientPartition(*partition), timeout=TRY_SECONDS
            )
        except KafkaException as error:
            if error.args[0].code() == LEADERLESS:  # so it stays until the client looks anew
                self._client.list_topics(partition[0], timeout=TRY_SECONDS)
            raise
        return found, marks

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Has the group committed these offsets? Asked as `opening` is, now and then."""
        if self._reached is None:
            now = time.monotonic()
            if now - self._reached_at < REACHED_EVERY_SECONDS:
                return False
            self._reached_at = now
            self._reached = self._thread.submit(self._read_reached, dict(ends))
        if not self._reached.done():
            return False
        answer, self._reached = self._reached.result(), None
        return answer

    def _read_reached(self, ends: dict[TopicPartition, int]) -> bool:
        partitions = [ClientPartition(*partition) for partition in ends]
        try:
            found = self._client.committed(partitions, timeout=TRY_SECONDS) if ends else []
        except KafkaException as error:
            self._must_pass(error)
            return False
        return all(
            commit.error is None and commit.offset >= ends[commit.topic, commit.partition]
            for commit in found
        )

    def look(self, partitions: Sequence[TopicPartition]) -> GroupLook | None:
        """Ends and commits of these; None: not yet, ask again."""
        if self._look is None:
            self._look = self._thread.submit(self._ask_look, list(partitions))
        if not self._look.done():
            return None
        answer, self._look = self._look.result(), None
        return answer

    def _ask_look(self, partitions: list[TopicPartition]) -> GroupLook | None:
        wanted = [ClientPartition(*partition) for partition in partitions]
        try:
            marks = {
                (one.topic, one.partition): self._client.get_watermark_offsets(
                    one, timeout=TRY_SECONDS
                )
                for one in wanted
            }
            found = self._client.committed(wanted, timeout=TRY_SECONDS)
        except KafkaException as error:
            self._must_pass(error)
            return None
        if any(one.error is not None for one in found):
            return None
        committed = {
            (one.topic, one.partition): max(one.offset, marks[one.topic, one.partition][0])
            for one in found
        }
        return GroupLook(committed, {partition: high for partition, (_, high) in marks.items()})

    def _must_pass(self, error: KafkaException) -> None:
        """Raise an error that will not pass; after another one the offsets are requested again."""
        if not passing(error):
            raise self._connection.unreachable("asking for committed offsets", error) from None
        _log.warning("kafka_offsets_unknown", error=error.args[0].name())

    def close(self) -> None:
        """When nobody asks any more."""
        self._thread.shutdown(cancel_futures=True)
        self._client.close()
