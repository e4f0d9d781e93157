"""`python -m bench.feed`: webhooks acknowledged a second, and what a backfill costs an object.

The webhooks are posted by client processes over connections that stay open, with Kafka beside the
endpoint; the CPU is the endpoint's own. The backfill reads lists from memory, because Stripe's rate
limit (100 pages a second) bounds a real one: what counts is whether it keeps up with that.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from typing import Any

from bench.contenders import ROOT
from tests.servers.kafka import KafkaBroker, create_topics, kafka_broker
from worker.config.settings import Settings
from worker.jobs.feed.backfill import Backfill, BackfillPlan
from worker.jobs.feed.facts import Origin
from worker.jobs.feed.feed_topics import KafkaFeedTopics
from worker.jobs.feed.signature import sign
from worker.jobs.feed.slices import Pages
from worker.jobs.generate import stripe_objects as shapes
from worker.kafka.connection import KafkaConnection
from worker.kafka.job_offsets import JobOffsets
from worker.kafka.producer import TransactionalProducer
from worker.kafka.topic_reader import TopicReader

SIGNS = "whsec_of_the_bench"
CLIENTS = 8
POSTS = 1_500
OBJECTS = 50_000
START = 1_767_225_600
PAGE = 100
"""Objects of a page at Stripe."""


def main() -> None:
    """Both, one after the other."""
    with tempfile.TemporaryDirectory() as folder, kafka_broker(Path(folder)) as broker:
        print(json.dumps(webhooks(broker), indent=2))
        print(json.dumps(backfill(broker), indent=2))


def webhooks(broker: KafkaBroker) -> dict[str, float]:
    """Acknowledged a second, seconds of the slow ones, and microseconds of CPU for each."""
    topic = f"pay-{uuid.uuid4().hex[:8]}"
    create_topics(broker.bootstrap_servers, {topic: 4})
    with _endpoint(broker, topic) as (process, port), multiprocessing.Pool(CLIENTS) as clients:
        clients.starmap(_post, [(port, 50)] * CLIENTS)
        cpu = _cpu(process.pid)
        began = time.perf_counter()
        took = sorted(chain(*clients.starmap(_post, [(port, POSTS)] * CLIENTS)))
        seconds = time.perf_counter() - began
        cpu = _cpu(process.pid) - cpu
    return {
        "acknowledged_per_second": round(len(took) / seconds),
        "p50_ms": round(took[len(took) // 2] * 1000, 1),
        "p99_ms": round(took[len(took) * 99 // 100] * 1000, 1),
        "cpu_us_each": round(cpu / len(took) * 1e6),
    }


@contextmanager
def _endpoint(broker: KafkaBroker, topic: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    environment = {
        **os.environ,
        "LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "LEDGER_WORKER_TOPICS__INPUTS": json.dumps({"payments": topic}),
        "LEDGER_WORKER_HTTP__PORT": "0",
        "LEDGER_WORKER_FEED__PORT": "0",
        "LEDGER_WORKER_FEED__WEBHOOK_SECRETS": SIGNS,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "feed", "webhooks"],
        env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process, _port(process)
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        if '"receiving_webhooks"' in line:
            return int(json.loads(line)["port"])
    raise RuntimeError("the endpoint did not start")


def _post(port: int, count: int) -> list[float]:
    """The seconds that each of so many webhooks took, over one connection."""
    about = shapes.charge(
        charge_id="ch_1", payment_intent="pi_1", customer="cus_1", amount=900,
        amount_captured=900, currency="usd", created=START,
    )  # fmt: skip
    event = shapes.envelope(event_id="evt_1", kind="charge.succeeded", created=START, about=about)
    body = json.dumps(event).encode()
    header = sign(body, secret=SIGNS, seconds=int(time.time()))
    client = HTTPConnection("127.0.0.1", port)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        client.request("POST", "/stripe", body, {"Stripe-Signature": header})
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        took.append(time.perf_counter() - began)
    client.close()
    return took


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ListsInMemory:
    """One list: balance transactions with their sources, ten a second of Stripe's time."""

    origin = Origin("2026-10-28.endive", livemode=True)

    def newest(self, name: str, since: int) -> int | None:  # noqa: ARG002 - as Stripe's
        return START + OBJECTS // 10 if name == "balance_transactions" else None

    def read(
        self,
        name: str,  # noqa: ARG002 - there is one list
        since: int,
        until: int | None,
        pages_max: int | None,
    ) -> Pages:
        first = max(since - START, 0) * 10
        end = OBJECTS if until is None else min(max(until - START, 0) * 10, OBJECTS)
        least = end - PAGE * pages_max if pages_max else first
        objects = [self._settled(number) for number in range(end - 1, max(first, least) - 1, -1)]
        return Pages(objects, whole=least <= first)

    def rest_of(self, path: str, known: list[Any]) -> list[Any]:  # noqa: ARG002 - all is there
        return known

    @staticmethod
    def _settled(number: int) -> dict[str, Any]:
        created = START + number // 10
        charge = shapes.charge(
            charge_id=f"ch_{number}", payment_intent=f"pi_{number}", customer="cus_1",
            amount=900, amount_captured=900, currency="usd", created=created,
        )  # fmt: skip
        settled = shapes.balance_transaction(
            txn_id=f"txn_{number}", category="charge", kind="charge", amount=900,
            fees=[("stripe_fee", 56)], currency="usd", created=created, source=charge["id"],
        )  # fmt: skip
        return {**settled, "source": charge}


def backfill(broker: KafkaBroker) -> dict[str, float]:
    """Objects a second into Kafka; Stripe's limit is 10,000."""
    prefix = uuid.uuid4().hex[:8]
    topics = {name: f"{prefix}.{name}" for name in ("pay", "settle", "feed")}
    create_topics(
        broker.bootstrap_servers, {topics["pay"]: 4, topics["settle"]: 4, topics["feed"]: 1}
    )
    connection = KafkaConnection(broker.bootstrap_servers, Settings().kafka.client)
    plan = BackfillPlan(
        payments=topics["pay"], settlements=topics["settle"], checkpoints=topics["feed"],
        name=prefix, start=START, end=START + OBJECTS, overlap=0, parallel=2,
    )  # fmt: skip
    producer = TransactionalProducer(connection, transactional_id=prefix)
    with ThreadPoolExecutor(2) as executor:
        stored = KafkaFeedTopics(
            TopicReader(connection), producer, JobOffsets(connection, prefix),
            checkpoint_topic=topics["feed"],
        )  # fmt: skip
        run = Backfill(plan, ListsInMemory(), stored, executor)
        cpu, began = time.process_time(), time.perf_counter()
        run.run()
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        stored.close()
    count = sum(run.written.values())
    return {
        "objects": count,
        "objects_per_second": round(count / seconds),
        "cpu_us_each": round(used / count * 1e6),
    }


if __name__ == "__main__":
    main()
