"""What is gone, or does not answer: one sentence, and never a result that looks clean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.integration.cluster import INPUTS, Cluster
from tests.servers.kafka import KafkaBroker
from worker.commands.cli import main
from worker.ledger.embedded import EmbeddedLedger

pytestmark = pytest.mark.kafka

RECORDS = 9
ANSWER_SECONDS_MAX = 30
RECONCILE = ("reconcile", "--report", "out.html")
PLAN = ("replay",)
REBUILD = ("replay", "--rebuild")


@dataclass(frozen=True)
class BrokenCluster:
    """A cluster to be broken. inputs: one that is, and the outbox."""

    cluster: Cluster
    admin: AdminClient

    def topic(self, name: str) -> str:
        return self.cluster.topic(name)

    def commit(self, offset: int) -> None:
        """As the live group would have."""
        group = self.cluster.environment("g")["LEDGER_WORKER_KAFKA__GROUP_ID"]
        servers = self.cluster.bootstrap_servers
        consumer = ClientConsumer({"bootstrap.servers": servers, "group.id": group})
        places = [ClientPartition(self.topic(name), 0, offset) for name in INPUTS.values()]
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()


@pytest.fixture
def broken(kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BrokenCluster:
    """Topics with some records each, and an empty ledger; the settings name them."""
    EmbeddedLedger(path=tmp_path / "a.ledger").close()
    address = f"embedded:{tmp_path / 'a.ledger'}"
    cluster = Cluster(kafka.bootstrap_servers, address, partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for name in (*INPUTS.values(), "posted"):
        for number in range(RECORDS):
            producer.produce(cluster.topic(name), b"{}", b"k%d" % number, partition=0)
    assert producer.flush(ANSWER_SECONDS_MAX) == 0
    for name, value in cluster.environment("g").items():
        if name.startswith("LEDGER_WORKER_"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    made = BrokenCluster(cluster, AdminClient({"bootstrap.servers": kafka.bootstrap_servers}))
    made.commit(RECORDS)
    return made


def expired(broken: BrokenCluster, name: str = "pay") -> None:
    """Retention has removed the first three."""
    place = ClientPartition(broken.topic(name), 0, 3)
    for answer in broken.admin.delete_records([place]).values():
        answer.result(ANSWER_SECONDS_MAX)


def outbox_expired(broken: BrokenCluster) -> None:
    expired(broken, "posted")


def compacted(broken: BrokenCluster, name: str = "pay") -> None:
    entry = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, broken.topic(name), incremental_configs=[entry])
    for answer in broken.admin.incremental_alter_configs([resource]).values():
        answer.result(ANSWER_SECONDS_MAX)


def outbox_compacted(broken: BrokenCluster) -> None:
    compacted(broken, "posted")


def deleted(broken: BrokenCluster) -> None:
    for answer in broken.admin.delete_topics([broken.topic("settle")]).values():
        answer.result(ANSWER_SECONDS_MAX)


def made_anew(broken: BrokenCluster) -> None:
    """The group has committed more than the topic has."""
    broken.commit(RECORDS + 5)


@pytest.mark.parametrize(
    ("spoil", "command", "said", "code"),
    [
        (expired,          RECONCILE, "offsets 0 to 2 of {pay}/0 are gone", 2),
        (expired,          PLAN,      "offsets 0 to 2 of {pay}/0 are gone", 2),
        (expired,          (*PLAN, "--from", "{pay}/0@1"), "offsets 1 to 2 of {pay}/0 are gone", 2),
        (outbox_expired,   RECONCILE, "offsets 0 to 2 of {posted}/0 are gone", 2),
        (outbox_expired,   REBUILD,   "offsets 0 to 2 of {posted}/0 are gone", 2),
        (compacted,        RECONCILE, "the topic {pay} is compacted", 2),
        (compacted,        PLAN,      "the topic {pay} is compacted", 2),
        (outbox_compacted, REBUILD,   "the topic {posted} is compacted", 2),
        (deleted,          RECONCILE, "the topic {settle} cannot be read", 3),
        (deleted,          PLAN,      "the topic {settle} cannot be read", 3),
        (made_anew,        RECONCILE, "the topic was deleted and made anew", 2),
        (made_anew,        PLAN,      "the topic was deleted and made anew", 2),
    ],
)  # fmt: skip
def test_topics_that_have_lost_records(  # noqa: PLR0913, PLR0917 - a row of the table
    spoil: Callable[[BrokenCluster], None],
    command: tuple[str, ...],
    said: str,
    code: int,
    broken: BrokenCluster,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence that says what is gone, exit 2 or 3, and no report."""
    names = {name: broken.topic(name) for name in ("pay", "settle", "posted")}
    spoil(broken)
    assert main([part.format_map(names) for part in command]) == code
    out, err = capsys.readouterr()
    assert said.format_map(names) in err
    assert (out, err.count("\n")) == ("", 1)
    assert not Path("out.html").exists()


@pytest.mark.parametrize("command", [RECONCILE, PLAN, REBUILD, (*PLAN, "--verify-against", "1")])
@pytest.mark.usefixtures("broken")
def test_a_ledger_that_is_down(
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says so within the deadline, exit 3, also where no event would ask the ledger."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", "127.0.0.1:2")
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__DEADLINE_SECONDS", "1")
    assert main(list(command)) == 3
    out, err = capsys.readouterr()
    assert out == ""
    # TigerBeetle's client says something of its own before.
    assert "did not answer in 1 s" in err.splitlines()[-1]
    assert not Path("out.html").exists()
