"""The history of an account: whole, in order of time, and gone on with after any crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases.told import Told as Books
from tests.cases.told import decoded
from tests.jobs.feed.fakes import Crash, MemoryTopics
from tests.servers.stripe import KEY, StripeAccount, StripeServer, life, stripe_server
from worker.config.feed_section import FeedSettings
from worker.core.errors import DependencyUnavailable
from worker.jobs.feed import backfill as module
from worker.jobs.feed.backfill import Backfill, BackfillPlan
from worker.jobs.feed.stripe_lists import StripeLists
from worker.observe.feed_metrics import FeedMetrics

START = 1_767_225_600
PLAN = BackfillPlan(
    payments="pay",
    settlements="settle",
    checkpoints="feed",
    name="history",
    start=START,
    end=START + 90 * 86_400,
    overlap=3_600,
    parallel=2,
)


@contextmanager
def running(
    server: StripeServer, topics: MemoryTopics, plan: BackfillPlan = PLAN
) -> Iterator[Backfill]:
    lists = StripeLists(
        FeedSettings(api_key=KEY, api_base=server.url), FeedMetrics(), sleep=lambda _: None
    )
    with ThreadPoolExecutor(4) as executor:
        yield Backfill(plan, lists, topics.session(), executor)


def written(topics: MemoryTopics) -> list[dict[str, Any]]:
    return [*topics.bodies("pay"), *topics.bodies("settle")]


def balances(bodies: list[dict[str, Any]]) -> dict[Any, int]:
    told = Books().tell_all(decoded(bodies))
    assert told.dead == []
    return told.balances()


@pytest.fixture
def lived() -> Iterator[tuple[StripeServer, list[dict[str, Any]]]]:
    with stripe_server(StripeAccount()) as server:
        webhooks = server.account.happen(life(300, 4))
        yield server, webhooks


def test_the_history_is_the_webhooks_ledger(
    lived: tuple[StripeServer, list[dict[str, Any]]],
) -> None:
    """Every list, by HTTP and page by page: the balances are those of the live events."""
    server, webhooks = lived
    topics = MemoryTopics()
    with running(server, topics) as run:
        run.run()
        assert sum(run.written.values()) == len(written(topics))
    live = [*webhooks, *topics.bodies("settle")]
    assert balances(written(topics)) == balances(live)
    assert {body["data"]["object"]["id"] for body in topics.bodies("settle")} == (
        server.account.settled()
    )


def test_it_is_in_order_of_time(
    lived: tuple[StripeServer, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects of all lists as they were created; a transaction ends with a second."""
    server, _ = lived
    monkeypatch.setattr(module, "TRANSACTION_EVENTS", 20)
    topics = MemoryTopics()
    seconds: list[int] = []
    with running(server, topics) as run:
        run.step = seconds.append
        run.run()
    assert seconds == sorted(set(seconds))
    assert len(seconds) > 10
    times = [body["created"] for body in topics.bodies("settle")]
    assert times == sorted(times)


@settings(max_examples=10)
@given(
    fails=st.lists(
        st.sampled_from(["", "aborted", "unsettled", "lost", "crash before", "crash after"]),
        max_size=10,
    )
)
def test_it_goes_on_where_it_stopped(fails: list[str]) -> None:
    """Killed or in doubt at any transaction: nothing is missing, and nothing is there twice."""
    before = module.TRANSACTION_EVENTS
    with stripe_server(StripeAccount()) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRANSACTION_EVENTS", 30)
        server.account.happen(life(120, 11))
        whole, broken = MemoryTopics(), MemoryTopics(fails=list(fails))
        with running(server, whole) as run:
            run.run()
        for _ in range(len(fails) + 1):
            try:
                with running(server, broken) as run:
                    run.run()
                break
            except (Crash, DependencyUnavailable):
                continue
        names = Counter(body["id"] for body in written(broken))
        assert names == Counter(body["id"] for body in written(whole))
        assert set(names.values()) == {1}
    assert before == module.TRANSACTION_EVENTS


def test_the_next_run_reads_what_came_since(
    lived: tuple[StripeServer, list[dict[str, Any]]],
) -> None:
    """From the place on, one overlap back; what is there twice is the same event."""
    server, _ = lived
    topics = MemoryTopics()
    newest = max(about["created"] for about in server.account.objects.values())
    first = replace(PLAN, end=newest - 500, overlap=300)
    with running(server, topics, first) as run:
        run.run()
        assert max(body["created"] for body in topics.bodies("settle")) < first.end
    with running(server, topics) as run:
        assert run.resumes_at() == first.end - first.overlap
        run.run()
    found = {body["data"]["object"]["id"] for body in topics.bodies("settle")}
    assert found == server.account.settled()


def test_parts_beyond_the_first_page_are_read() -> None:
    """A transfer with more reversals than it holds itself is read to its end."""
    with stripe_server(StripeAccount()) as server:
        parts = [
            {"id": f"trr_{number}", "object": "transfer_reversal", "amount": 5,
             "created": START + 9, "currency": "usd", "transfer": "tr_1"}
            for number in range(130)
        ]  # fmt: skip
        whole = {"id": "tr_1", "object": "transfer", "amount": 900, "created": START + 1,
                 "currency": "usd", "destination": "acct_1"}  # fmt: skip
        server.account.happen_to({**whole, "reversals": {"data": parts[:10], "has_more": True}})
        server.account.inner["transfers/tr_1/reversals"] = parts
        topics = MemoryTopics()
        with running(server, topics) as run:
            run.run()
            assert run.written == {"transfer.created": 1, "transfer.reversed": 130}
        assert len({body["id"] for body in topics.bodies("pay")}) == 131
