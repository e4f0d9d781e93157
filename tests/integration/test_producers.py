"""Each producer's record on real servers: booked by its line of the rulebook, read alike by all."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.integration.cluster import Cluster
from tests.servers.kafka import KafkaBroker, create_topics
from tests.servers.tigerbeetle import tigerbeetle
from tests.unit.producers_page import Example, examples, rules_text

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

RECORDS = examples()


def renamed(example: Example, number: int) -> Example:
    """The record as one of another charge and event."""
    value = example.value.replace(b"ch_1", b"ch_%d_" % number)
    value = value.replace(b"evt_1", b"evt_%d_" % number)
    headers = [
        (name, b"evt_%d_" % number if text == b"evt_1" else text) for name, text in example.headers
    ]
    return example._replace(value=value, headers=headers)


def cluster_of(broker: KafkaBroker, ledger: str, rules: Path) -> Cluster:
    """A topic and role for each record, with the page's line for it."""
    cluster = Cluster(broker.bootstrap_servers, ledger, partitions=1)
    topics = {f"r{number}": cluster.topic(f"in{number}") for number in range(len(RECORDS))}
    create_topics(broker.bootstrap_servers, dict.fromkeys(topics.values(), 1))
    lines = [each.line.replace("payments:", f"r{number}:") for number, each in enumerate(RECORDS)]
    rules.write_text(rules_text(*lines))
    cluster.extra |= {
        "LEDGER_WORKER_RULEBOOK": str(rules),
        "LEDGER_WORKER_TOPICS__INPUTS": json.dumps(topics),
    }
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number, example in enumerate(RECORDS):
        mine = renamed(example, number)
        producer.produce(topics[f"r{number}"], mine.value, headers=list(mine.headers))
    assert producer.flush(60) == 0
    return cluster


def test_every_producer_is_booked_and_read_alike(
    kafka: KafkaBroker, ledger: str, tmp_path: Path
) -> None:
    """`run` posts each once; replay, reconcile, explain, trace and a rebuild read the same."""
    cluster = cluster_of(kafka, ledger, tmp_path / "rules.yaml")
    many = len(RECORDS)
    assert cluster.drain("g") == Counter(posted=many)
    assert {one["amount"] for one in cluster.posted()} == {"1250"}
    assert {one["credit_key"] for one in cluster.posted()} == {"cus_ann"}

    plan = json.loads(cluster.command("g", "replay", "--json"))
    assert (plan["total"].get("new", 0), plan["total"].get("dead", 0)) == (0, 0)
    for number in range(0, many, 3):
        position = f"{cluster.topic(f'in{number}')}/0@0"
        told = json.loads(cluster.command("g", "explain", position, "--json"))
        assert (told["outcome"], told["key"]) == ("posts", f"charge/ch_{number}_")
        traced = json.loads(cluster.command("g", "trace", position, "--json"))
        assert [each["outcome"] for each in traced["records"]] == ["posted"]

    (tmp_path / "second").mkdir()
    with tigerbeetle(development=True, data_dir=tmp_path / "second") as second:
        cluster.ledger_addresses = second.address
        asked = ["replay", "--rebuild", "--verify-against", ledger, "--json"]
        done = json.loads(cluster.command("g", *asked))
        assert (done["transfers"], done["verified"]["differences"]) == (many, 0)
