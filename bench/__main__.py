"""`make bench`: the worker and the straight-line loop on the same topic, in one run, as ratios.

Figures on a shared machine shift with its load; the two take turns, and the ratio of each pair is
what counts. It says which servers it used.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from tests.servers.kafka import create_topics, kafka_broker
from tests.servers.tigerbeetle import CACHE, tigerbeetle
from worker.codecs.avro import encode_event

ROOT = Path(__file__).parents[1]
RUN_SECONDS_MAX = 600
CUSTOMERS = 1000
PARTITIONS = 4
CREATED = 1_760_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """What the rounds of one run share. name: part of every topic, group, account and leg."""

    kafka: str
    ledger: str
    name: str
    events: int
    work: Path

    @property
    def topic(self) -> str:
        """Where the events are."""
        return f"bench-{self.name}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs")
    parser.add_argument(
        "--kafka", metavar="ADDRESS", help="a broker that runs, else one is started"
    )
    parser.add_argument("--ledger", metavar="ADDRESS", help="a TigerBeetle that runs, cluster 0")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = given.kafka or stack.enter_context(kafka_broker(work)).bootstrap_servers
        ledger = (
            given.ledger or stack.enter_context(tigerbeetle(data_dir=work, memory=CACHE)).address
        )
        run = Run(kafka, ledger, uuid.uuid4().hex[:6], given.events, work)
        print(f"real Kafka at {kafka}, real TigerBeetle at {ledger}")
        create_topics(kafka, {run.topic: PARTITIONS})
        fill(kafka, run.topic, events=given.events, seed=given.seed)
        rounds = [one_round(number, run) for number in range(given.rounds)]
    figures = summary(rounds)
    show(figures)
    if given.json:
        given.json.write_text(json.dumps({"rounds": rounds, **figures}, indent=2) + "\n")


def fill(servers: str, topic: str, *, events: int, seed: int) -> None:
    """Seeded charges of two legs each, as framed Avro."""
    rng = random.Random(seed)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50})
    for number in range(events):
        customer = f"cus_{rng.randrange(CUSTOMERS):06d}"
        charge = {
            "id": f"ch_{number:012d}",
            "object": "charge",
            "amount": rng.randrange(100, 100_000),
            "currency": "usd",
            "customer": customer,
            "paid": True,
            "captured": True,
            "created": CREATED + number // 1000,
        }
        event = {
            "id": f"evt_{number:012d}",
            "type": "charge.succeeded",
            "created": CREATED + number // 1000,
            "livemode": False,
            "data": {"object": charge},
        }
        value = encode_event(event, "stripe_payment_event", 1)
        while True:
            try:
                producer.produce(topic, value, customer.encode())
                break
            except BufferError:
                producer.poll(0.5)
    if producer.flush(60):
        raise SystemExit("the broker did not take the events in time")


def rulebook(name: str, work: Path) -> Path:
    """The rules with this round's names of legs, so that every run posts anew."""
    text = (ROOT / "bench" / "rules.yaml").read_text()
    for leg in ("gross", "held"):
        text = text.replace(f"      {leg}:", f"      {leg}_{name}:")
    path = work / f"rules-{name}.yaml"
    path.write_text(text)
    return path


def one_round(number: int, run: Run) -> dict[str, Any]:
    """Both on the whole topic, each with a group, an outbox and ids of its own."""
    name = f"{run.name}_{number}"
    straight, worker = f"straight_{name}", f"worker_{name}"
    outputs = [f"{worker}.rejected", f"{worker}.dead", f"{worker}.out", f"{straight}.out"]
    create_topics(run.kafka, dict.fromkeys(outputs, PARTITIONS))
    arguments = [run.kafka, run.ledger, run.topic, f"{straight}.out", straight, str(run.events)]
    environment = {
        "LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS": run.kafka,
        "LEDGER_WORKER_KAFKA__GROUP_ID": worker,
        "LEDGER_WORKER_LEDGER__ADDRESSES": run.ledger,
        "LEDGER_WORKER_LEDGER__DEADLINE_SECONDS": "120",
        "LEDGER_WORKER_RULEBOOK": str(rulebook(name, run.work)),
        "LEDGER_WORKER_TOPICS__INPUTS": json.dumps({"payments": run.topic}),
        "LEDGER_WORKER_TOPICS__OUTBOX": f"{worker}.out",
        "LEDGER_WORKER_TOPICS__REJECTED": f"{worker}.rejected",
        "LEDGER_WORKER_TOPICS__DEAD": f"{worker}.dead",
        "LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS": "[]",
        "LEDGER_WORKER_OUTBOX__FORMAT": "avro",
        "LEDGER_WORKER_HTTP__PORT": "0",
    }
    first = contend(["bench.straight", *arguments], {})
    second = contend(["bench.drain"], environment)
    return {"straight": first, "worker": second}


def contend(module: list[str], environment: dict[str, str]) -> dict[str, float]:
    """One contender in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *module],
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=RUN_SECONDS_MAX,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    events = figures["events"]
    return {
        "events_per_second": events / figures["seconds"],
        "cpu_us_per_event": figures["cpu"] / events * 1e6,
        "peak_mib": figures["peak_mib"],
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of each contender, and of the ratios pair by pair."""
    figures: dict[str, Any] = {}
    for name in ("straight", "worker"):
        figures[name] = {
            key: statistics.median(one[name][key] for one in rounds) for key in rounds[0][name]
        }
    for key in ("cpu_us_per_event", "events_per_second"):
        figures[f"ratio_{key}"] = statistics.median(
            one["worker"][key] / one["straight"][key] for one in rounds
        )
    return figures


def show(figures: dict[str, Any]) -> None:
    print(f"{'':<16}{'events/s':>10}{'CPU µs/event':>14}{'peak MiB':>10}")
    for name in ("straight", "worker"):
        one = figures[name]
        print(
            f"{name:<16}{one['events_per_second']:>10,.0f}"
            f"{one['cpu_us_per_event']:>14.1f}{one['peak_mib']:>10.0f}"
        )
    cpu, speed = figures["ratio_cpu_us_per_event"], figures["ratio_events_per_second"]
    print(f"worker / straight: CPU {cpu:.2f}, events per second {speed:.2f}")


if __name__ == "__main__":
    main()
