"""A Stripe of our own for tests: an account whose life goes on, and its list calls over HTTP.

Lists are paged, filtered and expanded as Stripe's are: the newest first, each page after an object,
so that what comes in shifts nothing. Balance transactions may show late, and requests may fail in
every way that a test asks for. The life is `generate`'s.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

from worker.jobs.generate.poison import NOTE
from worker.jobs.generate.scene import PAYMENTS, SETTLEMENTS
from worker.jobs.generate.traffic import AGAIN, START, Traffic

KEY = "rk_test_of_the_tests"
LISTS = {
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "payouts": "payout",
    "transfers": "transfer",
    "application_fees": "application_fee",
    "topups": "topup",
    "balance_transactions": "balance_transaction",
}
UNLISTED = {"transfer_reversal", "fee_refund", "customer_cash_balance_transaction"}
"""Objects that balance transactions settle and that have no list of their own."""

PAGE_MAX = 100
SLOW_SECONDS = 1.0
TIMES = {"created", "available_on", "arrival_date", "expected_availability_date"}
"""What Stripe's objects date, in seconds since 1970."""

MONTH = 30 * 86_400
TOLD_LATER = 600
"""Records of the traffic within which everything is told that has happened."""

StripeObject = dict[str, Any]


@dataclass(slots=True)
class Moment:
    """Something that happens: a webhook that Stripe sends, or a balance transaction."""

    created: int
    body: dict[str, Any]
    settled: bool


def life(events: int, seed: int, *, start: int = START) -> list[Moment]:
    """About so many moments of one account, in the order in which they happen.

    start: whole seconds since 1970.

    Whatever happened until the last of them is among them, with all that Stripe tells of it.
    """
    moments: list[Moment] = []
    seen: set[str] = set()
    traffic = Traffic(seed=seed, start=start, roles={PAYMENTS, SETTLEMENTS})
    for made in islice(traffic, events + TOLD_LATER):
        if NOTE in made.note or AGAIN in made.note or not isinstance(made.event, dict):
            continue
        event = made.event
        settled = made.role == SETTLEMENTS
        body = event["data"]["object"] if settled else event
        if body["id"] not in seen:
            seen.add(body["id"])
            moments.append(Moment(body["created"], body, settled))
    last = moments[events].created
    told = [moment for moment in moments if moment.created < last]
    return sorted(told, key=lambda moment: moment.created)


def with_months(moments: Sequence[Moment], months: int, *, among: int) -> list[Moment]:
    """The same life, with so many months of nothing between its first moments."""
    begins = sorted({moments[among * number // months].created for number in range(1, months + 1)})
    return [
        Moment(_later(moment.created, begins), _shifted(moment.body, begins), moment.settled)
        for moment in moments
    ]


def _later(second: int, begins: Sequence[int]) -> int:
    return second + MONTH * bisect_right(begins, second)


def _shifted(found: Any, begins: Sequence[int], name: str = "") -> Any:
    if isinstance(found, dict):
        return {key: _shifted(value, begins, key) for key, value in found.items()}
    if isinstance(found, list):
        return [_shifted(value, begins) for value in found]
    return _later(found, begins) if name in TIMES and found else found


@dataclass
class StripeAccount:
    """What Stripe holds. objects: by id, as they are now; order: ids as they came into being.

    events: what it has told. inner: lists inside of objects, by path. late: how many requests of
    its list a balance transaction stays hidden for, by id.
    """

    objects: dict[str, StripeObject] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    wholes: dict[str, str] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    events: list[StripeObject] = field(default_factory=list)
    inner: dict[str, list[StripeObject]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def happen(self, moments: Iterable[Moment]) -> list[dict[str, Any]]:
        """Let them happen; the webhooks that Stripe sends of them."""
        webhooks = []
        with self.lock:
            for moment in moments:
                if moment.settled:
                    self._settle(moment.body)
                else:
                    webhooks.append(moment.body)
                    self.tell(moment.body)
        return webhooks

    def tell(self, event: dict[str, Any]) -> None:
        """Something happens that is an event of Stripe's."""
        with self.lock:
            self.events.append(event)
            self._take(event["data"]["object"])

    def happen_to(self, about: StripeObject) -> None:
        """An object comes into being, or changes."""
        with self.lock:
            self._take(about)

    def _settle(self, settled: StripeObject) -> None:
        source = settled["source"]
        if isinstance(source, dict):
            if source["id"] not in self.objects:
                self._take(source)
            source = source["id"]
        self._put({**settled, "source": source})
        about = self.objects.get(source or "")
        if about is not None and not about.get("balance_transaction"):
            about["balance_transaction"] = settled["id"]

    def _take(self, about: StripeObject) -> None:
        """An object as an event tells it; its parts in lists are objects of their own."""
        kind = about.get("object")
        for name in ("refunds", "reversals"):
            for part in (about.get(name) or {}).get("data", ()):
                self._put(part)
                self.wholes[part["id"]] = about["id"]
        if kind in LISTS.values() or kind in UNLISTED:
            self._put(about)

    def _put(self, about: StripeObject) -> None:
        before = self.objects.get(about["id"], {})
        kept = {"balance_transaction": before.get("balance_transaction")}
        self.objects[about["id"]] = {**about, **{name: to for name, to in kept.items() if to}}
        self.order.setdefault(about["id"], len(self.order))

    def balance(self) -> dict[str, int]:
        """Stripe's balance by currency: the net of all balance transactions."""
        found: dict[str, int] = {}
        with self.lock:
            for about in self.objects.values():
                if about["object"] == "balance_transaction":
                    currency = about["currency"]
                    found[currency] = found.get(currency, 0) + about["net"]
        return {currency: net for currency, net in found.items() if net}

    def settled(self) -> set[str]:
        """The ids of all balance transactions."""
        with self.lock:
            return {
                name
                for name, about in self.objects.items()
                if about["object"] == "balance_transaction"
            }

    def page(self, name: str, query: Mapping[str, str], expand: set[str]) -> dict[str, Any]:
        """One page of a list."""
        with self.lock:
            found = self.inner.get(name) or (
                self._events(query) if name == "events" else self._newest_first(name, query)
            )
            after = query.get("starting_after")
            if after:
                found = found[1 + next(at for at, one in enumerate(found) if one["id"] == after) :]
            limit = min(int(query.get("limit", 10)), PAGE_MAX)
            data = [self._expanded(one, expand) for one in found[:limit]]
        more = len(found) > limit
        return {"object": "list", "data": data, "has_more": more, "url": f"/v1/{name}"}

    def _events(self, query: Mapping[str, str]) -> list[StripeObject]:
        types = {value for key, value in query.items() if key.startswith("types")}
        since, until = int(query.get("created[gte]", 0)), int(query.get("created[lt]", 1 << 40))
        found = [
            event
            for event in self.events
            if event["type"] in types and since <= event["created"] < until
        ]
        return sorted(found, key=lambda event: event["created"])[::-1]

    def _newest_first(self, name: str, query: Mapping[str, str]) -> list[StripeObject]:
        found = [one for one in self.objects.values() if self._shown(name, one, query)]
        found.sort(key=lambda one: (one["created"], self.order[one["id"]]), reverse=True)
        return found

    def _shown(self, name: str, about: StripeObject, query: Mapping[str, str]) -> bool:
        if about["object"] != LISTS[name]:
            return False
        if not int(query.get("created[gte]", 0)) <= about["created"]:
            return False
        if "created[lt]" in query and about["created"] >= int(query["created[lt]"]):
            return False
        hidden = self.late.get(about["id"], 0)
        if hidden:
            self.late[about["id"]] = hidden - 1
        return not hidden

    def _expanded(self, about: StripeObject, expand: set[str]) -> StripeObject:
        source = about.get("source")
        if about["object"] != "balance_transaction" or "data.source" not in expand or not source:
            return about
        whole = dict(self.objects[source])
        return {**about, "source": whole}


@dataclass
class StripeServer:
    """The account over HTTP. faults: what the next requests get instead of an answer.

    asked: path and query of each request. revoked: no key is taken any more. forbidden: lists that
    the key may not read. after_page: what happens while a page is on its way.
    """

    account: StripeAccount
    url: str = ""
    faults: deque[str] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    revoked: bool = False
    forbidden: set[str] = field(default_factory=set)
    after_page: Callable[[], None] = lambda: None
    endpoints: list[StripeObject] = field(default_factory=list)

    def answer(self, path: str, headers: Message) -> tuple[int, Any]:
        """Status and body, as Stripe words them."""
        target = urlsplit(path)
        self.asked.append(path)
        name = target.path.removeprefix("/v1/")
        if self.revoked or headers.get("Authorization") != f"Bearer {KEY}":
            return 401, _error("invalid_request_error", f"Invalid API Key provided: {KEY}")
        if name in self.forbidden:
            return 403, _error("invalid_request_error", "no permission")
        if name == "webhook_endpoints":
            return 200, {"object": "list", "data": self.endpoints, "has_more": False}
        if name.startswith("transfers/tr_") and name.count("/") == 1:
            return 200, self.account.objects[name.partition("/")[2]]
        if name not in {*LISTS, "events"} and name not in self.account.inner:
            return 404, _error("invalid_request_error", f"Unrecognized request URL {path}")
        query = {key: values[-1] for key, values in parse_qs(target.query).items()}
        expand = {to for key, to in query.items() if key.startswith("expand")}
        page = self.account.page(name, query, expand)
        self.after_page()
        return 200, page


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}


FAULTS = {"429": (429, "rate_limit"), "500": (500, "api_error"), "503": (503, "api_error")}


class _Handler(BaseHTTPRequestHandler):
    stripe: StripeServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other

    def do_GET(self) -> None:
        fault = self._next_fault()
        if fault == "gone":
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        status, body = self.stripe.answer(self.path, self.headers)
        if fault in FAULTS:
            status, kind = FAULTS[fault]
            body = _error(kind, "try again")
        text = json.dumps(body).encode()
        if fault == "no json":
            text = text[: len(text) // 2]
        if fault == "empty page":
            text = b'{"object": "list", "data": [], "has_more": true}'
        if fault == "no list":
            text = b'{"object": "list"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Request-Id", "req_1")
        if fault == "429":
            self.send_header("Retry-After", "1")
        self.end_headers()
        if fault == "half":
            self.wfile.write(text[: len(text) // 2])
            self.close_connection = True
            return
        self.wfile.write(text)

    def _next_fault(self) -> str:
        try:
            return self.stripe.faults.popleft()
        except IndexError:
            return ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@contextmanager
def stripe_server(account: StripeAccount) -> Iterator[StripeServer]:
    """The server on a free port of the loopback."""
    server = StripeServer(account)
    handler = type("Handler", (_Handler,), {"stripe": server})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
