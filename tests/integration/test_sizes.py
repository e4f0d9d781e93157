"""Records too large to be announced, on real servers: nothing is posted that cannot be told."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.integration.cluster import Cluster, audit, ends, read_ledger
from tests.integration.running import Running
from tests.integration.test_bad_input import charge, headers
from tests.servers.kafka import KafkaBroker
from tests.servers.raw_producer import RawProducer
from worker.core.errors import UsageError

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

FUTURE_MS = 4_000_000_000_000
SMALL_BYTES = 3000
LEAST_BYTES = 70_000
SECONDS_MAX = 60


def one(number: int, **changes: Any) -> dict[str, Any]:
    return charge(**{"id": f"ch_{number}"} | changes) | {"id": f"evt_{number}"}


def configure(cluster: Cluster, name: str, **settings: object) -> None:
    """Change a topic's settings; a double underscore stands for a dot."""
    changes = [
        ConfigEntry(key.replace("__", "."), str(value), incremental_operation=AlterConfigOpType.SET)
        for key, value in settings.items()
    ]
    topic = ConfigResource(ResourceType.TOPIC, cluster.topic(name), incremental_configs=changes)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    for answer in admin.incremental_alter_configs([topic]).values():
        answer.result(60)


def reasons(cluster: Cluster) -> list[str]:
    return sorted(headers(letter)["ledger_worker.reason"] for letter in cluster.read("dead"))


def test_huge_texts_end_nothing(kafka: KafkaBroker, ledger: str) -> None:
    """An id, a fact or a type of 700 KB is a dead letter; a family key of 700 KB is announced."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    huge = "x" * 700_000
    cluster.produce(
        "pay",
        [one(1), one(2) | {"id": huge}, one(3, id=huge), one(4) | {"type": huge},
         one(5, customer=huge), one(6)],
    )  # fmt: skip
    assert cluster.drain("a") == {"posted": 3, "dead": 3}
    assert reasons(cluster) == ["bad_key"] * 3
    assert audit(cluster, ledger) == (3, 3)


def test_a_topic_that_takes_little_gets_little(kafka: KafkaBroker, ledger: str) -> None:
    """What its outbox could not take is not posted; short events are, many in a transaction."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    configure(cluster, "posted", max__message__bytes=20_000)
    events = [one(number) for number in range(300)]
    cluster.produce("pay", events)
    assert cluster.drain("a") == {"posted": 300}
    configure(cluster, "posted", max__message__bytes=SMALL_BYTES)
    cluster.produce("pay", [one(number) for number in range(300, 310)])
    assert cluster.drain("a") == {"dead": 10}
    assert reasons(cluster) == ["too_large"] * 10
    assert audit(cluster, ledger) == (300, 300)


def test_a_topic_too_small_for_dead_letters_is_told_at_the_start(
    kafka: KafkaBroker, ledger: str
) -> None:
    """Before anything is read."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    configure(cluster, "dead", max__message__bytes=LEAST_BYTES)
    process = cluster.start("a", "run", "--drain", "--json")
    _, said = process.communicate(timeout=300)
    assert process.returncode == UsageError.exit_code
    assert f"{cluster.topic('dead')} takes records of".encode() in said


def test_a_topic_that_shrinks_under_the_worker_shows(kafka: KafkaBroker, ledger: str) -> None:
    """It is not ready and says why; when the topic takes them again, everything is announced."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    worker = Running(cluster, "a")
    try:
        worker.is_ready()
        configure(cluster, "posted", max__message__bytes=300)
        cluster.produce("pay", [one(1)])
        worker.is_ready(ready=False)
        found = worker.until(lambda: worker.probe("/readyz")[1]["stuck"])
        assert "aborted" in found
        assert worker.told("transactions_stuck")["aborts"] >= 3
        assert worker.probe("/livez")[0] == 200
        configure(cluster, "posted", max__message__bytes=1_000_000)
        worker.is_ready()
        assert worker.terminate() == 0
    finally:
        worker.kill()
    assert audit(cluster, ledger) == (1, 1)


def test_letters_of_any_time_and_any_header_are_written(kafka: KafkaBroker, ledger: str) -> None:
    """Where the inputs take a time that the topic of dead letters refuses, the broker's stands."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    configure(cluster, "pay", message__timestamp__after__max__ms=10**14)
    producer = RawProducer(kafka.bootstrap_servers)
    topic = cluster.topic("pay")
    deadline = time.monotonic() + SECONDS_MAX
    while not any(ends(kafka.bootstrap_servers, topic).values()):
        assert time.monotonic() < deadline, "the topic takes no time in the future"
        producer.produce(topic, b"no event", key=b"future", timestamp_ms=FUTURE_MS)
        producer.flush()
    producer.produce(topic, b"no event", key=b"now")
    producer.produce(topic, json.dumps(one(1)).encode(), headers=[(b"a", b"1"), (b"\xff", b"2")])
    producer.produce(topic, json.dumps(one(2)).encode(), timestamp_ms=FUTURE_MS)
    producer.flush()
    producer.close()
    assert cluster.drain("a") == {"posted": 1, "dead": 3}
    assert reasons(cluster) == ["undecodable"] * 3
    letters = {letter.key(): letter for letter in cluster.read("dead")}
    future = headers(letters[b"future"])
    assert future["ledger_worker.left_out"] == "timestamp"
    assert future["ledger_worker.timestamp_ms"] == str(FUTURE_MS)
    assert "ledger_worker.left_out" not in headers(letters[b"now"])
    assert headers(letters[None])["ledger_worker.left_out"] == "headers"
    assert headers(letters[None])["a"] == "1"
    assert audit(cluster, ledger) == (1, 1)
    sent = cluster.command("a", "redrive", "--from", "dead", "--where", "true", "--reason", "r",
                           "--operator", "o", "--json")  # fmt: skip
    assert json.loads(sent)["redriven"] == 3
    assert cluster.drain("a") == {"posted": 1, "dead": 2}
    assert len(read_ledger(ledger)[1]) == 2


def test_a_record_as_large_as_its_topic_takes_is_redriven(kafka: KafkaBroker, ledger: str) -> None:
    """Without the headers that say who sends it again, which would be too much."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    producer = RawProducer(kafka.bootstrap_servers)
    producer.produce(cluster.topic("pay"), b"x" * LEAST_BYTES)
    producer.flush()
    producer.close()
    assert cluster.drain("a") == {"dead": 1}
    configure(cluster, "pay", max__message__bytes=LEAST_BYTES + 100)
    sent = cluster.command("a", "redrive", "--from", "dead", "--where", "true", "--reason", "r" * 9,
                           "--operator", "o", "--json")  # fmt: skip
    assert json.loads(sent)["redriven"] == 1
    assert [len(record.value() or b"") for record in cluster.read("pay")] == [LEAST_BYTES] * 2
    assert cluster.drain("a") == {"dead": 1}
