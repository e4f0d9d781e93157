"""Stripe's list calls through its own package; the only module that imports it.

What passes by itself is tried again: rate limits after the seconds that Stripe names, outages,
timeouts, answers that break off. What does not pass is one sentence. No sentence and no log line
holds a key, a body or an object's content.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
import stripe
import structlog

from worker.config.feed_section import FeedSettings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.jobs.feed.facts import Origin
from worker.jobs.feed.slices import Pages
from worker.observe.feed_metrics import FeedMetrics

PAGE: Final = 100
"""Objects of a page: the most that Stripe gives."""

REQUEST_SECONDS: Final = 30.0
TRY_SECONDS_MAX: Final = 300.0
"""How long one page is tried for."""

STEP_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.5
PAUSE_SECONDS_MAX: Final = 30.0
RATE_LIMITED: Final = 429
CONFLICT: Final = 409
BROKEN: Final = 500

SETTLED: Final = "balance_transactions"
EVENTS: Final = "events"
EVENT_TYPES: Final = (
    "charge.captured",
    "charge.updated",
    "charge.refund.updated",
    "customer_cash_balance_transaction.created",
    "refund.created",
    "refund.updated",
)
"""Of the list of events, which goes back thirty days: what no other list dates or has at all."""

EXPANDED: Final[Mapping[str, tuple[str, ...]]] = {SETTLED: ("data.source",)}
"""What a list gives whole instead of by its id."""

RIGHTS: Final[Mapping[str, str]] = {
    "balance_transactions": "Balance transaction sources",
    "charges": "Charges and Refunds",
    "refunds": "Charges and Refunds",
    "disputes": "Disputes",
    "payouts": "Payouts",
    "transfers": "Transfers",
    "application_fees": "Application Fees",
    "topups": "Top-ups",
    EVENTS: "Events",
    "webhook_endpoints": "Webhook Endpoints",
}
"""Each list that is read, and the permission of a restricted key that lets one."""

_log = structlog.get_logger(__name__)


class WebhookEndpoint(NamedTuple):
    """Where Stripe posts events to.

    version: of the API, that its events are told in; empty where it is the account's.
    types: what it gets; `*` is everything.
    """

    name: str
    version: str
    types: Sequence[str]


class StripeLists:
    """Reads lists. Every method may be called from several threads.

    sleep: between tries. give_up: is it no use to try on?
    """

    def __init__(
        self,
        settings: FeedSettings,
        metrics: FeedMetrics,
        *,
        sleep: Callable[[float], None] = time.sleep,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        if not settings.api_key:
            raise UsageError(
                "feed.api_key is empty: name the file of a restricted key of Stripe's in"
                " LEDGER_WORKER_FEED__API_KEY_FILE; docs/feed.md says which rights it needs"
            )
        if settings.api_key.startswith(("pk_", "whsec_")) or not settings.api_key.isprintable():
            raise UsageError(
                "feed.api_key is no key that may read: it is a publishable key (pk_), a signing"
                " secret (whsec_), or has line breaks in it. A restricted key begins with rk_"
            )
        # Its package logs what Stripe answers, the key that was refused included.
        logging.getLogger("stripe").setLevel(logging.CRITICAL + 1)
        self._metrics = metrics
        self._sleep = sleep
        self._give_up = give_up
        self._client = stripe.StripeClient(
            settings.api_key,
            stripe_account=settings.account or None,
            stripe_version=settings.api_version or None,
            base_addresses={"api": settings.api_base.rstrip("/")} if settings.api_base else {},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=REQUEST_SECONDS),
        )
        modes = {"live": True, "test": False}
        self.origin = Origin(
            api_version=settings.api_version or stripe.api_version or "",
            livemode=modes.get(settings.api_key.partition("_")[2].partition("_")[0]),
            account=settings.account,
        )

    def newest(self, name: str, since: int) -> int | None:
        """When the newest object of a list was created; None where nothing was since then."""
        found = self._page(name, {"limit": 1, "created": {"gte": since}, **_types(name)})["data"]
        return int(found[0]["created"]) if found else None

    def read(self, name: str, since: int, until: int | None, pages_max: int | None) -> Pages:
        """What a list has of these seconds; see `slices.ReadSlice`."""
        created = {"gte": since} if until is None else {"gte": since, "lt": until}
        query: dict[str, Any] = {"limit": PAGE, "created": created, **_types(name)}
        if name in EXPANDED:
            query["expand"] = list(EXPANDED[name])
        objects: list[Mapping[str, Any]] = []
        pages = 0
        while True:
            page = self._page(name, query)
            objects += map(self._with_transfer, page["data"]) if name == SETTLED else page["data"]
            pages += 1
            if not page["has_more"]:
                return Pages(objects, whole=True)
            if pages_max is not None and pages >= pages_max:
                return Pages(objects, whole=False)
            query["starting_after"] = page["data"][-1]["id"]

    def _with_transfer(self, settled: Mapping[str, Any]) -> Mapping[str, Any]:
        """A transfer's reversal does not say whose it is: its transfer does.

        By a request of its own: that Stripe expands a field that few sources have is not promised.
        """
        source = settled.get("source")
        if not isinstance(source, dict) or source.get("object") != "transfer_reversal":
            return settled
        whole = self._fetched(f"transfers/{source['transfer']}", {}, _is_object)
        return {**settled, "source": {**source, "transfer": whole}}

    def rest_of(self, path: str, known: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """A list inside an object, which holds only its newest parts, to its end."""
        parts = list(known)
        more = True
        while more:
            query = {"limit": PAGE} | ({"starting_after": parts[-1]["id"]} if parts else {})
            page = self._page(path, query)
            parts += page["data"]
            more = page["has_more"]
        return parts

    def may_read(self, name: str) -> None:
        """One request, for `doctor`. Raises what says why not."""
        self._page(name, {"limit": 1, "expand": list(EXPANDED.get(name, ()))})

    def endpoints(self) -> list[WebhookEndpoint]:
        """The webhook endpoints that are enabled."""
        page = self._page("webhook_endpoints", {"limit": PAGE})
        return [
            WebhookEndpoint(
                str(each["id"]), each.get("api_version") or "", each.get("enabled_events") or []
            )
            for each in page["data"]
            if each.get("status") == "enabled"
        ]

    def _page(self, name: str, query: Mapping[str, Any]) -> dict[str, Any]:
        return self._fetched(name, query, _is_list)

    def _rest(self, seconds: float) -> None:
        """Wait, but not on when the process is told to stop."""
        while seconds > 0 and not self._give_up():
            self._sleep(min(seconds, STEP_SECONDS))
            seconds -= STEP_SECONDS

    def _fetched(
        self, name: str, query: Mapping[str, Any], is_whole: Callable[[object], bool]
    ) -> dict[str, Any]:
        """One answer, tried until it comes."""
        began = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                answer = self._client.raw_request("get", f"/v1/{name}", **query)
                page = orjson.loads(answer.body)  # its own reading of it is no plain dict
                if not is_whole(page):
                    raise stripe.APIError("not what was requested")
            except stripe.StripeError as error:
                passing = _passing(error)
                self._metrics.requested(name, _kind(error))
                if not passing:
                    raise _refused(name, error) from None
                waited = time.monotonic() - began
                if waited > TRY_SECONDS_MAX or self._give_up():
                    raise _unreachable(name, error, waited) from None
                _log.warning("stripe_again", list=name, error=_kind(error), tries=tries)
                self._rest(_pause(error, tries))
            else:
                self._metrics.requested(name, "ok")
                return dict(page)


def _types(name: str) -> dict[str, list[str]]:
    return {"types": list(EVENT_TYPES)} if name == EVENTS else {}


def _is_object(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("id"), str)


def _is_list(page: object) -> bool:
    """A page that broke off or came from a proxy is none, nor one that ends before its list."""
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        return False
    return page.get("has_more") is False or (page.get("has_more") is True and bool(page["data"]))


def _passing(error: stripe.StripeError) -> bool:
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return False
    status = error.http_status
    return status is None or status in {RATE_LIMITED, CONFLICT} or status >= BROKEN or _cut(error)


def _cut(error: stripe.StripeError) -> bool:
    """An answer with a good status whose body is not what it should be."""
    return type(error) is stripe.APIError and (error.http_status or 0) < 400  # noqa: PLR2004


def _kind(error: stripe.StripeError) -> str:
    """One of few words, for a label and a log line."""
    if error.http_status == RATE_LIMITED:
        return "rate_limited"
    if isinstance(error, stripe.APIConnectionError):
        return "unreachable"
    return "cut_off" if _cut(error) else f"status_{error.http_status}"


def _pause(error: stripe.StripeError, tries: int) -> float:
    """Stripe's own word, else longer each time, with jitter."""
    headers = error.headers or {}
    given = next((headers[name] for name in headers if name.lower() == "retry-after"), "")
    if given.isdigit():
        return float(min(int(given), PAUSE_SECONDS_MAX * 2))
    longest = min(PAUSE_SECONDS * 2**tries, PAUSE_SECONDS_MAX)
    return random.uniform(longest / 2, longest)  # noqa: S311 - a pause is no secret


def _refused(name: str, error: stripe.StripeError) -> UsageError:
    right = RIGHTS.get(name.partition("/")[0], name)
    if isinstance(error, stripe.AuthenticationError):
        return UsageError(
            "Stripe does not take the key (feed.api_key): it is revoked, expired, or not whole"
        )
    if isinstance(error, stripe.PermissionError):
        return UsageError(
            f"the key may not read {name} at Stripe: give it Read on {right}, for connected"
            " accounts too where feed.account is set"
        )
    code = error.code or "none"
    return UsageError(
        f"Stripe refuses to list {name} (status {error.http_status}, code {code}): is"
        " feed.account an account of this key's, and feed.api_version one of Stripe's?"
    )


def _unreachable(name: str, error: stripe.StripeError, waited: float) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"Stripe gave no page of {name} within {waited:.0f} s ({_kind(error)}); the same command"
        " goes on where this one stopped"
    )
