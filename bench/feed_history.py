"""`python -m bench.feed_history [OBJECTS]`: a backfill over HTTP beside a plain loop of list calls.

A server of its own process pages balance transactions with their sources, and refuses more than
Stripe allows a live key (100 reads a second). The backfill writes them to a real broker; the loop
is what Stripe's package gives, which only reads them. Each is a process of its own, one after the
other: seconds, CPU an object, and the memory at each tenth of the way.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import stripe

from tests.servers.kafka import create_topics, kafka_broker
from worker.config.feed_section import FeedSettings
from worker.config.settings import Settings
from worker.jobs.feed.backfill import Backfill, BackfillPlan
from worker.jobs.feed.feed_topics import KafkaFeedTopics
from worker.jobs.feed.stripe_lists import StripeLists
from worker.jobs.generate import stripe_objects as shapes
from worker.jobs.live.gc_tuning import tune_gc
from worker.kafka.connection import KafkaConnection
from worker.kafka.job_offsets import JobOffsets
from worker.kafka.producer import TransactionalProducer
from worker.kafka.topic_reader import TopicReader
from worker.observe.feed_metrics import FeedMetrics

OBJECTS = 1_000_000
READS_PER_SECOND = 100
"""Stripe's limit for a live key."""

PAGE = 100
PER_SECOND = 10
"""Objects that Stripe dates to one second."""

START = 1_704_067_200
KEY = "rk_live_of_the_bench"
LOOP_OBJECTS_MAX = 10_000
"""The loop takes as long for each however many there are."""

TENTHS = 10
PARALLEL = 4


def main() -> None:
    """Both, against the same server."""
    objects = int(sys.argv[1]) if len(sys.argv) > 1 else OBJECTS
    with (
        tempfile.TemporaryDirectory() as folder,
        kafka_broker(Path(folder)) as broker,
        _stripe(objects) as url,
    ):
        load = os.getloadavg()[0]
        feed = _measured(partial(_backfill, url, broker.bootstrap_servers, objects))
        loop = _measured(partial(_loop, url, min(objects, LOOP_OBJECTS_MAX)))
    each = feed["cpu_us_each"] / loop["cpu_us_each"]
    whole = {"load": round(load, 1), "feed": feed, "loop": loop, "cpu_to_loop": round(each, 2)}
    print(json.dumps(whole, indent=2))


# The server


def _stripe_process(objects: int, ready: Connection) -> None:
    handler = type("Handler", (_Handler,), {"objects": objects, "template": _template()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    ready.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def _stripe(objects: int) -> Iterator[str]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_stripe_process, args=(objects, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def _template() -> str:
    """A balance transaction with its charge, as text with its number and its second left open."""
    charge = shapes.charge(
        charge_id="ch_NUMBER", payment_intent="pi_NUMBER", customer="cus_1", amount=900,
        amount_captured=900, currency="usd", created=START,
    )  # fmt: skip
    settled = shapes.balance_transaction(
        txn_id="txn_NUMBER", category="charge", kind="charge", amount=900,
        fees=[("stripe_fee", 56)], currency="usd", created=START, source=charge["id"],
    )  # fmt: skip
    text = json.dumps({**settled, "source": charge}).replace("%", "%%")
    return text.replace(str(START), "%(second)d").replace("NUMBER", "%(number)d")


class _Handler(BaseHTTPRequestHandler):
    objects = 0
    template = ""
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    lock = threading.Lock()
    allowed = float(READS_PER_SECOND)
    counted_at = 0.0

    def do_GET(self) -> None:
        if not self._allow():
            self._send(429, b'{"error": {"type": "rate_limit"}}')
            return
        target = urlsplit(self.path)
        if target.path != "/v1/balance_transactions":
            self._send(200, b'{"object": "list", "data": [], "has_more": false}')
            return
        query = {key: values[-1] for key, values in parse_qs(target.query).items()}
        first = self._number(query.get("created[gte]", str(START)))
        end = self._number(query["created[lt]"]) if "created[lt]" in query else self.objects
        end = min(end, self.objects)
        if "starting_after" in query:
            end = min(end, int(query["starting_after"].removeprefix("txn_")))
        least = max(end - int(query.get("limit", 10)), first)
        page = ",".join(
            self.template % {"number": number, "second": START + number // PER_SECOND}
            for number in range(end - 1, least - 1, -1)
        )
        more = "true" if least > first else "false"
        head = f'"object": "list", "url": "{target.path}", "has_more": {more}'
        self._send(200, f'{{{head}, "data": [{page}]}}'.encode())

    @staticmethod
    def _number(second: str) -> int:
        return max(int(second) - START, 0) * PER_SECOND

    def _allow(self) -> bool:
        kind = type(self)
        with kind.lock:
            now = time.monotonic()
            kind.allowed = min(
                READS_PER_SECOND, kind.allowed + (now - kind.counted_at) * READS_PER_SECOND
            )
            kind.counted_at = now
            if kind.allowed < 1:
                return False
            kind.allowed -= 1
            return True

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's name
        """Nothing."""


# The contenders

Step = Callable[[float], None]
"""Called with the share of the way that is behind."""


def _measured(work: Callable[[Step], int]) -> dict[str, Any]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_measure, args=(work, there))
    process.start()
    there.close()
    found: dict[str, Any] = here.recv()
    process.join()
    return found


def _measure(work: Callable[[Step], int], answer: Connection) -> None:
    memory: dict[int, int] = {}

    def step(share: float) -> None:
        memory.setdefault(int(share * TENTHS), _rss_mb())

    used, began = _cpu(), time.perf_counter()
    count = work(step)
    seconds, used = time.perf_counter() - began, _cpu() - used
    answer.send(
        {
            "objects": count,
            "seconds": round(seconds, 1),
            "objects_per_second": round(count / seconds),
            "cpu_us_each": round(used / count * 1e6, 1),
            "rss_mb_by_tenth": [memory[tenth] for tenth in sorted(memory)],
        }
    )


def _cpu() -> float:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def _rss_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // (1 << 20)


def _backfill(url: str, servers: str, objects: int, step: Step) -> int:
    prefix = uuid.uuid4().hex[:8]
    topics = {name: f"{prefix}.{name}" for name in ("pay", "settle", "feed")}
    create_topics(servers, {topics["pay"]: 4, topics["settle"]: 4, topics["feed"]: 1})
    connection = KafkaConnection(servers, Settings().kafka.client)
    end = START + -(-objects // PER_SECOND)
    plan = BackfillPlan(
        payments=topics["pay"], settlements=topics["settle"], checkpoints=topics["feed"],
        name=prefix, start=START, end=end, overlap=0, parallel=PARALLEL // 2,
    )  # fmt: skip
    producer = TransactionalProducer(connection, transactional_id=prefix)
    with ThreadPoolExecutor(PARALLEL) as executor:
        stored = KafkaFeedTopics(
            TopicReader(connection), producer, JobOffsets(connection, prefix),
            checkpoint_topic=topics["feed"],
        )  # fmt: skip
        lists = StripeLists(FeedSettings(api_key=KEY, api_base=url), FeedMetrics())
        run = Backfill(plan, lists, stored, executor)
        run.step = lambda second: step((second - START) / (end - START))
        with tune_gc():  # as the command does
            run.run()
        stored.close()
    return sum(run.written.values())


def _loop(url: str, objects: int, step: Step) -> int:
    """What Stripe's package gives: every page after the other, every object as one of its own."""
    client = stripe.StripeClient(KEY, base_addresses={"api": url}, max_network_retries=100)
    settled = client.v1.balance_transactions.list({"limit": PAGE, "expand": ["data.source"]})
    count = 0
    for count, _ in enumerate(settled.auto_paging_iter(), 1):
        if count % PAGE == 0:
            step(count / objects)
        if count == objects:
            break
    return count


if __name__ == "__main__":
    main()
