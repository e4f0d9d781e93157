"""One redrive at a time, on a real broker: a second refuses, and the first finishes."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest
from confluent_kafka import Producer

from tests.integration.cluster import Cluster
from tests.records import FakeRecord
from tests.servers.kafka import KafkaBroker, create_topics
from worker.codecs.dead_letters import DeadLetters
from worker.core.errors import UsageError
from worker.core.event import Dead, Reason
from worker.kafka.connection import KafkaConnection
from worker.kafka.job_lock import JobLock

LETTERS = 600

pytestmark = pytest.mark.kafka


@pytest.fixture(name="group")
def _group() -> str:
    return f"g{uuid.uuid4().hex[:8]}"


@pytest.fixture(name="topic")
def _topic(kafka: KafkaBroker, group: str) -> str:
    create_topics(kafka.bootstrap_servers, {group: 2})
    return group


def locked(kafka: KafkaBroker, group: str, topic: str) -> JobLock:
    connection = KafkaConnection(kafka.bootstrap_servers)
    return JobLock(connection, group=group, topic=topic, job="redrive")


def test_a_second_refuses_until_the_first_has_ended(
    kafka: KafkaBroker, group: str, topic: str
) -> None:
    """While one process holds the lock another gets a sentence; afterwards it gets the lock."""
    with closing(locked(kafka, group, topic)) as first:
        first.keep()
        with pytest.raises(UsageError, match="another redrive of this group is under way"):
            locked(kafka, group, topic)
        first.keep()
    locked(kafka, group, topic).close()


def test_of_two_at_the_same_moment_never_both(kafka: KafkaBroker, group: str, topic: str) -> None:
    """However they meet, at most one holds the lock while the other looks."""
    for _ in range(3):
        together, held = Barrier(2), Barrier(2)

        def begin(together: Barrier = together, held: Barrier = held) -> bool:
            together.wait(60)
            try:
                lock = locked(kafka, group, topic)
            except UsageError:
                held.wait(60)
                return False
            held.wait(60)
            lock.close()
            return True

        with ThreadPoolExecutor(2) as pool:
            started = [pool.submit(begin) for _ in range(2)]
            assert sum(each.result(120) for each in started) == 1


def test_two_redrives_at_once(kafka: KafkaBroker) -> None:
    """Each letter goes once, with its duplicate; one of the two may refuse, and the other goes."""
    cluster = Cluster(kafka.bootstrap_servers, "127.0.0.1:1")
    letters = DeadLetters(topic=cluster.topic("dead"), group="g", rulebook_digest="ab")
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(LETTERS):
        event = {"id": f"evt_{number}", "type": "no.such", "created": 1, "data": {"object": {}}}
        record = FakeRecord((cluster.topic("pay"), 0), number, json.dumps(event).encode())
        letter = letters.letter(record, Dead(Reason.NO_RULE, "no rule"), stage="translate")
        for _ in range(2):
            producer.produce(letter.topic, letter.value, headers=list(letter.headers))
    assert producer.flush(60) == 0
    command = ["redrive", "--from", "dead", "--where", "true", "--reason", "r", "--operator", "o"]
    running = [cluster.start("g", *command, "--json") for _ in range(2)]
    ended = [(process.communicate(timeout=300), process.returncode) for process in running]
    codes = sorted(code for _, code in ended)
    assert codes in ([0, 2], [0, 0]), ended  # 0, 0: one began when the other had ended
    refused = [said for (_, said), code in ended if code]
    assert all(b"another redrive of this group is under way" in said for said in refused)
    values = [record.value() for record in cluster.read("pay")]
    assert len(values) == len(set(values)) == LETTERS
