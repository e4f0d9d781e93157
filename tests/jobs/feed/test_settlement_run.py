"""`feed settlements` on a real broker: killed at any time, two at once, and what it says."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.integration.cluster import Cluster, Process
from tests.servers.kafka import KafkaBroker, create_topics
from tests.servers.stripe import KEY, StripeAccount, StripeServer, life, stripe_server
from tests.servers.waiting import until

pytestmark = pytest.mark.kafka


class Feeds:
    """Processes of `feed settlements` of one group, on topics of their own."""

    def __init__(self, kafka: KafkaBroker, stripe: StripeServer) -> None:
        self.cluster = Cluster(kafka.bootstrap_servers, "127.0.0.1:1", partitions=2)
        self.stripe = stripe
        create_topics(kafka.bootstrap_servers, {self.cluster.topic("feed"): 1})
        self.started: list[Process] = []

    def start(self, **more: str) -> Process:
        """One more process."""
        environment = {
            **self.cluster.environment("w"),
            "LEDGER_WORKER_TOPICS__FEED": self.cluster.topic("feed"),
            "LEDGER_WORKER_FEED__API_KEY": KEY,
            "LEDGER_WORKER_FEED__POLL_SECONDS": "0.2",
            "LEDGER_WORKER_FEED__HEAL_AFTER_SECONDS": "0",
            "LEDGER_WORKER_FEED__OUTCOME_SECONDS": "0.5",
            "LEDGER_WORKER_KAFKA__CLIENT": json.dumps({"session.timeout.ms": 6_000}),
            **more,
        }
        arguments = ["feed", "settlements", "--from", "2026-01-01", "--api-base", self.stripe.url]
        process = Process(["worker", *arguments], environment)
        self.started.append(process)
        return process

    def settled(self) -> Counter[str]:
        """How often each balance transaction is on the topic, as its readers see it."""
        records = self.cluster.read("settle")
        return Counter(json.loads(one.value() or b"")["data"]["object"]["id"] for one in records)

    def whole(self) -> bool:
        return set(self.settled()) == self.stripe.account.settled()

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


@contextmanager
def feeds(kafka: KafkaBroker) -> Iterator[Feeds]:
    with stripe_server(StripeAccount()) as server:
        made = Feeds(kafka, server)
        try:
            yield made
        finally:
            made.end()


def logged(process: Process, name: str) -> list[dict[str, Any]]:
    lines = process.said().decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and f'"{name}"' in line]


def test_killed_again_and_again(kafka: KafkaBroker) -> None:
    """Kill -9 at random moments while the life goes on: each balance transaction once."""
    rng = Random(7)
    moments = life(1_200, 5)
    with feeds(kafka) as running:
        for _ in range(5):
            happening, moments = moments[:150], moments[150:]
            running.stripe.account.happen(happening)
            process = running.start()
            until(partial(logged, process, "reading"))
            time.sleep(rng.random())
            process.kill()
            process.wait()
        running.stripe.account.happen(moments)
        last = running.start()
        until(running.whole)
        assert set(running.settled().values()) == {1}
        last.send_signal(signal.SIGTERM)
        assert last.wait(60) == 0, last.said().decode()[-2000:]
        healed = [json.loads(one.value() or b"")["id"] for one in running.cluster.read("pay")]
        assert len(healed) == len(set(healed)) > 0


def test_the_second_stands_by(kafka: KafkaBroker) -> None:
    """One reads; the other takes over when it is killed, and nothing comes twice."""
    moments = life(400, 6)
    with feeds(kafka) as running:
        running.stripe.account.happen(moments[:200])
        first = running.start()
        until(lambda: logged(first, "reading"))
        second = running.start()
        until(running.whole)
        until(lambda: logged(second, "standing_by"))
        assert not logged(second, "reading")
        first.kill()
        running.stripe.account.happen(moments[200:])
        until(lambda: logged(second, "reading"))
        until(running.whole)
        assert set(running.settled().values()) == {1}
        address = f"http://127.0.0.1:{logged(second, 'http_listening')[0]['port']}/readyz"
        with urlopen(address, timeout=60) as answer:
            assert json.loads(answer.read())["reading"] is True


def test_one_that_was_away_writes_nothing_more(kafka: KafkaBroker) -> None:
    """Stopped in the middle for longer than its session: the other reads, then it stands by."""
    moments = life(400, 8)
    with feeds(kafka) as running:
        first = running.start()
        until(lambda: logged(first, "reading"))
        second = running.start()
        os.kill(first.pid, signal.SIGSTOP)
        running.stripe.account.happen(moments)
        until(lambda: logged(second, "reading"))
        until(running.whole)
        os.kill(first.pid, signal.SIGCONT)
        running.stripe.account.happen(life(500, 9)[:100])
        until(running.whole)
        time.sleep(1)
        assert set(running.settled().values()) == {1}
        assert first.poll() is None
        assert second.poll() is None


def test_a_revoked_key_ends_it_with_a_sentence(kafka: KafkaBroker) -> None:
    """Exit code 2 and what to do, without the key."""
    with feeds(kafka) as running:
        running.stripe.revoked = True
        process = running.start()
        assert process.wait(120) == 2
        said = process.said().decode()
        assert "revoked" in said
        assert KEY not in said


def test_one_that_never_gets_through_is_seen(kafka: KafkaBroker) -> None:
    """Stripe is away from the start: not ready, and the age that the alert watches grows."""
    with feeds(kafka) as running:
        running.stripe.faults.extend(["503"] * 10_000)
        process = running.start()
        until(lambda: logged(process, "stripe_again"))
        port = logged(process, "http_listening")[0]["port"]
        with pytest.raises(HTTPError, match="503"):
            urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60)
        name = "ledger_worker_feed_poll_age_seconds"
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        assert float(next(line for line in lines if line.startswith(name)).split()[1]) > 0
