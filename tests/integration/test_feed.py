"""A Stripe account's life through all three feeds on the real servers, killed and lossy.

The year before comes by the backfill, which is killed once; the present by webhooks, of which one
in twenty is lost and one in ten comes twice, and by the settlement feed, which is killed ten times.
Then the books are those of an account of which nothing was lost.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from random import Random
from typing import Any

import pytest

from tests.cases.told import Told as Books
from tests.cases.told import decoded
from tests.integration.cluster import Cluster, Process, audit, finish, read_ledger
from tests.jobs.feed.test_facts import settlements
from tests.servers.kafka import KafkaBroker, create_topics
from tests.servers.stripe import (
    KEY,
    Moment,
    StripeAccount,
    StripeServer,
    life,
    stripe_server,
    with_months,
)
from tests.servers.waiting import until
from worker.core.iso_times import iso_second
from worker.core.translate import Translator
from worker.jobs.feed.signature import sign
from worker.rulebooks.load import PACKAGED, load

pytestmark = [pytest.mark.kafka, pytest.mark.tigerbeetle]

SIGNS = "whsec_of_the_test"
RULES = Translator(load(PACKAGED))
LOST, DOUBLED = 20, 10
"""One webhook in so many."""

KILLS = 10
MONTHS = 12
PAST, LIVE = 240, 330
"""Moments; the months are among the first half of the past."""

OPENED = 1_717_200_000
"""2024-06-01: the day that the account was opened, and its history begins."""

DRAINS_MAX = 20
DAY = 86_400


@dataclass(slots=True)
class Business:
    """The servers, the processes, and what Stripe has sent."""

    cluster: Cluster
    stripe: StripeServer
    rng: Random = field(default_factory=lambda: Random(5))
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    lost: int = 0
    processes: list[Process] = field(default_factory=list)

    def feed(self, *arguments: str) -> Process:
        more = {
            "LEDGER_WORKER_TOPICS__FEED": self.cluster.topic("feed"),
            "LEDGER_WORKER_FEED__API_KEY": KEY,
            "LEDGER_WORKER_FEED__API_BASE": self.stripe.url,
            "LEDGER_WORKER_FEED__PORT": "0",
            "LEDGER_WORKER_FEED__WEBHOOK_SECRETS": SIGNS,
            "LEDGER_WORKER_FEED__POLL_SECONDS": "0.3",
            "LEDGER_WORKER_FEED__HEAL_AFTER_SECONDS": "0",
            "LEDGER_WORKER_FEED__OUTCOME_SECONDS": "0.5",
            "LEDGER_WORKER_KAFKA__CLIENT": '{"session.timeout.ms": 6000}',
        }
        process = self.cluster.start("w", "feed", *arguments, **more)
        self.processes.append(process)
        return process

    def deliver(self, moments: Iterable[Any], port: int) -> None:
        """What happens is told by webhooks, most of them once."""
        for webhook in self.stripe.account.happen(moments):
            self.webhooks.append(webhook)
            if self.rng.randrange(LOST) == 0:
                self.lost += 1
                continue
            for _ in range(2 if self.rng.randrange(DOUBLED) == 0 else 1):
                body = json.dumps(webhook).encode()
                header = sign(body, secret=SIGNS, seconds=int(time.time()))
                client = HTTPConnection("127.0.0.1", port, timeout=60)
                client.request("POST", "/stripe", body, {"Stripe-Signature": header})
                assert client.getresponse().status == 200
                client.close()

    def settled(self) -> Counter[str]:
        records = self.cluster.read("settle")
        return Counter(json.loads(one.value() or b"")["data"]["object"]["id"] for one in records)

    def whole(self) -> bool:
        return set(self.settled()) == self.stripe.account.settled()


def logged(process: Process, name: str) -> list[dict[str, Any]]:
    assert process.poll() is None, process.said().decode()[-2000:]
    lines = process.said().decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and f'"{name}"' in line]


def test_from_a_key_to_books_that_equal_stripes_balance(kafka: KafkaBroker, ledger: str) -> None:
    """Clearing is Stripe's balance, wallets are whole, each transfer is announced once."""
    cluster = Cluster(kafka.bootstrap_servers, ledger)
    cluster.extra["LEDGER_WORKER_TOPICS__PARKED_DELAYS_SECONDS"] = "[1, 600]"
    create_topics(kafka.bootstrap_servers, {cluster.topic("feed"): 1})
    with stripe_server(StripeAccount()) as stripe:
        business = Business(cluster, stripe)
        try:
            _live(business)
        finally:
            for process in business.processes:
                process.kill()
                process.wait()
        settled = [dict(body) for body in settlements(stripe.account)]
        told = Books().tell_all(decoded([*business.webhooks, *settled]))
        _drain(cluster)
        found = balances(ledger)
        assert found == told.balances()
        assert not [key for key in found if key[0] == "stripe_unsettled"], "open items"
        assert business.lost > 0
        clearing = {key[2]: held for key, held in found.items() if key[0] == "stripe_clearing"}
        assert clearing == stripe.account.balance()
        assert cluster.read("dead") == []
        audit(cluster, ledger)


def _live(business: Business) -> None:
    moments = with_months(life(PAST + LIVE, 3, start=OPENED), MONTHS, among=PAST // 2)
    past, present = moments[:PAST], moments[PAST:]
    assert past[-1].created - past[0].created > 360 * DAY
    business.webhooks += business.stripe.account.happen(past)
    receiver = business.feed("webhooks")
    port = until(partial(logged, receiver, "receiving_webhooks"))[0]["port"]
    started = business.feed("backfill", "--from", iso_second(OPENED), "--json")
    time.sleep(2)
    started.kill()
    started.wait()
    finish(business.feed("backfill", "--from", iso_second(OPENED), "--json"))
    share = len(present) // (2 * KILLS + 1)
    for _ in range(KILLS):
        reader = business.feed("settlements", "--from", iso_second(present[0].created))
        business.deliver(_next(present, share), port)
        until(partial(logged, reader, "reading"))
        business.deliver(_next(present, share), port)
        time.sleep(business.rng.random())
        reader.kill()
        reader.wait()
    business.feed("settlements")
    business.deliver(present, port)
    until(business.whole)
    assert set(business.settled().values()) == {1}
    before = len(cluster_records(business))
    until(lambda: _rests(business, before))


def _next(moments: list[Moment], count: int) -> list[Moment]:
    taken = moments[:count]
    del moments[:count]
    return taken


def cluster_records(business: Business) -> list[Any]:
    return business.cluster.read("pay")


def _rests(business: Business, before: int) -> bool:
    """Nothing is written any more for some looks."""
    count = before
    while True:
        time.sleep(3)
        now = len(cluster_records(business))
        if now == count:
            return True
        count = now


def _drain(cluster: Cluster) -> None:
    """Until what had to wait for its predecessor has come through as well."""
    for _ in range(DRAINS_MAX):
        outcomes = cluster.drain("w")
        if not outcomes["parked"] and outcomes.total() == 0:
            return
        time.sleep(1.5)


def balances(ledger: str) -> dict[tuple[str, str, str], int]:
    """Every account of the ledger that is not at zero, each on its own side."""
    book = RULES.rulebook
    currencies = {each.ledger: name for name, each in book.ledgers.items()}
    on_credit = {"liability", "revenue", "equity"}
    found = {}
    accounts, _ = read_ledger(ledger)
    for account in accounts:
        ref = RULES.name_account(account)
        held = account.debits_posted - account.credits_posted
        if held:
            sign_ = -1 if book.accounts[ref.name].type in on_credit else 1
            found[ref.name, ref.key, currencies[account.ledger]] = sign_ * held
    return found
