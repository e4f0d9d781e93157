"""After an outage the same is refused as without it: real Kafka, real TigerBeetle, a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.integration.cluster import Cluster
from tests.servers.kafka import KafkaBroker

PAIRS = 3000
STEP_MS = 10
UNFUNDED_EVERY, EARLY_EVERY = 50, 70
HOUR_MS = 3_600_000
FLUSH_SECONDS = 60
KILLED_AT = 500
"""Records of the outbox."""

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

Produced = tuple[str, int, dict[str, Any]]
"""A topic's short name, the record's milliseconds, the event."""


def pairs(start_ms: int) -> Iterator[Produced]:
    """Charges, and 10 ms after each a payment of that money; some unfunded, some too early."""
    for number in range(PAIRS):
        at_ms = start_ms + number * STEP_MS
        created = at_ms // 1000
        money = {"amount": 100, "currency": "usd"}
        charge = {"id": f"ch_{number}", "customer": f"cus_{number}", "created": created, **money}
        charge |= {"paid": True, "captured": True, "status": "succeeded"}
        if number % UNFUNDED_EVERY:
            yield "pay", at_ms, event(f"evt_c{number}", "charge.succeeded", created, charge)
        payment = {"id": f"p_{number}", "from": f"cus_{number}", "to": f"cus_x{number}", **money}
        early = number % EARLY_EVERY == 0
        paid_ms = at_ms - STEP_MS if early else at_ms + STEP_MS
        yield "cmd", paid_ms, event(f"evt_p{number}", "wallet.p2p", created, payment)


def event(name: str, kind: str, created: int, content: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "type": kind, "created": created, "data": {"object": content}}


def produce(cluster: Cluster, produced: list[Produced]) -> None:
    """One topic after the other, each in the order of its times."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "linger.ms": 20})
    for name, at_ms, made in sorted(produced, key=lambda one: (one[0] == "pay", one[1])):
        producer.produce(
            cluster.topic(name), json.dumps(made).encode(), made["id"].encode(), timestamp=at_ms
        )
        producer.poll(0)
    assert producer.flush(FLUSH_SECONDS) == 0


def test_what_was_funded_when_it_was_made_is_posted(kafka: KafkaBroker, ledger: str) -> None:
    """An hour after it, by a worker that is killed in the middle and one that goes on.

    What was not funded, or 10 ms too early, is refused, as it would have been then.
    """
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=3)
    cluster.extra["LEDGER_WORKER_KAFKA__CLIENT"] = json.dumps(
        {"session.timeout.ms": 6000, "transaction.timeout.ms": 6000}
    )
    produce(cluster, list(pairs(int(time.time() * 1000) - HOUR_MS)))
    first = cluster.start("g", "run", "--json", LEDGER_WORKER_BATCH__EVENTS_MAX="200")
    cluster.wait_until_told(KILLED_AT)
    first.kill()
    first.communicate()
    cluster.drain("g")
    refused = {json.loads(one.value() or b"")["event_id"] for one in cluster.read("rejected")}
    assert refused == {
        f"evt_p{number}"
        for number in range(PAIRS)
        if not number % UNFUNDED_EVERY or not number % EARLY_EVERY
    }
    charged = {f"evt_c{number}" for number in range(PAIRS) if number % UNFUNDED_EVERY}
    paid = {f"evt_p{number}" for number in range(PAIRS)} - refused
    assert {one["event_id"] for one in cluster.posted()} == charged | paid


def test_of_several_workers_one_catches_up(kafka: KafkaBroker, ledger: str) -> None:
    """Three start together after the outage: what was not funded is refused, and nothing else."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=3)
    cluster.extra["LEDGER_WORKER_BATCH__HAND_OVER_SECONDS"] = "20"
    produce(cluster, list(pairs(int(time.time() * 1000) - HOUR_MS)))
    outcomes = cluster.drain("g", processes=3)
    refused = {
        number for number in range(PAIRS) if not number % UNFUNDED_EVERY or not number % EARLY_EVERY
    }
    assert outcomes["rejected"] == len(refused)
    assert outcomes["posted"] == 2 * PAIRS - len(refused) - PAIRS // UNFUNDED_EVERY
