"""The topics of a feed: what it has written, how far it has read at Stripe, what others brought.

What one step led to is written in one transaction with the checkpoint: the second up to
which Stripe was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson

from worker.core.ports import Announcement, Record, TopicPartition
from worker.jobs.feed.facts import SETTLED
from worker.jobs.feed.records import record_key
from worker.kafka.job_offsets import JobOffsets
from worker.kafka.producer import TransactionalProducer
from worker.kafka.topic_reader import OffsetRange, TopicReader

MILLISECONDS: Final = 1_000


class FeedTopics(Protocol):
    """Reads and writes the topics of one feed."""

    def checkpoints(self) -> dict[str, dict[str, Any]]:
        """The last value of each key of the feed's own topic."""
        ...

    def fresh(self, topic: str, since: int) -> Iterator[Record]:
        """Records since the last call; at the first, those from this second on."""
        ...

    def write(self, records: Sequence[Announcement]) -> None:
        """One transaction. Raises Aborted or Unsettled where it is not certain to be written."""
        ...

    def forget(self) -> None:
        """The next call of `fresh` is the first again."""
        ...


class KafkaFeedTopics:
    """The real topics; close it afterwards.

    Only one process may write under `producer`'s id; what another left open has ended before.
    """

    def __init__(
        self,
        reader: TopicReader,
        producer: TransactionalProducer,
        offsets: JobOffsets,
        *,
        checkpoint_topic: str,
    ) -> None:
        self._reader = reader
        self._producer = producer
        self._offsets = offsets
        self._checkpoint_topic = checkpoint_topic
        self._ends: dict[TopicPartition, int] = {}

    def checkpoints(self) -> dict[str, dict[str, Any]]:
        """The last value of each key of the feed's own topic."""
        found: dict[str, dict[str, Any]] = {}
        for record in self._reader.read(self._reader.whole([self._checkpoint_topic])):
            name, value = (record.key() or b"").decode(errors="replace"), record.value()
            if value is None:
                found.pop(name, None)
            else:
                found[name] = orjson.loads(value)
        return found

    def fresh(self, topic: str, since: int) -> Iterator[Record]:
        """Records since the last call; at the first, those from this second on."""
        whole = self._reader.whole([topic])
        unknown = {
            partition: one.end for partition, one in whole.items() if partition not in self._ends
        }
        starts = self._ends | (
            self._reader.offsets.at_time(unknown, since * MILLISECONDS) if unknown else {}
        )
        ranges = {
            partition: OffsetRange(max(starts[partition], one.start), one.end)
            for partition, one in whole.items()
        }
        yield from self._reader.read(ranges)
        self._ends |= {partition: one.end for partition, one in ranges.items()}

    def write(self, records: Sequence[Announcement]) -> None:
        """One transaction."""
        self._producer.announce(records, [], self._offsets.membership())

    def forget(self) -> None:
        """The next call of `fresh` is the first again."""
        self._ends = {}

    def close(self) -> None:
        """Release the connections."""
        self._reader.close()
        self._producer.close()
        self._offsets.close()


def event_record(topic: str, body: Mapping[str, Any]) -> Announcement:
    """An event as a record of the time that its fact happened, by Stripe's clock.

    By that time a replay finds it, and so does a feed that looks for what it has written.
    """
    about = body["data"]["object"]
    key = about["id"].encode() if body["type"] == SETTLED else record_key(body)
    return Announcement(topic, key, orjson.dumps(body), [], body["created"] * MILLISECONDS)


def checkpoint_record(topic: str, name: str, value: Mapping[str, Any] | None) -> Announcement:
    """How far Stripe was read, or what else to know after a restart; None forgets it."""
    return Announcement(topic, name.encode(), None if value is None else orjson.dumps(value), [])
