"""Where a partition opens when the group's commit lies behind its end, on the embedded broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ClientPartition
from structlog.testing import capture_logs

from worker.core.assignment import CommitMetadata, Opening
from worker.kafka import group_offsets
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.embedded_broker import EmbeddedBroker

GROUP = "books"
PLACE = ("stripe.payments", 0)
METADATA = CommitMetadata(since=5, until=9)
COMMITTED = 3
SOON_SECONDS = 0.5
WAIT_SECONDS_MAX = 30


@pytest.fixture
def broker() -> EmbeddedBroker:
    """One partition without a record."""
    made = EmbeddedBroker()
    made.make_topics([PLACE[0]])
    return made


@pytest.fixture
def source(broker: EmbeddedBroker) -> Iterator[Consumer]:
    """Its group has committed an offset that the partition does not have."""
    before = ClientConsumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": GROUP})
    stood = ClientPartition(*PLACE, COMMITTED, METADATA.as_json())
    before.commit(offsets=[stood], asynchronous=False)
    before.close()
    member = Consumer(KafkaConnection(broker.bootstrap_servers), group=GROUP, topics=[PLACE[0]])
    yield member
    member.close()


def answers(source: Consumer, until: Callable[[], bool]) -> list[Opening | None]:
    """What the source says until that is so."""
    said: list[Opening | None] = []
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not until() or not said:
        assert time.monotonic() < deadline
        said.append(source.opening(PLACE))
        if said[-1] is not None:
            break
        time.sleep(0.01)
    return said


def fill(broker: EmbeddedBroker) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for _ in range(COMMITTED + 1):
        producer.produce(PLACE[0], b"{}", partition=PLACE[1])
    assert producer.flush(WAIT_SECONDS_MAX) == 0


def test_an_end_that_comes_late_is_no_reset(broker: EmbeddedBroker, source: Consumer) -> None:
    """A broker that knew less of the end for a while costs no announcement: `since` is kept."""
    with capture_logs() as logs:
        early = answers(source, lambda: bool(logs))
        assert set(early) == {None}
        fill(broker)
        *_, last = answers(source, lambda: False)
    assert last == Opening(COMMITTED, METADATA)
    assert [one["event"] for one in logs] == ["kafka_commit_beyond_end"]


def test_an_end_that_never_comes_is_a_reset(
    source: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The topic is another: it is read from its start, as at a first start, and the log says so."""
    monkeypatch.setattr(group_offsets, "BEYOND_SECONDS", SOON_SECONDS)
    with capture_logs() as logs:
        began = time.monotonic()
        *early, last = answers(source, lambda: False)
    assert time.monotonic() - began >= SOON_SECONDS
    assert set(early) == {None}
    assert last == Opening(0, None)
    assert [one["event"] for one in logs] == ["kafka_commit_beyond_end", "kafka_offsets_reset"]


def test_records_deleted_unread_are_told() -> None:
    """Retention took what was not read: there is nothing to wait for, and somebody must know."""

    class Client:
        def committed(self, places: list[ClientPartition], **_: Any) -> list[ClientPartition]:
            return [ClientPartition(one.topic, one.partition, COMMITTED) for one in places]

        def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
            return COMMITTED + 2, COMMITTED + 9

        def close(self) -> None: ...

    asker = group_offsets.GroupOffsets(cast("ClientConsumer", Client()), KafkaConnection(""))
    with capture_logs() as logs:
        while (found := asker.opening(PLACE)) is None:
            time.sleep(0.01)
    asker.close()
    assert found == Opening(COMMITTED + 2, None)
    assert [(one["event"], one["first"]) for one in logs] == [
        ("kafka_offsets_reset", COMMITTED + 2)
    ]


def test_another_stay_asks_for_as_long_again(
    source: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen of a partition in an earlier stay says nothing about this one."""
    monkeypatch.setattr(group_offsets, "BEYOND_SECONDS", SOON_SECONDS)
    with capture_logs() as logs:
        answers(source, lambda: bool(logs))
        time.sleep(SOON_SECONDS)
        source._group_offsets.forget([PLACE])
        began = time.monotonic()
        answers(source, lambda: False)
    assert time.monotonic() - began >= SOON_SECONDS
