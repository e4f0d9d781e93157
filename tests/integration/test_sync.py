"""The balance cache as people run it: real Kafka, real TigerBeetle, real PostgreSQL."""

from __future__ import annotations

import json
import signal
import time
import uuid

import psycopg
import pytest

from tests.integration.cluster import Cluster, finish, read_ledger
from tests.servers.kafka import KafkaBroker, create_topics
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.account_ids import AccountRefs
from worker.core.ports import Commit
from worker.core.wire import Account
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.rulebooks.load import load

EVENTS = 800
SETTLE_SECONDS_MAX = 120
SOON_MISSED = {"LEDGER_WORKER_KAFKA__CLIENT": '{"session.timeout.ms": 6000}'}


def wallets(ledger: str) -> dict[tuple[str, int], int]:
    """Credits minus debits of each customer's wallet by ledger, read by the official client."""
    name_account = AccountRefs(load(PACKAGED_RULEBOOK).accounts.values())
    accounts, _ = read_ledger(ledger)
    found = {}
    for one in accounts:
        data = {f"user_data_{bits}": getattr(one, f"user_data_{bits}") for bits in (128, 64, 32)}
        name = name_account.name_account(Account(one.id, code=one.code, ledger=one.ledger, **data))
        if name.name == "customer_wallet":
            found[name.key, one.ledger] = one.credits_posted - one.debits_posted
    return found


def cached(dsn: str) -> dict[tuple[str, int], int]:
    numbers = {name: one.ledger for name, one in load(PACKAGED_RULEBOOK).ledgers.items()}
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT id, currency, balance_cache FROM customers").fetchall()
    return {(key, numbers[currency]): int(balance) for key, currency, balance in rows}


@pytest.mark.kafka
@pytest.mark.tigerbeetle
@pytest.mark.postgres
def test_the_cache_follows_the_worker_through_a_crash(
    kafka: KafkaBroker, ledger: str, database: str
) -> None:
    """Of two followers one is killed: in the end it is the ledger's money, also read anew."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=4)
    cluster.extra["LEDGER_WORKER_SYNC__DSN"] = database
    cluster.command("x", "generate", "--events", str(EVENTS), "--seed", "6", "--to", "kafka")
    assert wallets(ledger) == {}
    created = json.loads(cluster.command("g", "sync", "--drain", "--create", "--json"))
    assert (created["records"], len(created["made"])) == (0, 3)
    followers = [cluster.start("g", "sync", "--json", **SOON_MISSED) for _ in range(2)]
    assert cluster.drain("g")["posted"] > EVENTS // 2
    followers[0].kill()
    followers[0].communicate()
    followers[1].send_signal(signal.SIGTERM)
    finish(followers[1])
    rest = json.loads(cluster.command("g", "sync", "--drain", "--json"))
    assert cached(database) == wallets(ledger)
    again = json.loads(
        finish(cluster.start("g", "sync", "--drain", "--json", LEDGER_WORKER_SYNC__GROUP_ID="new"))
    )
    assert (again["records"], again["set_aside"]) == (len(cluster.posted()), 0)
    assert cached(database) == wallets(ledger)
    assert (rest["unreadable"], rest["unnamed"]) == (0, 0)


@pytest.mark.kafka
def test_offsets_that_a_changing_group_refuses_are_not_lost(kafka: KafkaBroker) -> None:
    """Who is not counted in yet is told no, and taken once the group has settled."""
    topic = f"t{uuid.uuid4().hex[:8]}"
    create_topics(kafka.bootstrap_servers, {topic: 2})
    first = member_of(kafka, topic)
    held = {first: 0}
    poll_until(held, {first: 2})
    second = member_of(kafka, topic)
    held[second] = 0
    assert second.try_commit([Commit(topic, 0, 0, "")]) is False
    poll_until(held, {first: 1, second: 1})
    assert second.try_commit([Commit(topic, 0, 0, "")]) is True
    assert first.try_commit([Commit(topic, 1, 0, "")]) is True
    for member in held:
        member.close()


def member_of(kafka: KafkaBroker, topic: str) -> Consumer:
    return Consumer(KafkaConnection(kafka.bootstrap_servers), group=topic, topics=[topic])


def poll_until(held: dict[Consumer, int], wanted: dict[Consumer, int]) -> None:
    """Poll those members until each holds so many partitions."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while any(held[member] != count for member, count in wanted.items()):
        assert time.monotonic() < deadline, held.values()
        for member in wanted:
            polled = member.poll(records_max=1, timeout_seconds=0.05)
            held[member] += len(polled.gained) - len(polled.lost)
