"""Declared topics: what the file says, what a plan changes, what it refuses, what Strimzi gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.commands.cli import main
from worker.config.sections import ROLE_TOPICS
from worker.config.settings import load_settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.kafka.topics.apply import open_topic_admin
from worker.kafka.topics.declared import (
    PACKAGED,
    Grant,
    TopicsFile,
    TopicSpec,
    load_topics,
    require_declared,
)
from worker.kafka.topics.plan import BrokerTopic, plan_topics
from worker.kafka.topics.strimzi import render

YEARS_7_MS = str(7 * 366 * 24 * 3_600_000)

FILE = """\
version: 1
topics:
  in: {about: the input, partitions: 4, retention: 7y, record_bytes_max: 1048576}
users:
  reader: {about: who reads, reads: [in], groups: [books]}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "topics.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def one_topic(**changes: Any) -> TopicsFile:
    """The file above with one topic, changed."""
    topic: dict[str, Any] = {
        "name": "in",
        "about": "the input",
        "partitions": 4,
        "replication": 3,
        "config": {"retention.ms": "1000", "cleanup.policy": "delete", "min.insync.replicas": "2"},
    }
    return TopicsFile((TopicSpec(**(topic | changes)),), (), {})


def test_the_packaged_file_declares_every_topic_of_the_default_settings() -> None:
    """What a worker with default settings reads and writes is declared."""
    require_declared(load_settings(), load_topics(), PACKAGED)
    assert set(ROLE_TOPICS.values()) <= {one.name for one in load_topics().topics}


def test_the_archive_is_kept_for_seven_years() -> None:
    """Inputs and announcements that are final are kept for seven years, in sync on two brokers."""
    kept = {one.name: one.config for one in load_topics().topics if ".parked." not in one.name}
    places = kept.pop("ledger.feed")
    assert (places["cleanup.policy"], places["min.insync.replicas"]) == ("compact", "2")
    assert set(kept) == {
        "stripe.payments",
        "stripe.settlements",
        "wallet.commands",
        "wallet.treasury",
        "ledger.journal",
        "ledger.transfers.posted",
        "ledger.events.rejected",
        "ledger.events.dead",
    }
    for config in kept.values():
        assert config["retention.ms"] == YEARS_7_MS
        assert config["cleanup.policy"] == "delete"
        assert config["min.insync.replicas"] == "2"


def test_dead_letters_fit_where_their_records_came_from() -> None:
    """Dead and parked topics take larger records than any input: headers are added."""
    sizes = {one.name: int(one.config["max.message.bytes"]) for one in load_topics().topics}
    largest_input = max(sizes[name] for name in load_settings().topics.inputs.values())
    carriers = [
        name for name in sizes if name.startswith(("ledger.events.dead", "ledger.events.p"))
    ]
    assert len(carriers) > 2
    assert min(sizes[name] for name in carriers) > largest_input


def test_who_commands_wallets_cannot_say_that_money_came_in() -> None:
    """No user that writes wallet commands from outside may write Stripe's topics."""
    writers: dict[str, set[str]] = {}
    for grant in load_topics().grants:
        if grant.operation == "write" and grant.resource == "topic":
            writers.setdefault(grant.user, set()).add(grant.name)
    assert writers["wallet-app"] == {"wallet.commands"}
    assert writers["wallet-treasury"] == {"wallet.treasury"}
    assert writers["bookkeeping"] == {"ledger.journal"}
    assert writers["stripe-feed"] == {"ledger.feed", "stripe.payments", "stripe.settlements"}
    assert not writers["ledger-worker"] & set(ROLE_TOPICS.values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("partitions: 4", "partitions: 0"),        "topics.in.partitions: must be greater"),
        (("partitions: 4", "partitons: 4"),         "unknown key topics.in.partitons"),
        (("retention: 7y", "retention: 7"),         "topics.in.retention: must be hours, days"),
        (("retention: 7y", "retention: 0d"),        "topics.in.retention: must be hours, days"),
        (("reads: [in]", "reads: [out]"),           "users.reader: topic out is not declared"),
        (("  in:", "  'in out':"),                  "must be a Kafka topic name"),
        (("version: 1", "version: 2"),              "version: must be 1"),
        (("version: 1", "version: ["),              ":3 is not YAML"),
        (("7y,", "7y, in_sync_min: 4,"),            "topics.in: in_sync_min 4 of 3 copies"),
        (("7y,", "7y, config: {retention.ms: 1},"), "retention.ms has a key of its own"),
    ],
)  # fmt: skip
def test_a_file_is_understood_whole_or_refused(
    change: tuple[str, str], says: str, tmp_path: Path
) -> None:
    """A mistake in the file is one sentence with the file and the key."""
    path = written(tmp_path, FILE.replace(*change))
    with pytest.raises(UsageError) as refused:
        load_topics(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_number_makes_topics_and_may_not_make_one_twice(tmp_path: Path) -> None:
    """A numbered topic is as many; one that is also declared by name is refused."""
    numbered = FILE.replace("7y,", "7y, numbered: 3,")
    assert [one.name for one in load_topics(written(tmp_path, numbered)).topics] == [
        "in.1",
        "in.2",
        "in.3",
    ]
    twice = numbered.replace("users:", "  in.2: {about: a, partitions: 1, retention: 1d,"
                                       " record_bytes_max: 1024}\nusers:")  # fmt: skip
    with pytest.raises(UsageError, match=r"in\.2 is declared twice"):
        load_topics(written(tmp_path, twice))


def test_fewer_brokers_cap_the_in_sync_minimum(tmp_path: Path) -> None:
    """With one replica a topic does not ask for two in sync, which nobody could write to."""
    topic = load_topics(written(tmp_path, FILE), replication=1).topics[0]
    assert (topic.replication, topic.config["min.insync.replicas"]) == (1, "1")


HAS = {"retention.ms": "1000", "cleanup.policy": "delete", "min.insync.replicas": "2"}

OK, UPDATE, REFUSED = "", "update", "refused"

PLANS: list[tuple[dict[str, Any], dict[str, str], int, int, str]] = [
    # declared otherwise, the broker's settings, partitions and copies, what the plan says
    ({},                               {},                              4, 3, OK),
    ({"partitions": 8},                {},                              4, 3, UPDATE),
    ({"partitions": 2},                {},                              4, 3, REFUSED),
    ({},                               {},                              4, 2, REFUSED),
    ({},                               {"retention.ms": "10"},          4, 3, UPDATE),
    ({},                               {"retention.ms": "2000"},        4, 3, REFUSED),
    ({},                               {"retention.ms": "-1"},          4, 3, REFUSED),
    ({"retention.ms": "-1"},           {},                              4, 3, UPDATE),
    ({"retention.bytes": "9"},         {"retention.bytes": "-1"},       4, 3, REFUSED),
    ({},                               {"min.insync.replicas": "3"},    4, 3, REFUSED),
    ({},                               {"min.insync.replicas": "1"},    4, 3, UPDATE),
    ({},                               {"cleanup.policy": "compact"},   4, 3, REFUSED),
    ({"cleanup.policy": "compact"},    {},                              4, 3, REFUSED),
    ({"cleanup.policy": "compact,delete"}, {},                          4, 3, REFUSED),
    ({"unclean.leader.election.enable": "true"}, {},                    4, 3, REFUSED),
    ({},                               {"segment.ms": "5"},             4, 3, OK),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "config", "partitions", "replication", "word"), PLANS)
def test_plans(
    changes: dict[str, Any],
    config: dict[str, str],
    partitions: int,
    replication: int,
    word: str,
) -> None:
    """Each difference is planned, or refused when it would lose records or their safety."""
    asked = {key: value for key, value in changes.items() if "." in key}
    shape = {key: value for key, value in changes.items() if "." not in key}
    found = {"in": BrokerTopic(partitions, replication, HAS | config)}
    plan = plan_topics(one_topic(**shape, config=HAS | asked), found, set())
    assert [said for said, _ in plan.lines()] == ([word] if word else [])
    assert plan.differs == bool(word)


def test_what_is_missing_is_made_and_what_is_more_is_left() -> None:
    """A missing topic is created; topics and grants that nobody declared are not looked at."""
    asked = Grant("reader", "read", "topic", "in", prefixed=False)
    more = Grant("reader", "write", "topic", "in", prefixed=False)
    declared = TopicsFile(one_topic().topics, (asked,), {"reader": "who reads"})
    plan = plan_topics(declared, {}, {more})
    assert [topic.name for topic in plan.create] == ["in"]
    assert plan.grant == (asked,)
    done = plan_topics(declared, {"in": BrokerTopic(4, 3, HAS)}, {asked, more})
    assert not done.differs


def test_strimzi_gets_the_same_topics_and_grants() -> None:
    """Every declared topic is a KafkaTopic, every user a KafkaUser with just its grants."""
    declared = load_topics()
    text = render(declared, cluster="books", namespace="money", authentication="tls")
    resources = list(yaml.safe_load_all(text))
    topics = [one for one in resources if one["kind"] == "KafkaTopic"]
    assert [one["spec"]["topicName"] for one in topics] == [one.name for one in declared.topics]
    for resource, topic in zip(topics, declared.topics, strict=True):
        assert resource["metadata"]["labels"] == {"strimzi.io/cluster": "books"}
        assert resource["metadata"]["namespace"] == "money"
        assert resource["spec"]["partitions"] == topic.partitions
        assert resource["spec"]["replicas"] == topic.replication
        assert resource["spec"]["config"] == topic.config
    users = {one["metadata"]["name"]: one for one in resources if one["kind"] == "KafkaUser"}
    assert set(users) == set(declared.users)
    assert users["wallet-app"]["spec"]["authorization"]["acls"] == [
        {
            "type": "allow",
            "resource": {"type": "topic", "name": "wallet.commands", "patternType": "literal"},
            "operations": ["Write"],
        }
    ]
    worker = users["ledger-worker"]["spec"]["authorization"]["acls"]
    parked = [one for one in worker if one["resource"]["name"] == "ledger.events.parked.1"]
    assert [one["operations"] for one in parked] == [["Read", "Write"]]


@pytest.fixture(name="embedded")
def _embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    broker = EmbeddedBroker()
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    yield
    del broker


@pytest.mark.usefixtures("embedded")
def test_plan_on_an_empty_broker_prints_everything_and_ends_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`topics plan` says what would be created, and that grants were not compared."""
    assert main(["topics", "plan", "--topics-only", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    created = [one["what"] for one in told["changes"] if one["do"] == "create"]
    assert len(created) == len(load_topics().topics) == len(told["changes"])
    assert told["acls_compared"] is False
    assert told["applied"] is False


@pytest.mark.usefixtures("embedded")
def test_a_cluster_that_cannot_create_topics_is_one_sentence() -> None:
    """A cluster that takes no topics in time is an error that says what was being done."""
    admin = open_topic_admin(load_settings(), call_seconds=0.2)
    wanted = load_topics(replication=1)
    plan = plan_topics(wanted, admin.topics([topic.name for topic in wanted.topics]), None)
    with pytest.raises(DependencyUnavailable, match="while creating topics") as raised:
        admin.apply(plan)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("embedded")
def test_fewer_brokers_than_replicas_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    """`topics apply` on one broker ends with 3, and says which option makes it work."""
    assert main(["topics", "apply", "--topics-only", "--replication", "2"]) == 3
    said = capsys.readouterr().err
    assert "2 replicas of each topic are declared, and the cluster has 1 broker:" in said
    assert "give --replication 1, or start more brokers" in said
    assert said.count("\n") == 1


def test_render_prints_resources_and_needs_no_broker(capsys: pytest.CaptureFixture[str]) -> None:
    """`topics render` writes YAML that a cluster takes, without looking at any broker."""
    assert main(["topics", "render", "--cluster", "books"]) == 0
    kinds = {one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)}
    assert kinds == {"KafkaTopic", "KafkaUser"}


def test_a_topic_in_use_that_is_not_declared_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that name another topic than the file stop the command and say which."""
    monkeypatch.setenv("LEDGER_WORKER_TOPICS__OUTBOX", "elsewhere")
    assert main(["topics", "plan"]) == 2
    assert "outbox is elsewhere" in capsys.readouterr().err
