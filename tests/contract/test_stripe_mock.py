"""Every call of the feed to Stripe, against the mock server that Stripe makes of its own API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.stripe import LISTS
from tests.servers.stripe_mock import StripeMockUnavailable, stripe_mock
from worker.codecs.decode import event_of
from worker.config.feed_section import FeedSettings
from worker.core.event import Event
from worker.core.translate import Translator
from worker.jobs.feed.facts import list_events, payment_event, settlement_event
from worker.jobs.feed.stripe_lists import RIGHTS, StripeLists
from worker.observe.feed_metrics import FeedMetrics
from worker.rulebooks.load import PACKAGED, load

TRANSLATOR = Translator(load(PACKAGED))


@pytest.fixture(scope="module")
def lists() -> Iterator[StripeLists]:
    try:
        with stripe_mock() as url:
            settings = FeedSettings(api_key="sk_test_123", api_base=url)
            yield StripeLists(settings, FeedMetrics(), give_up=lambda: True)
    except StripeMockUnavailable as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", LISTS)
def test_each_list(lists: StripeLists, name: str) -> None:
    """Parameters that Stripe knows, and objects of the kind that its events are made of."""
    assert lists.newest(name, 0) is not None
    pages = lists.read(name, 0, 4_000_000_000, 1)
    assert pages.objects
    for about in pages.objects:
        assert about["object"] == LISTS[name]
        for body in list_events(about, lists.origin):
            assert isinstance(event_of(body), Event)


def test_rights_and_endpoints(lists: StripeLists) -> None:
    """What `doctor` asks."""
    for name in RIGHTS:
        lists.may_read(name)
    assert all(endpoint.types for endpoint in lists.endpoints())


@pytest.mark.parametrize("path", ["transfers/tr_1/reversals", "application_fees/fee_1/refunds"])
def test_lists_inside_of_objects(lists: StripeLists, path: str) -> None:
    """Read to their end."""
    assert lists.rest_of(path, [])


def test_the_source_is_expanded(lists: StripeLists) -> None:
    """A balance transaction has its whole source, and becomes an event that is booked."""
    (settled, *_) = lists.read("balance_transactions", 0, None, 1).objects
    assert isinstance(settled["source"], dict)
    event = event_of(settlement_event(settled, lists.origin))
    assert isinstance(event, Event)
    chain = TRANSLATOR.translate(event, role="settlements")
    assert getattr(chain, "key", "").endswith(settled["id"])
    payment_event(settled, lists.origin)
