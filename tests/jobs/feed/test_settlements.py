"""The settlement feed against a stateful Stripe: each balance transaction once, come what may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jobs.feed.fakes import Crash, MemoryTopics
from tests.servers.stripe import KEY, Moment, StripeAccount, StripeServer, life, stripe_server
from worker.codecs.decode import Decoder
from worker.config.feed_section import FeedSettings
from worker.core.chain import Chain
from worker.core.errors import Aborted, DependencyUnavailable, Unsettled, UsageError
from worker.core.translate import Translator
from worker.jobs.feed import stripe_lists
from worker.jobs.feed.feed_topics import event_record
from worker.jobs.feed.lost_webhooks import LostWebhooks
from worker.jobs.feed.settlements import FeedPlan, SettlementFeed
from worker.jobs.feed.stripe_lists import StripeLists
from worker.observe.feed_metrics import FeedMetrics
from worker.rulebooks.load import PACKAGED, load

TRANSLATOR = Translator(load(PACKAGED))
HOUR = 3_600
PLAN = FeedPlan(
    payments="pay",
    settlements="settle",
    checkpoints="feed",
    name="feed-settlements",
    start=0,
    overlap=6 * HOUR,
    heal_after=60,
    outcome_every=0,
    parallel=2,
)


@dataclass
class World:
    """An account, its server, one broker, and the feed's processes one after the other."""

    server: StripeServer
    moments: list[Moment]
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    metrics: FeedMetrics = field(default_factory=FeedMetrics)
    plan: FeedPlan = PLAN
    now: float = 0.0
    sent: set[str] = field(default_factory=set)

    @property
    def account(self) -> StripeAccount:
        return self.server.account

    def pass_by(self, count: int, *, lost: float = 0.0, rng: Random | None = None) -> None:
        """So many moments happen; some of their webhooks are lost."""
        happening, self.moments = self.moments[:count], self.moments[count:]
        if happening:
            self.now = happening[-1].created
        for webhook in self.account.happen(happening):
            if rng is None or rng.random() >= lost:
                self.deliver(webhook)

    def deliver(self, webhook: dict[str, object]) -> None:
        self.sent.add(str(webhook["id"]))
        self.topics.append(event_record("pay", webhook))

    @contextmanager
    def process(self) -> Iterator[SettlementFeed]:
        """A process of the feed that has just begun to read."""
        lists = StripeLists(
            FeedSettings(api_key=KEY, api_base=self.server.url), self.metrics, sleep=lambda _: None
        )
        with ThreadPoolExecutor(2) as executor:
            feed = SettlementFeed(
                self.plan,
                lists=lists,
                topics=self.topics.session(),
                lost=LostWebhooks(TRANSLATOR, self.metrics.not_healed),
                metrics=self.metrics,
                executor=executor,
                decode=lambda record: Decoder().decode(record.value()),
                now=lambda: self.now,
            )
            feed.load()
            yield feed

    def look(self) -> None:
        """One look of a new process; what fails is tried again as the run does."""
        with self.process() as feed:
            for _ in range(50):
                try:
                    return feed.look()
                except (Aborted, Unsettled):
                    feed.load()
        raise AssertionError("fifty transactions failed")

    def settled_once(self) -> None:
        """Every balance transaction of Stripe's is on the topic, once, as Stripe shows it."""
        found = Counter(body["data"]["object"]["id"] for body in self.topics.bodies("settle"))
        assert set(found) == self.account.settled()
        assert set(found.values()) <= {1}

    def healed(self) -> list[str]:
        bodies = self.topics.bodies("pay")
        return [body["id"] for body in bodies if body["id"] not in self.sent]


@contextmanager
def world(events: int = 150, seed: int = 1) -> Iterator[World]:
    with stripe_server(StripeAccount()) as server:
        yield World(server, life(events, seed))


def facts(world: World) -> set[str]:
    """The keys of all facts that are on the payments topic."""
    lost = LostWebhooks(TRANSLATOR, lambda _: None)
    keys: set[str] = set()
    for body in world.topics.bodies("pay"):
        chain = lost._translator.translate(Decoder().decode(orjson.dumps(body)), role="payments")  # type: ignore[arg-type]
        keys |= {chain.key} if isinstance(chain, Chain) else set()
    return keys


def test_a_whole_life_in_one_look() -> None:
    """The settlements of a life, each once and in order of time; its webhooks were all there."""
    with world() as stripe:
        stripe.pass_by(1_000)
        stripe.now += HOUR
        stripe.look()
        stripe.settled_once()
        times = [body["created"] for body in stripe.topics.bodies("settle")]
        assert times == sorted(times)
        assert stripe.healed() == []
        ids = {body["id"] for body in stripe.topics.bodies("settle")}
        assert all(name.startswith("bt/txn_") for name in ids)
        assert all(isinstance(body["data"]["object"]["source"], dict | None)
                   for body in stripe.topics.bodies("settle"))  # fmt: skip


def test_every_lost_webhook_that_money_follows_is_healed_within_a_look() -> None:
    """All webhooks lost: afterwards the topic has every fact that money moved for, and outcomes."""
    with world(300) as all_lost, world(300) as none_lost:
        for stripe, lost in ((all_lost, 1.0), (none_lost, 0.0)):
            stripe.pass_by(1_000, lost=lost, rng=Random(1))
            stripe.now += HOUR
            stripe.look()
        told = {key for key in facts(none_lost) if not key.startswith("charge_failed/")}
        assert facts(all_lost) >= {key for key in told if not _came_to_nothing(none_lost, key)}
        assert len(all_lost.healed()) == len(set(all_lost.healed()))
        before = len(all_lost.topics.bodies("pay"))
        all_lost.look()
        assert len(all_lost.topics.bodies("pay")) == before


def _came_to_nothing(stripe: World, key: str) -> bool:
    """A charge that failed since is told as failed; it took back what it gave."""
    about = stripe.account.objects.get(key.partition("/")[2], {})
    return about.get("object") == "charge" and about.get("status") == "failed"


def test_a_webhook_gets_its_time() -> None:
    """What is younger than a webhook may take is not written; in the next look it is."""
    with world() as stripe:
        stripe.plan = replace(PLAN, heal_after=900)
        stripe.pass_by(40, lost=1.0, rng=Random(1))
        newest = max(stripe.account.objects.values(), key=lambda one: one["created"])["created"]
        stripe.now = newest + 1
        with stripe.process() as feed:
            feed.look()
            first = len(stripe.healed())
            stripe.now = newest + 901
            feed.look()
        assert len(stripe.healed()) > first


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    fails=st.lists(
        st.sampled_from(["", "aborted", "unsettled", "lost", "crash before", "crash after"]),
        max_size=12,
    ),
    rng=st.randoms(use_true_random=False),
)
def test_whatever_a_transaction_comes_to(seed: int, fails: list[str], rng: Random) -> None:
    """A kill at any step, or an answer that never comes, neither loses nor doubles anything."""
    with world(120, seed) as stripe:
        stripe.topics.fails = list(fails)
        while stripe.moments or stripe.topics.fails:
            stripe.pass_by(rng.randint(1, 60), lost=0.3, rng=rng)
            try:
                stripe.look()
            except Crash:
                continue
            if not stripe.moments and stripe.topics.fails:
                break
        stripe.topics.fails = []
        stripe.now += HOUR
        stripe.look()
        stripe.settled_once()
        assert len(stripe.healed()) == len(set(stripe.healed()))


def test_what_shows_late_is_found_in_the_window() -> None:
    """A balance transaction that Stripe shows hours after newer ones is written, once."""
    with world() as stripe:
        settled = [moment.body["id"] for moment in stripe.moments if moment.settled]
        stripe.account.late = dict.fromkeys(settled[::7], 6)
        stripe.pass_by(1_000)
        for _ in range(12):
            stripe.now += 60
            stripe.look()
        assert not any(stripe.account.late.values())
        stripe.settled_once()


def test_what_changes_its_status_is_written_once() -> None:
    """Money becomes available, charges are refunded: what was read once is the same transaction."""
    with world() as stripe:
        stripe.pass_by(1_000)
        stripe.look()
        for about in stripe.account.objects.values():
            if about["object"] == "balance_transaction":
                about["status"] = "available" if about["status"] == "pending" else "pending"
            if about["object"] == "charge":
                about["amount_refunded"] = about["amount"]
        for _ in range(2):
            stripe.now += 60
            stripe.look()
        stripe.settled_once()


def test_pages_that_shift_while_they_are_read() -> None:
    """What comes in between two pages moves no object from one to the other, nor is it missed."""
    with world(400) as stripe:
        stripe.pass_by(200)
        stripe.server.after_page = lambda: stripe.pass_by(20)
        for _ in range(3):
            stripe.look()
        stripe.settled_once()


FAULTS = ["429", "500", "503", "gone", "half", "no json", "no list", "empty page", "slow"]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is tried again, counted, and leaves nothing out."""
    monkeypatch.setattr(stripe_lists, "REQUEST_SECONDS", 0.5)
    with world(100) as stripe:
        stripe.pass_by(1_000)
        stripe.server.faults.extend([fault, "", fault, fault])
        stripe.look()
        stripe.settled_once()
        assert not stripe.server.faults
        requests = stripe.metrics.registry.get_sample_value
        name, labels = "ledger_worker_feed_requests_total", {"list": "balance_transactions"}
        results = {"429": "rate_limited", "500": "status_500", "503": "status_503",
                   "gone": "unreachable", "half": "unreachable", "slow": "unreachable"}  # fmt: skip
        assert requests(name, {**labels, "result": results.get(fault, "cut_off")}) == 3


def test_rate_limits_wait_as_stripe_says() -> None:
    """The seconds of Retry-After, not fewer."""
    waited: list[float] = []
    with stripe_server(StripeAccount()) as server:
        server.faults.extend(["429", "429"])
        metrics = FeedMetrics()
        lists = StripeLists(
            FeedSettings(api_key=KEY, api_base=server.url), metrics, sleep=waited.append
        )
        assert lists.newest("charges", 0) is None
        labels = {"list": "charges", "result": "rate_limited"}
        name = "ledger_worker_feed_requests_total"
        assert metrics.registry.get_sample_value(name, labels) == 2
    assert waited == [1.0, 1.0]


def test_what_does_not_pass_is_one_sentence() -> None:
    """A revoked key, a right that is missing, an endless outage: without the key in it."""
    with world(50) as stripe, stripe.process() as feed:
        stripe.pass_by(1_000)
        stripe.server.forbidden.add("balance_transactions")
        with pytest.raises(UsageError, match="Read on Balance transaction sources"):
            feed.look()
        stripe.server.forbidden.clear()
        stripe.server.revoked = True
        with pytest.raises(UsageError, match="revoked") as refused:
            feed.look()
        assert KEY not in str(refused.value)
    broken = StripeLists(
        FeedSettings(api_key=KEY, api_base="http://127.0.0.1:9"),
        FeedMetrics(),
        sleep=lambda _: None,
        give_up=lambda: True,
    )
    with pytest.raises(DependencyUnavailable, match="gave no page of charges"):
        broken.newest("charges", 0)


@pytest.mark.parametrize("key", ["pk_live_1", "whsec_1", "rk_live_1\nrk_live_2"])
def test_another_secret_is_no_key(key: str) -> None:
    """What was copied from the wrong field is said before Stripe is asked, without its value."""
    with pytest.raises(UsageError, match="begins with rk_") as refused:
        StripeLists(FeedSettings(api_key=key), FeedMetrics())
    assert "live_1" not in str(refused.value)


def test_no_key_no_start() -> None:
    """The sentence names the variable of the key's file."""
    with pytest.raises(UsageError, match="LEDGER_WORKER_FEED__API_KEY_FILE"):
        StripeLists(FeedSettings(), FeedMetrics())


def test_a_clock_that_is_wrong_decides_nothing() -> None:
    """Days ahead or behind of Stripe's: the checkpoint is Stripe's own time."""
    for ahead in (-30 * 24 * HOUR, 30 * 24 * HOUR):
        with world(200) as stripe:
            stripe.pass_by(100)
            stripe.now += ahead
            stripe.look()
            stripe.pass_by(1_000)
            stripe.now += ahead
            stripe.look()
            stripe.settled_once()


def test_refunds_are_healed_whatever_the_version_of_the_endpoints() -> None:
    """Between two versions a webhook tells a refund without its id: the books know it again."""
    with world(300, 3) as stripe:
        stripe.pass_by(1_000, lost=1.0, rng=Random(1))
        old = {"id": "evt_old", "type": "customer.created", "created": int(stripe.now),
               "api_version": "2024-04-10", "data": {"object": {"id": "cus_1"}}}  # fmt: skip
        stripe.deliver(old)
        stripe.now += HOUR
        stripe.look()
        kinds = {body["type"] for body in stripe.topics.bodies("pay")}
        assert {"refund.created", "charge.succeeded"} <= kinds


def test_without_healing_only_settlements_are_written() -> None:
    """--no-heal: the payments topic is left to its webhooks."""
    with world() as stripe:
        stripe.plan = replace(PLAN, heal_after=None)
        stripe.pass_by(1_000, lost=1.0, rng=Random(1))
        stripe.look()
        stripe.settled_once()
        assert stripe.topics.bodies("pay") == []
        assert not any("payouts" in path for path in stripe.server.asked)
