"""What a broker has written and its client was never told of does not cost the next transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer as ClientConsumer

from tests.chaos.proxy import Proxy
from tests.integration.cluster import ends, read_topic
from tests.servers.kafka import JavaBroker, KafkaUnavailable, create_topics, kafka_jars
from worker.core.errors import Aborted
from worker.core.ports import Announcement, Commit
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import TransactionalProducer

WAIT_SECONDS_MAX = 60
GROUP = "books"
TOPICS = {"in": 1, "out": 1}
RETRIES_LATE = {
    "retry.backoff.ms": 3_000,
    "retry.backoff.max.ms": 3_000,
    "metadata.recovery.strategy": "none",
}
"""So that the abort comes before the client has sent again what was not answered. A client that
bootstraps anew when its only broker is gone hangs for long in the transaction."""

pytestmark = pytest.mark.kafka


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[tuple[JavaBroker, Proxy]]:
    """A broker, and the wire that its clients are told to use."""
    wire = Proxy("")
    wire.open()

    def behind(listener: str) -> str:
        wire.upstream = listener
        return wire.address

    try:
        broker = JavaBroker(kafka_jars(), tmp_path, behind=behind)
    except KafkaUnavailable as missing:
        pytest.skip(str(missing))
    try:
        broker.start()
        create_topics(broker.bootstrap_servers, TOPICS)
        yield broker, wire
    finally:
        broker.remove()
        wire.close()


def member(servers: str) -> ClientConsumer:
    return ClientConsumer({"bootstrap.servers": servers, "group.id": GROUP, "log_level": 2})


def left(servers: str) -> object:
    """The membership of somebody who has left the group since."""
    consumer = member(servers)
    consumer.subscribe(["in"])
    for _ in range(WAIT_SECONDS_MAX):
        consumer.poll(1.0)
        if consumer.assignment():
            break
    assert consumer.assignment()
    membership = consumer.consumer_group_metadata()
    consumer.close()
    return membership


def told(*values: bytes) -> list[Announcement]:
    return [Announcement("out", b"key", value, []) for value in values]


def test_what_was_announced_after_an_abort_is_there(wired: tuple[JavaBroker, Proxy]) -> None:
    """The client drops what was not answered, and counts on from before it.

    The same records once more then look to the broker as what it has written already, in the
    transaction that was aborted; it says that all is well, and they are in no committed one.
    """
    broker, wire = wired
    commits = [Commit("in", 0, 1, "")]
    nobody = member(broker.bootstrap_servers).consumer_group_metadata()
    announcer = TransactionalProducer(
        KafkaConnection(wire.address, RETRIES_LATE), transactional_id="worker"
    )
    announcer.announce(told(b"before"), commits, nobody)

    def until_lost() -> Iterator[Announcement]:
        """The partition joins the transaction; then two records are written, the answer lost."""
        yield from told(b"first")
        assert vars(announcer)["_producer"].flush(WAIT_SECONDS_MAX) == 0
        wire.mode = "deaf"
        written = ends(broker.bootstrap_servers, "out")[0]
        yield from told(b"one", b"two")
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while ends(broker.bootstrap_servers, "out")[0] < written + 2:
            assert time.monotonic() < deadline
        wire.heal()

    with pytest.raises(Aborted):
        announcer.announce(until_lost(), commits, left(broker.bootstrap_servers))
    announcer.announce(told(b"one", b"two"), commits, nobody)
    announcer.close()
    values = [message.value() for message in read_topic(broker.bootstrap_servers, "out")]
    assert values == [b"before", b"one", b"two"]
