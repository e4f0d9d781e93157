"""A job's transactions: written again after an abort, given up with a sentence, never twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.core.errors import DependencyUnavailable
from worker.core.ports import Announcement, Commit
from worker.kafka.connection import KafkaConnection
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.kafka.job_offsets import JobOffsets
from worker.kafka.job_transactions import TRIES_MAX, JobTransactions
from worker.kafka.topic_reader import TopicReader

ABORTED = (KafkaError._TIMED_OUT, "aborted", False, False, True)
UNSETTLED = (KafkaError._TIMED_OUT, "nobody knows", False, False, False)
TOPIC = "out"


class Failing(list[Announcement]):
    """Records of which the client fails so often to take any."""

    def __init__(self, times: int, error: tuple[Any, ...]) -> None:
        super().__init__([Announcement(TOPIC, b"k", b"v", [])])
        self.times = times
        self._error = error

    def __iter__(self) -> Iterator[Announcement]:
        if self.times:
            self.times -= 1
            raise KafkaException(KafkaError(*self._error))
        return super().__iter__()


@pytest.fixture(name="broker")
def _broker() -> EmbeddedBroker:
    broker = EmbeddedBroker()
    broker.make_topics([TOPIC])
    return broker


@pytest.mark.parametrize(
    ("times", "error", "written", "says"),
    [
        (0, ABORTED, 1, ""),
        (TRIES_MAX - 1, ABORTED, 1, ""),
        (TRIES_MAX, ABORTED, 0, f"Kafka aborted the transaction {TRIES_MAX} times: another"),
        (1, UNSETTLED, 0, "another process may be doing the same, or the broker was away;"),
    ],
)
def test_an_aborted_transaction_is_written_again(
    broker: EmbeddedBroker, times: int, error: tuple[Any, ...], written: int, says: str
) -> None:
    """After four aborts it is there once, with its offsets; given up or unknown, not at all."""
    connection = KafkaConnection(broker.bootstrap_servers)
    offsets = JobOffsets(connection, "job")
    job = JobTransactions(offsets, embedded_broker=True)
    try:
        if says:
            with pytest.raises(DependencyUnavailable, match=says):
                job.write(Failing(times, error), [Commit(TOPIC, 0, 1, "")])
        else:
            job.write(Failing(times, error), [Commit(TOPIC, 0, 1, "")])
        committed = offsets.committed([(TOPIC, 0)])[TOPIC, 0]
    finally:
        job.close()
        offsets.close()
    reader = TopicReader(connection)
    records = list(reader.read(reader.whole([TOPIC])))
    reader.close()
    assert len(records) == written
    assert (committed >= 0) == bool(written)
