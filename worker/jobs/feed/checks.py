"""What `doctor` says of the feed: the key's rights, its mode, and what its endpoints will tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.matching import carries
from worker.core.rulebook import Rulebook
from worker.jobs.feed.lost_webhooks import ROLE
from worker.jobs.feed.stripe_lists import RIGHTS, StripeLists, WebhookEndpoint
from worker.observe.feed_metrics import FeedMetrics
from worker.observe.findings import CONFIGURATION, DEPENDENCY, Finding
from worker.rulebooks.load import load

ENDPOINTS: Final = "webhook_endpoints"
REFUNDS_BY_ID_SINCE: Final = "2024-10-28"
"""The version of Stripe's API from which a webhook tells each refund by itself."""


def feed_findings(settings: Settings) -> list[Finding]:
    """Every finding; one request to each list that is read."""
    lists = StripeLists(settings.feed, FeedMetrics(), give_up=lambda: True)
    rulebook = load(settings.rulebook)
    return [_mode(settings, lists), *_rights(lists), *_endpoints(lists, rulebook)]


def _mode(settings: Settings, lists: StripeLists) -> Finding:
    """Test money read into books of live money would be dead letters, one for each event."""
    live, wanted = lists.origin.livemode, settings.events.livemode
    said = {True: "live", False: "test", None: "unknown"}[live]
    ok = wanted == "any" or live is None or str(live).lower() == wanted
    advice = "" if ok else "use a key of that mode, or set events.livemode"
    if settings.feed.api_key.startswith("sk_"):
        advice = advice or "it may do everything: make a restricted key that may only read"
    return Finding(
        "stripe key",
        ok=ok,
        detail=f"of {said} mode; events.livemode is {wanted}",
        advice=advice,
        exit_code=CONFIGURATION,
    )


def _rights(lists: StripeLists) -> Iterator[Finding]:
    refused = []
    wanted = [name for name in RIGHTS if name != ENDPOINTS]
    for name in wanted:
        try:
            lists.may_read(name)
        except UsageError as error:
            refused.append(str(error))
        except DependencyUnavailable as error:
            yield Finding("stripe", ok=False, detail=str(error), exit_code=DEPENDENCY)
            return
    detail = "\n".join(refused) or f"the key reads all {len(wanted)} lists"
    yield Finding("stripe rights", ok=not refused, detail=detail, exit_code=CONFIGURATION)


def _endpoints(lists: StripeLists, rulebook: Rulebook) -> Iterator[Finding]:
    """An old version of the API does not tell every refund by itself."""
    try:
        endpoints = lists.endpoints()
    except UsageError:
        advice = f"to have it checked, give the key Read on {RIGHTS[ENDPOINTS]}"
        detail = "not looked at: the key may not list them"
        yield Finding("stripe endpoints", ok=True, detail=detail, advice=advice)
        return
    except DependencyUnavailable as error:
        yield Finding("stripe endpoints", ok=False, detail=str(error), exit_code=DEPENDENCY)
        return
    needed = REFUNDS_BY_ID_SINCE
    old = sorted(each.name for each in endpoints if each.version and each.version < needed)
    yield Finding(
        "stripe endpoints",
        ok=not old,
        detail=f"of an API version before {needed}: {', '.join(old)}"
        if old
        else f"{len(endpoints)} enabled",
        advice=f"make a new endpoint of version {needed} or later, then disable the old one"
        if old
        else "",
        exit_code=CONFIGURATION,
    )
    yield from _types(endpoints, rulebook)


def _types(endpoints: list[WebhookEndpoint], rulebook: Rulebook) -> Iterator[Finding]:
    """What no endpoint gets is healed for as long as money tells it; a webhook is sooner."""
    sent = {kind for each in endpoints for kind in each.types}
    topic = rulebook.topics.get(ROLE)
    if not endpoints or "*" in sent or topic is None:
        return
    booked = {kind for rule in rulebook.transactions for kind in rule.on}
    never = sorted(kind for kind in booked - sent if "*" not in kind and carries(topic, kind))
    yield Finding(
        "stripe events",
        ok=True,
        detail=f"no endpoint gets {', '.join(never)}"
        if never
        else "endpoints get all that is booked",
        advice="add those that can happen to an endpoint's events, in Workbench" if never else "",
    )
