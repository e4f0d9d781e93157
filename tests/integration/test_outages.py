"""Outages on the real servers: one worker lives through all of them and goes on by itself.

The tests share the servers and the worker, and follow each other: each leaves everything well.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import points
from tests.chaos.proxy import Proxy
from tests.integration.cluster import Cluster
from tests.integration.running import Running
from tests.servers.kafka import KafkaBroker
from tests.servers.tigerbeetle import TigerBeetleServer, TigerBeetleUnavailable, tigerbeetle
from worker.jobs.live.run import GRACE_SECONDS

DEADLINE_SECONDS = 5
SESSION_MS = 6_000
POLL_INTERVAL_MS = 10_000
OUTAGE_SECONDS = 12
"""Longer than the session and the poll interval."""

MARGIN_SECONDS = 10
"""Between a deadline and what is seen of it from outside, on a busy machine."""

BACKLOG = 30
BATCH = 5
HANG_SECONDS = 60
SESSIONS = 64
CREATED = 1_760_000_000

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]


@dataclass(slots=True)
class OutageTopics:
    """A cluster's topics, and what was sent to them."""

    cluster: Cluster
    sent: list[str] = field(default_factory=list)

    def send(self, count: int) -> None:
        """So many charges, each to be posted."""
        fresh = [f"{len(self.sent) + number}" for number in range(count)]
        self.cluster.produce("pay", [charge(self.cluster.prefix + number) for number in fresh])
        self.sent += fresh

    def all_posted(self) -> bool:
        """Is every charge announced, once?"""
        told = [one["event_id"] for one in self.cluster.posted()]
        assert len(told) == len(set(told)), "an event was announced twice"
        return len(told) == len(self.sent)

    def nothing_refused(self) -> None:
        """No outage made a dead letter, a rejection, or an event that waits."""
        for name in ("dead", "rejected", "parked.1"):
            assert self.cluster.read(name) == []


def charge(number: str) -> dict[str, Any]:
    about = {
        "id": f"ch_{number}",
        "amount": 900,
        "amount_captured": 900,
        "paid": True,
        "captured": True,
        "currency": "usd",
        "customer": "cus_1",
        "created": CREATED,
    }
    envelope = {"id": f"evt_{number}", "type": "charge.succeeded", "created": CREATED}
    return envelope | {"livemode": False, "data": {"object": about}}


@dataclass(slots=True)
class OutageServers:
    """The servers, the worker that lives through it all, and one that hangs from its start."""

    broker: KafkaBroker
    ledger: TigerBeetleServer
    proxy: Proxy
    books: OutageTopics
    worker: Running
    hung: Running
    hung_books: OutageTopics

    def silence(self, how: str) -> None:
        """The ledger answers no more: it is paused, cut off both ways, or its answers are lost."""
        if how == "paused":
            self.ledger.pause()
        else:
            self.proxy.mode = "hole" if how == "hole" else "deaf"

    def outlast(self, seconds: float) -> None:
        """The loop is alive, now and for so many seconds."""
        over = time.monotonic() + seconds
        while True:
            status, figures = self.worker.probe("/livez")
            assert status == 200, figures
            if time.monotonic() >= over:
                return
            time.sleep(0.2)

    def falls(self, because: str) -> None:
        """Readiness falls within the deadline, and the figures say why."""
        began = time.monotonic()
        self.worker.is_ready(ready=False)
        assert time.monotonic() - began < DEADLINE_SECONDS + MARGIN_SECONDS
        status, figures = self.worker.probe("/readyz")
        assert (status, figures["assigned"]) == (503, True)
        assert figures[because] >= DEADLINE_SECONDS

    def recovers(self) -> None:
        """Ready by itself, the backlog drained by the same process, nothing refused."""
        self.worker.is_ready()
        self.worker.until(self.books.all_posted)
        self.books.nothing_refused()
        assert self.worker.process.poll() is None


@pytest.fixture(scope="module")
def scene(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutageServers]:
    """Everything is up, and the worker has posted something."""
    folder: Path = tmp_path_factory.mktemp("outages")
    with ExitStack() as stack:
        try:
            ledger = stack.enter_context(tigerbeetle(development=True, data_dir=folder))
        except TigerBeetleUnavailable as missing:
            pytest.skip(str(missing))
        if ledger.process is None:
            pytest.skip("a server in a container is not stopped: put `tigerbeetle` on PATH")
        proxy = Proxy(ledger.address)
        proxy.open()
        stack.callback(proxy.close)
        hung_books, books = (OutageTopics(cluster(kafka, proxy)) for _ in range(2))
        hit = points.Hit("polled", 1, "hang").text()
        more = {points.VARIABLE: hit, "LEDGER_WORKER_KAFKA__HANG_SECONDS": str(HANG_SECONDS)}
        hung_books.send(1)
        books.send(1)
        hung = Running(hung_books.cluster, "a", **more)
        stack.callback(hung.kill)
        worker = Running(books.cluster, "a")
        stack.callback(worker.kill)
        made = OutageServers(kafka, ledger, proxy, books, worker, hung, hung_books)
        made.recovers()
        yield made


def cluster(broker: KafkaBroker, proxy: Proxy) -> Cluster:
    """Topics of its own, and the settings that make an outage long."""
    client = {
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": 1_000,
        "max.poll.interval.ms": POLL_INTERVAL_MS,
        "transaction.timeout.ms": 10_000,
    }
    extra = {
        "LEDGER_WORKER_KAFKA__CLIENT": json.dumps(client),
        "LEDGER_WORKER_LEDGER__DEADLINE_SECONDS": str(DEADLINE_SECONDS),
        "LEDGER_WORKER_BATCH__EVENTS_MAX": str(BATCH),
    }
    made = Cluster(broker.bootstrap_servers, proxy.address, partitions=1, extra=extra)
    made.module = "tests.chaos.worker"
    return made


@pytest.mark.parametrize(("how", "seconds"), [("paused", OUTAGE_SECONDS), ("hole", 1), ("deaf", 1)])
def test_a_ledger_that_does_not_answer(scene: OutageServers, how: str, seconds: float) -> None:
    """Also an idle worker shows it; with a backlog it stays the group's member and drains later."""
    before = scene.worker.members()
    assert len(before) == 1
    scene.silence(how)
    try:
        scene.falls("ledger_waiting_seconds")
        scene.books.send(BACKLOG)
        scene.outlast(seconds)
        assert scene.worker.probe("/readyz")[0] == 503
        assert scene.worker.members() == before
    finally:
        scene.ledger.resume()
        scene.proxy.heal()
    scene.recovers()
    assert scene.worker.members() == before


def test_a_ledger_that_is_killed(scene: OutageServers) -> None:
    """Lost for longer than a shutdown takes: SIGTERM ends a worker in time, and nothing is lost."""
    before = scene.worker.members()
    stopped = OutageTopics(cluster(scene.broker, scene.proxy))
    stopped.send(1)
    other = Running(stopped.cluster, "a")
    try:
        other.until(stopped.all_posted)
        scene.ledger.kill()
        for books in (stopped, scene.books):
            books.send(BACKLOG)
        scene.falls("ledger_waiting_seconds")
        asked = time.monotonic()
        assert other.terminate() == 0
        assert time.monotonic() - asked < GRACE_SECONDS + MARGIN_SECONDS
        assert "ledger_did_not_answer" in {one["event"] for one in other.log}
        scene.outlast(0)
        assert scene.worker.members() == before
    finally:
        other.kill()
        scene.ledger.start()
        scene.proxy.upstream = scene.ledger.address
    scene.recovers()
    assert scene.worker.members() == before
    stopped.cluster.drain("a")
    assert stopped.all_posted()
    stopped.nothing_refused()


def test_a_broker_that_is_killed(scene: OutageServers) -> None:
    """It is let in again when its session is over, and the worker goes on where it was."""
    scene.books.send(BACKLOG)
    scene.broker.kill()
    try:
        scene.falls("kafka_waiting_seconds")
    finally:
        scene.broker.start()
    scene.outlast(0)
    scene.books.send(1)
    scene.outlast(0)
    scene.recovers()
    # Nobody came, nobody is missing: who was out for longer than its session left no ghost.
    scene.worker.until(lambda: len(scene.worker.members()) == 1)


def test_a_call_that_never_returns(scene: OutageServers) -> None:
    """The watchdog ends the process with 3 and one line; the next one goes on without a loss."""
    assert scene.hung.ended() == 3
    (line,) = [one for one in scene.hung.log if one["event"] == "loop_hung"]
    assert line["seconds"] >= HANG_SECONDS
    assert "pipeline.py" in line["where"]
    assert scene.hung_books.cluster.posted() == []
    assert scene.hung_books.cluster.drain("a") == {"posted": 1}
    assert scene.hung_books.all_posted()


def test_the_65th_session(scene: OutageServers) -> None:
    """A worker whose session was ended says so and ends with 3; the next one loses nothing."""
    scene.worker.process.send_signal(signal.SIGSTOP)  # a running one is never the least recent
    port = int(scene.ledger.address.rpartition(":")[2])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one_session, [port] * SESSIONS))
    scene.worker.process.send_signal(signal.SIGCONT)
    assert scene.worker.ended() == 3
    assert "more than 64 sessions are open" in scene.worker.sentences[-1]
    scene.books.send(1)
    scene.books.cluster.drain("a")
    assert scene.books.all_posted()


def one_session(port: int) -> None:
    """Begin one, and go; the cluster keeps it."""
    import tigerbeetle as tb  # noqa: PLC0415 - only where the client is installed

    with tb.ClientSync(cluster_id=0, replica_addresses=str(port)) as client:
        client.lookup_accounts([1])
