"""One worker's run with every outcome, and the commands of this process beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.cluster import Cluster
from tests.integration.test_runbooks import charges
from tests.servers.kafka import KafkaBroker

CREATED = 1_775_000_000
Told = dict[str, Any]


def run_with_every_outcome(
    kafka: KafkaBroker, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> Cluster:
    """The topics and ledger after it; the settings of this process name them."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    traffic(cluster)
    cluster.settle_in(monkeypatch, "g")
    return cluster


def event(name: str, type_: str, **fields: Any) -> Told:
    return {"id": name, "type": type_, "created": CREATED, "data": {"object": fields}}


def p2p(name: str, amount: int) -> Told:
    money = {"from": "cus_1", "to": "cus_2", "amount": amount, "currency": "usd"}
    return event(name, "wallet.p2p", id=name, **money)


def traffic(cluster: Cluster) -> None:
    """One record for each outcome, after which one is not read yet."""
    charge = charges(1, 1)[0]
    other_money = json.loads(json.dumps(charge)) | {"id": "evt_other"}
    other_money["data"]["object"] |= {"amount": 4_200, "currency": "eur"}
    refund = event(
        "evt_refund",
        "refund.created",
        id="re_1",
        object="refund",
        amount=10,
        currency="usd",
        charge="ch_nowhere",
        created=CREATED,
        status="succeeded",
    )
    settled = event(
        "bt/txn_1",
        "balance_transaction.created",
        id="txn_1",
        amount=1001,
        fee=59,
        net=942,
        fee_details=[{"type": "stripe_fee", "amount": 59, "currency": "usd"}],
        currency="usd",
        source="ch_1",
        reporting_category="charge",
        created=CREATED,
    )
    cluster.produce("pay", [charge])
    cluster.drain("g")
    noise = [event("evt_ignored", "customer.created", id="cus_9"), event("evt_thing", "new.thing")]
    cluster.produce("pay", [charge, other_money, refund, *noise])
    cluster.produce("settle", [settled])
    cluster.produce("cmd", [p2p("cmd_paid", 500), p2p("cmd_poor", 100_000)])
    cluster.drain("g")
    cluster.produce("cmd", [p2p("cmd_new", 1)])
