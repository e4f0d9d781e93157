"""A short campaign with fixed seeds, and that its parts are what they say."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer as ClientConsumer

from tests.chaos.auditor import in_order, plain, read_all
from tests.chaos.campaign import SIGNALS, run
from tests.chaos.membership import Membership
from tests.chaos.plan import (
    AFTER,
    OUTSIDE,
    READER,
    ChaosPlan,
    Fault,
    alone,
    every_fault,
    mix,
    plan_from,
)
from tests.chaos.points import POINTS, Hit, parse
from tests.chaos.proxy import Proxy
from tests.chaos.results import EVIDENCE, ROOT, read, summary
from tests.chaos.servers import HEALS, ON_SERVERS, servers
from tests.integration.cluster import refusals
from tests.servers.kafka import KafkaBroker, create_topics
from tests.servers.served import ServedLedger, served
from worker.core.wire import Account, CreateAccountStatus, Transfer, pack_account
from worker.jobs.archive.records import ArchivedRecord

EVENTS = int(os.environ.get("CHAOS_EVENTS", "400"))
PLAN = ChaosPlan(
    seed=7,
    events=EVENTS,
    workers=2,
    faults=(
        Fault("committing:2:kill"),
        Fault("committing:2:abort"),
        Fault("ledger_deaf", at=0.3, seconds=2),
        Fault("kill", at=0.6),
    ),
)


@pytest.mark.kafka
def test_a_short_campaign(kafka: KafkaBroker, tmp_path: Path) -> None:
    """A kill inside and one outside, an abort and lost answers: every promise holds at the end.

    On TigerBeetle where it is, else on the embedded ledger behind a socket.
    """
    with servers(kafka, tmp_path) as with_:
        found = run(PLAN, with_)
    struck = set(found["struck"])  # type: ignore[call-overload]
    assert {"ledger_deaf", "kill"} <= struck
    # Which worker has how much to do is Kafka's to say: one that idles is not hit inside.
    assert {"committing:2:kill", "committing:2:abort"} & struck


def test_every_fault_has_its_way() -> None:
    """No kind of fault is named that nothing carries out, and each makes a plan."""
    ways = {*ON_SERVERS, *SIGNALS, "add_worker", "wrong_cluster", READER}
    assert set(OUTSIDE) == ways
    assert set(HEALS) < ways
    takes_two = {kind for kind in every_fault() if alone(kind, seed=1, events=10).brokers > 1}
    assert takes_two == {"coordinator_moved", "coordinator_killed"}
    for kind in every_fault():
        plan = alone(kind, seed=1, events=800)
        assert plan.after == (kind,) if kind in AFTER else len(plan.faults) == 2
        for fault in plan.faults:
            if kind not in OUTSIDE:
                assert parse(fault.kind).point in POINTS


def test_a_plan_is_its_text() -> None:
    """A printed plan runs again as it was; a smaller one has one part less."""
    plan = mix(3, events=100, faults=5)
    assert plan == mix(3, events=100, faults=5)
    assert plan_from(plan.text()) == plan
    assert plan != mix(4, events=100, faults=5)
    for smaller in plan.smaller():
        assert len(smaller.faults) + len(smaller.after) < len(plan.faults) + len(plan.after)


def test_a_hit_is_its_text() -> None:
    """What is wrong in a hit is refused where it is read."""
    assert parse(Hit("begun", 3, "kill").text()) == Hit("begun", 3, "kill")
    with pytest.raises(ValueError, match="no such hit"):
        parse("nowhere:1:kill")


def test_the_auditor_sees_disorder() -> None:
    """A later offset of one partition that was posted earlier is found, unless it was parked."""

    def at(offset: int, timestamp: int) -> Transfer:
        return Transfer(
            id=offset,
            debit_account_id=1,
            credit_account_id=2,
            amount=1,
            user_data_64=5 << 40 | offset,
            ledger=1,
            code=1,
            timestamp=timestamp,
        )

    in_order([at(1, 10), at(2, 20)], set())
    in_order([at(1, 30), at(2, 20)], {1})
    with pytest.raises(AssertionError, match="out of order"):
        in_order([at(1, 30), at(2, 20)], set())


def test_the_auditor_counts_refusals() -> None:
    """One record's refusal that is announced twice is found; copies of its event are counted."""

    def refused(topic: str, offset: int, attempt: int = 0) -> ArchivedRecord:
        fields = {"event_id": "evt_1", "attempt": attempt, "topic": topic, "partition": 1}
        value = json.dumps({**fields, "offset": offset}).encode()
        return ArchivedRecord("t.rejected", 0, 0, b"evt_1", value)

    told = [refused("t.cmd", 5), refused("t.cmd", 6), refused("t.cmd", 7, 1)]
    assert refusals(told) == {("evt_1", 0): 2, ("evt_1", 1): 1}
    for replayed in (False, True):
        with pytest.raises(AssertionError, match="refusals of 1 records were announced twice"):
            refusals([*told, refused("t.cmd", 6)], replayed=replayed)
    parked = [refused("t.parked.1", 5)] * 2
    assert refusals(parked, replayed=True) == {("evt_1", 0): 2}
    with pytest.raises(AssertionError, match="announced twice"):
        refusals(parked)


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        ({0: ["a"], 2: ["c"]}, "missed 1 of partition 0"),
        ({0: ["a", "b"]}, "missed 1 of partition 2"),
        ({0: ["b", "a"], 2: ["c"]}, "another order"),
        ({0: ["a", "b"], 1: ["d"], 2: ["c"]}, "nobody told"),
    ],
    ids=["one", "all of a partition", "order", "too many"],
)
def test_the_auditor_sees_what_a_reader_did_not(seen: dict[int, list[str]], wrong: str) -> None:
    """What a reader missed, swapped or made up is found; what it saw whole is well."""
    told = {0: ["a", "b"], 2: ["c"]}
    read_all(told, told)
    with pytest.raises(AssertionError, match=wrong):
        read_all(told, seen)


@pytest.mark.kafka
def test_a_member_that_went_is_seen(kafka: KafkaBroker) -> None:
    """Who stays is well; who leaves and comes back, so that the number is right again, is not."""
    topic = f"t{uuid.uuid4().hex[:8]}"
    create_topics(kafka.bootstrap_servers, {topic: 1})
    member = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic}

    def joined() -> ClientConsumer:
        consumer = ClientConsumer(member)
        consumer.subscribe([topic])
        consumer.poll(0.1)
        return consumer

    first = joined()
    found = Membership(kafka.bootstrap_servers, topic, processes=1, keep_ids=True)
    found.holds()
    first.close()
    second = joined()
    with pytest.raises(AssertionError, match="members changed"):
        found.holds()
    second.close()


def test_notes_are_read_without_their_way() -> None:
    """Lateness and redelivery say nothing of what an event should come to."""
    assert plain("late: charge") == "charge"
    assert plain("redelivery: ignored: customer") == "ignored: customer"


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that gives back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                while chunk := connection.recv(100):
                    connection.sendall(chunk)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_the_proxy_loses_what_it_should(echo: str) -> None:
    """Through a hole nothing comes back; healed, a new connection works."""
    proxy = Proxy(echo)
    proxy.open()
    host, _, port = proxy.address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=30) as wire:
            wire.sendall(b"a")
            assert wire.recv(1) == b"a"
            proxy.mode = "hole"
            wire.sendall(b"b")
            wire.settimeout(0.5)
            with pytest.raises(TimeoutError):
                wire.recv(1)
            proxy.heal()
            wire.settimeout(30)
            assert wire.recv(1) == b""
        with socket.create_connection((host, int(port)), timeout=30) as wire:
            wire.sendall(b"c")
            assert wire.recv(1) == b"c"
    finally:
        proxy.close()


def test_a_served_ledger_waits_for_its_server(tmp_path: Path) -> None:
    """A request that lost its answer is answered once it can be; what was answered stays."""
    row = pack_account(Account(id=7, ledger=840, code=1))
    with served(tmp_path) as server:
        proxy = Proxy(server.address)
        proxy.open()
        ledger = ServedLedger(proxy.address)
        proxy.mode = "deaf"
        threading.Timer(0.5, proxy.heal).start()
        try:
            [made] = ledger.create_accounts(row)
            server.restart()
            proxy.upstream = server.address
            proxy.cut()
            [again] = ledger.create_accounts(row)
            assert [one.id for one in ledger.lookup_accounts([7])] == [7]
        finally:
            ledger.close()
            proxy.close()
    assert (made.status, again.status) == (CreateAccountStatus.CREATED, CreateAccountStatus.EXISTS)
    assert made.timestamp == again.timestamp


def test_results_are_summed_up() -> None:
    """The published table counts strikes and runs of each kind of fault, and failed runs."""
    runs: list[dict[str, Any]] = [
        {
            "name": "kill, 10 events",
            "ledger": "TigerBeetle",
            "verdict": "passed",
            "plan": {"events": 10},
            "struck": ["kill", "kill"],
            "transfers": 12,
        },
        {
            "name": "mix 1, 2 faults, 10 events",
            "ledger": "TigerBeetle",
            "verdict": "failed",
            "plan": {"events": 10},
            "struck": ["begun:3:kill", "kill"],
        },
    ]
    assert summary(runs).splitlines() == [
        "2 runs (2 on TigerBeetle): 1 of one fault, 1 of mixed faults; 1 passed, 1 failed.",
        "20 records: 12 transfers, 0 announced, 0 rejected, 0 dead.",
        "",
        "| fault | struck | in runs |",
        "|---|---|---|",
        "| begun:kill | 1 | 1 |",
        "| kill | 3 | 2 |",
    ]


def test_the_guarantees_show_what_was_printed() -> None:
    """The figures in docs/guarantees.md are the sum of the results file beside it."""
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    assert summary(read(EVIDENCE)) in page
