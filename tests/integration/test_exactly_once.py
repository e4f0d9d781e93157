"""The worker as its users run it: real Kafka, real TigerBeetle, processes that die."""

from __future__ import annotations

import json
import os

import pytest

from tests.integration.cluster import Cluster, audit, finish, read_ledger, refusals
from tests.servers.kafka import KafkaBroker
from worker.codecs.decode import Decoder
from worker.core.chain import BALANCING, Chain, Leg
from worker.core.event import Event
from worker.core.translate import Translator
from worker.core.wire import Transfer
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.traffic import generate
from worker.rulebooks.load import PACKAGED, load

EVENTS = int(os.environ.get("EXACTLY_ONCE_EVENTS", "1500"))
SEED = 1
KILLS = 3
CREATED = 1_760_000_000

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]


@pytest.fixture
def cluster(kafka: KafkaBroker, ledger: str) -> Cluster:
    """Topics with generated traffic in them."""
    made = Cluster(kafka.bootstrap_servers, ledger)
    made.command(
        "x", "generate", "--events", str(EVENTS), "--seed", str(SEED), "--to", "kafka", "--json"
    )
    return made


def chains() -> dict[str, list[Chain]]:
    """What the rulebook makes of the traffic: the chains of each event id."""
    translator, decoder = Translator(load(PACKAGED)), Decoder()
    found: dict[str, list[Chain]] = {}
    for one in generate(EVENTS, SEED):
        event = decoder.decode(json_value(one))
        chain = translator.translate(event, role=one.role) if isinstance(event, Event) else None
        if isinstance(chain, Chain):
            found.setdefault(chain.event.id, []).append(chain)
    return found


def the_ledger_holds_what_the_rulebook_says(cluster: Cluster, address: str) -> None:
    """Every chain is in the ledger leg by leg, or its event was rejected or is a dead letter."""
    _, transfers = read_ledger(address)
    held = {one.id: one for one in transfers}
    refused = {name for name, _ in refusals(cluster.read("rejected"))}
    kept = [*cluster.read("dead"), *cluster.read("parked.1")]
    dead = {event_id(one.value()) for one in kept}
    asked: set[int] = set()
    for name, made in chains().items():
        for chain in made:
            asked.update(leg.id for leg in chain.legs)
            if chain.legs[0].id not in held:
                assert name in refused | dead, f"{name} came to nothing"
                continue
            for leg in chain.legs:
                holds(held[leg.id], leg)
    assert set(held) <= asked, "transfers that no event explains"


def holds(stored: Transfer, leg: Leg) -> None:
    """A transfer is its leg; an origin's account (a negative id) is the ledger's to say."""
    assert stored.code or leg.debit is None
    if leg.debit is None or leg.credit is None:
        return
    assert leg.debit.id < 0 or leg.debit.id == stored.debit_account_id
    assert leg.credit.id < 0 or leg.credit.id == stored.credit_account_id
    if leg.spec.flags & BALANCING:
        assert stored.amount <= leg.amount
    else:
        assert stored.amount == leg.amount


def event_id(value: bytes | None) -> str:
    """The id of an event that can be read, else nothing."""
    event = Decoder().decode(value)
    return event.id if isinstance(event, Event) else ""


def test_two_processes_share_the_work_and_a_new_group_repeats_none(
    cluster: Cluster, ledger: str
) -> None:
    """Every event has one outcome, and is told once, also when all is read again."""
    outcomes = cluster.drain("a", processes=2)
    assert outcomes.total() == EVENTS
    assert outcomes["posted"] > EVENTS // 3  # commands go first, and may find empty wallets
    assert outcomes["rejected"]
    assert outcomes["dead"]
    assert outcomes["redelivered"]
    audit(cluster, ledger)
    the_ledger_holds_what_the_rulebook_says(cluster, ledger)
    before, announced = read_ledger(ledger), len(cluster.posted())
    refused = refusals(cluster.read("rejected"))
    again = cluster.drain("b")
    assert read_ledger(ledger) == before
    assert len(cluster.posted()) == announced
    assert refusals(cluster.read("rejected")) == refused
    assert again["posted"] == 0
    assert again["redelivered"] >= outcomes["posted"]


def test_kill_nine_changes_nothing(cluster: Cluster, ledger: str) -> None:
    """Processes that die in the middle of their work and start again lose and repeat nothing."""
    cluster.extra["LEDGER_WORKER_BATCH__EVENTS_MAX"] = "20"
    cluster.extra["LEDGER_WORKER_KAFKA__CLIENT"] = json.dumps(
        {"session.timeout.ms": 10_000, "transaction.timeout.ms": 60_000}
    )
    running = [cluster.start("a", "run") for _ in range(2)]
    for kills in range(1, KILLS + 1):
        cluster.wait_until_told(kills * EVENTS // (KILLS + 2))
        victim = running.pop(0)
        victim.kill()
        victim.communicate()
        running.append(cluster.start("a", "run"))
    cluster.drain("a", processes=2)
    for process in running:
        process.terminate()
    for process in running:
        finish(process)
    audit(cluster, ledger)
    the_ledger_holds_what_the_rulebook_says(cluster, ledger)


def command(kind: str, number: int, **content: object) -> dict[str, object]:
    """One wallet command, as the app's backend writes it."""
    created = CREATED + number
    body = {"id": "wd_1", "created": CREATED, "currency": "usd", **content}
    return {"id": f"cmd_{number}", "type": kind, "created": created, "data": {"object": body}}


def test_a_late_predecessor_is_waited_for(kafka: KafkaBroker, ledger: str) -> None:
    """A payment that overtakes its withdrawal waits, also over a crash, and is posted after it."""
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    cluster.extra["LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS"] = "[1, 30]"
    money = {"customer": "cus_1", "amount": 500}
    charge = {"id": "ch_1", "amount": 900, "amount_captured": 900, "paid": True, "captured": True}
    cluster.produce("pay", [command("charge.succeeded", 0, **(charge | {"customer": "cus_1"}))])
    assert cluster.drain("a") == {"posted": 1}
    cluster.produce("treasury", [command("wallet.withdrawal_paid", 2, **money)])
    worker = cluster.start("a", "run")
    cluster.wait_until_told(1, "parked.1")
    worker.kill()
    worker.communicate()
    cluster.produce("cmd", [command("wallet.withdrawal", 1, **money)])
    worker = cluster.start("a", "run")
    cluster.wait_until_told(4 + 3)  # four legs in three transactions
    worker.terminate()
    finish(worker)
    audit(cluster, ledger)
    assert {one["event_id"] for one in cluster.posted()} == {"cmd_0", "cmd_1", "cmd_2"}
    assert not cluster.read("dead")
