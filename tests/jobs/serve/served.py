"""The HTTP server on a free port of the loopback, with a client that hides nothing of HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from threading import Event
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter

from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.errors import LedgerClosed
from worker.core.rulebook import Rulebook
from worker.core.wire import Account
from worker.jobs.serve.api import application
from worker.jobs.serve.server import Server, listen
from worker.jobs.serve.shared_lookups import READERS_MAX, ReadLedger, SharedLookups
from worker.jobs.serve.tokens import Tokens
from worker.observe.metrics import ServeMetrics
from worker.rulebooks.load import load

PATIENCE_SECONDS = 60.0
"""For a machine that is busy: what must come has come by then."""

WALLET = "/v1/accounts/customer_wallet"

REFUSED = [
    ("/",                                        (404, "not_found")),
    ("/v1/accounts",                             (404, "not_found")),
    ("/v2/accounts/bank?currency=usd",           (404, "not_found")),
    (f"{WALLET}/a/b?currency=usd",               (404, "not_found")),
    ("/v1/accounts/?currency=usd",               (404, "unknown_account")),
    ("/v1/accounts/customer_walet/a?currency=usd", (404, "unknown_account")),
    (f"{WALLET}?currency=usd",                   (404, "key_missing")),
    ("/v1/accounts/bank/a?currency=usd",         (404, "key_not_taken")),
    (f"{WALLET}/?currency=usd",                  (400, "bad_key")),
    (f"{WALLET}/a%00b?currency=usd",             (400, "bad_key")),
    (f"{WALLET}/a%zz?currency=usd",              (400, "bad_path")),
    (f"{WALLET}/a%ff?currency=usd",              (400, "bad_path")),
    (f"{WALLET}/a",                              (400, "bad_query")),
    (f"{WALLET}/a?currency=",                    (400, "bad_query")),
    (f"{WALLET}/a?curency=usd",                  (400, "bad_query")),
    (f"{WALLET}/a?currency=usd&currency=eur",    (400, "bad_query")),
    (f"{WALLET}/a?currency=usd&at=now",          (400, "bad_query")),
    (f"{WALLET}/a?currency=zzz",                 (400, "unknown_currency")),
]  # fmt: skip
"""Requests that are wrong, each with the status and reason of its answer."""


@cache
def packaged_rulebook() -> Rulebook:
    """stripe-wallets.yaml."""
    return load(PACKAGED_RULEBOOK)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """The status and the reason of a problem document, which it must be."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return self.status, self.json["reason"]


@dataclass(slots=True)
class Served:
    """A running server."""

    port: int
    lookups: SharedLookups
    metrics: ServeMetrics
    server: Server

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Reply:
        """One request on a connection of its own; `If_None_Match` is the header If-None-Match."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)) as client:
            return self.ask(client, path, method=method, **headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Reply:
        """One form, sent as a browser does."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)) as client:
            headers["Content_Type"] = "application/x-www-form-urlencoded"
            return self.ask(client, path, method="POST", body=urlencode(fields), **headers)

    def ask(
        self,
        client: HTTPConnection,
        path: str,
        *,
        method: str = "GET",
        body: str | None = None,
        **headers: str,
    ) -> Reply:
        """One request on this connection."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        client.request(method, path, body=body, headers=named)
        answer = client.getresponse()
        got = {name.lower(): text for name, text in answer.getheaders()}
        return Reply(answer.status, got, answer.read())

    def send(self, text: bytes) -> bytes:
        """Raw bytes, and everything that comes back until the server ends the connection."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            client.sendall(text)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def metric(self, name: str, **labels: str) -> float | None:
        """One sample of the metrics."""
        return self.metrics.registry.get_sample_value(f"ledger_worker_{name}", labels)


@contextmanager
def serve(  # noqa: PLR0913 - each is optional
    ledger: ReadLedger,
    *,
    rulebook: Rulebook | None = None,
    tokens: Tokens | None = None,
    deadline_seconds: float = PATIENCE_SECONDS,
    readers_max: int = READERS_MAX,
    pages: APIRouter | None = None,
) -> Iterator[Served]:
    """A server on this ledger; it closes the ledger."""
    metrics = ServeMetrics()
    with closing(
        SharedLookups(
            ledger,
            deadline_seconds=deadline_seconds,
            observe=metrics.lookup,
            readers_max=readers_max,
        )
    ) as lookups:
        metrics.ledger_waiting(lambda: lookups.waiting_seconds)
        app = application(
            rulebook=rulebook or packaged_rulebook(),
            lookups=lookups,
            tokens=tokens,
            metrics=metrics,
            pages=pages,
        )
        with closing(Server(app, listen("127.0.0.1", 0))) as server:
            yield Served(server.port, lookups, metrics, server)


def until(done: Callable[[], bool]) -> None:
    """Wait for what must come, not for long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.002)


class StuckLedger:
    """Answers nothing until it is let go; remembers what it was asked.

    found: what it answers then.
    """

    def __init__(self, found: Callable[[int], Account | None] = lambda _: None) -> None:
        self.asked: list[list[int]] = []
        self.reached = Event()
        self.free = Event()
        self._found = found
        self._closed = False

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        self.asked.append(list(ids))
        self.reached.set()
        self.free.wait()
        if self._closed:
            raise LedgerClosed("closed")
        found = [self._found(number) for number in ids]
        return [one for one in found if one is not None]

    def close(self) -> None:
        self._closed = True
        self.free.set()
