"""Redrive, replay and announcing again, as people run them: real Kafka, real TigerBeetle."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Cluster, audit, read_ledger
from tests.servers.kafka import KafkaBroker, create_topics
from tests.servers.tigerbeetle import tigerbeetle
from worker.ledger.embedded import EmbeddedLedger

EVENTS = 400
CREATED = 1_760_000_000

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]


def event(number: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, "created": CREATED, "data": {"object": fields}}


def charge(number: str, customer: str, amount: int) -> dict[str, Any]:
    told = {"id": f"ch_{number}", "created": CREATED, "amount": amount, "currency": "usd"}
    told |= {"customer": customer, "paid": True, "captured": True, "status": "succeeded"}
    return event(number, "charge.succeeded", **told)


def test_a_rejection_is_redriven_and_posted_once(kafka: KafkaBroker, ledger: str) -> None:
    """Refused for too little money, it is posted as attempt 1; the same redrive adds nothing."""
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    told = {"id": "p_1", "from": "cus_a", "to": "cus_b", "amount": 50, "currency": "usd"}
    cluster.produce("cmd", [event("evt_p", "wallet.p2p", **told)])
    assert cluster.drain("g") == Counter(rejected=1)
    cluster.produce("pay", [charge("evt_c", "cus_a", 100)])
    assert cluster.drain("g") == Counter(posted=1)
    command = ["redrive", "--from", "rejected", "--where", "event_id=evt_p", "--new-attempt"]
    command += ["--reason", "funded", "--operator", "ann", "--json"]
    assert json.loads(cluster.command("g", *command))["redriven"] == 1
    assert json.loads(cluster.command("g", *command))["read"] == 0
    assert cluster.drain("g") == Counter(posted=1)
    posted = [one for one in cluster.posted() if one["event_id"] == "evt_p"]
    assert {one["attempt"] for one in posted} == {1}
    audit(cluster, ledger)


def test_a_lost_ledger_is_rebuilt_from_the_outbox(
    kafka: KafkaBroker, ledger: str, tmp_path: Path
) -> None:
    """On a server of its own it equals the lost one, from topics that were written side by side."""
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    arguments = ["--events", str(EVENTS), "--seed", "5", "--to", "kafka", "--json"]
    cluster.command("x", "generate", *arguments)
    cluster.drain("g", format_="avro")
    (tmp_path / "second").mkdir()
    with tigerbeetle(development=True, data_dir=tmp_path / "second") as second:
        cluster.ledger_addresses = second.address
        asked = ["replay", "--rebuild", "--verify-against", ledger, "--json"]
        done = json.loads(cluster.command("g", *asked))
        assert done["transfers"] == len(cluster.read("posted")) > EVENTS // 2
        assert done["verified"]["transfers"] == done["transfers"]
        assert done["verified"]["differences"] == 0
        assert json.loads(cluster.command("g", "replay", "--json"))["total"].get("new", 0) == 0


def test_a_lost_ledger_is_posted_again_and_announced_from_itself(
    kafka: KafkaBroker, ledger: str, tmp_path: Path
) -> None:
    """What the plan calls new is posted or refused: commands go first, so refusals may differ."""
    cluster = Cluster(kafka.bootstrap_servers, ledger, partitions=1)
    arguments = ["--events", str(EVENTS), "--seed", "4", "--to", "kafka", "--json"]
    cluster.command("x", "generate", *arguments)
    live = cluster.drain("g")
    clean = json.loads(cluster.command("g", "replay", "--json"))
    assert "new" not in clean["total"]
    assert clean["items"] == []
    create_topics(kafka.bootstrap_servers, {cluster.topic("copy"): 1})
    told = json.loads(
        cluster.command(
            "g", "replay", "--announce-only", "--outbox", cluster.topic("copy"), "--json"
        )
    )
    assert told["untold"] == []
    again = [json.loads(one.value() or b"") for one in cluster.read("copy")]
    assert again == sorted(cluster.posted(), key=lambda one: int(one["ledger_timestamp"]))
    before = {f"{one.id:032x}" for one in read_ledger(ledger)[1]}
    empty = tmp_path / "another"
    EmbeddedLedger(path=empty).close()
    cluster.ledger_addresses = f"embedded:{empty}"  # it starts much sooner than a server
    plan = json.loads(cluster.command("g", "replay", "--json"))
    assert plan["total"]["new"] > 0
    done = json.loads(cluster.command("g", "replay", "--apply", "--json"))
    assert done["whole"] is True
    assert sum(done["outcomes"].values()) == sum(live.values()) == EVENTS
    assert done["outcomes"]["posted"] > plan["total"]["new"] // 3
    decided = done["outcomes"]["posted"] + done["outcomes"]["rejected"]
    assert decided >= plan["total"]["new"] - done["outcomes"].get("parked", 0)
    told = Counter(one["transfer_id"] for one in cluster.posted())
    assert set(told) >= before
    assert sum(told[one] == 2 for one in before) > len(before) // 3
    assert max(told.values()) == 2
    resumed = json.loads(cluster.command("g", "replay", "--apply", "--json"))
    assert resumed["outcomes"] == {}
