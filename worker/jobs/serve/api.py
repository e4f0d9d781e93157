"""The routes: who may ask, for which account, and what is answered; a WSGI application.

The invariant: an account's figures leave only after the token was right, and no log line shows a
path, because a key is in it. Every failure becomes an answer with a reason. Imports the core, the
ports, what reads the ledger, and the metrics.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import structlog
from prometheus_client.exposition import choose_encoder

from worker.core.account_ids import key_problem
from worker.core.errors import LedgerClosed, UsageError
from worker.core.ids import account_id
from worker.core.money import Currency
from worker.core.rulebook import DeclaredAccount, Rulebook
from worker.core.wire import Account as Held
from worker.jobs.serve.answers import RequestRefused, Response, document, plain, problem, tagged
from worker.jobs.serve.balance import balance
from worker.jobs.serve.openapi import openapi
from worker.jobs.serve.request_path import RequestTarget, asked_currency, decoded, target
from worker.jobs.serve.shared_lookups import NOBODY, LedgerSilent, SharedLookups, TooManyReaders
from worker.jobs.serve.tokens import Tokens, TokensUnreadable
from worker.ledger.books import declared_account
from worker.observe.metrics import ServeMetrics

METHODS: Final = ("GET", "HEAD")
CHALLENGE: Final = 'Bearer realm="ledger-worker"'
ACCOUNT: Final = "/v1/accounts"
OTHER: Final = "other"

Environ = Mapping[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]

_log = structlog.get_logger(__name__)


class Api:
    """Answers requests, from any number of threads. tokens: None lets everybody in."""

    def __init__(
        self,
        *,
        rulebook: Rulebook,
        lookups: SharedLookups,
        tokens: Tokens | None,
        metrics: ServeMetrics,
    ) -> None:
        self._rulebook = rulebook
        self._lookups = lookups
        self._tokens = tokens
        self._metrics = metrics
        self._openapi = openapi()
        self._fixed: dict[str, Callable[[Environ], Response]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/metrics": self._scrape,
            "/openapi.json": self._document,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request (WSGI)."""
        began = perf_counter()
        route, answer = self._answer(environ)
        self._metrics.request(route=route, status=answer.status, seconds=perf_counter() - began)
        start_response(answer.status_line, list(answer.headers))
        return [answer.body] if answer.body and environ["REQUEST_METHOD"] != "HEAD" else []

    def _answer(self, environ: Environ) -> tuple[str, Response]:
        asked = target(environ["REQUEST_URI"])
        route = self._route(asked)
        try:
            return route, self._routed(route, asked, environ)
        except RequestRefused as refused:
            return route, problem(refused)
        except Exception as error:  # noqa: BLE001 - the last resort: one request must not end us
            _log_internal(error)
            return route, problem(RequestRefused("internal_error", "a fault of the server"))

    def _route(self, asked: RequestTarget) -> str:
        """A label of the metrics, so one of a few."""
        if asked.path in self._fixed:
            return asked.path
        return ACCOUNT if asked.path.startswith(f"{ACCOUNT}/") else OTHER

    def _routed(self, route: str, asked: RequestTarget, environ: Environ) -> Response:
        if route == OTHER:
            raise RequestRefused(
                "not_found", f"there is {ACCOUNT}/{{account}}/{{key}}, and /openapi.json"
            )
        if environ["REQUEST_METHOD"] not in METHODS:
            raise RequestRefused(
                "method_not_allowed",
                "this server only reads; what posts is an event on Kafka",
                ("Allow", ", ".join(METHODS)),
            )
        if route in self._fixed:
            return self._fixed[route](environ)
        self._let_in(environ)
        return self._account(asked, environ.get("HTTP_IF_NONE_MATCH", ""))

    def _account(self, asked: RequestTarget, if_none_match: str) -> Response:
        name, *keys = asked.path.removeprefix(f"{ACCOUNT}/").split("/")
        declared = self._declared(decoded(name))
        key = _key(declared, keys)
        currency = self._currency(asked_currency(asked.query))
        number = account_id(ledger=currency.ledger, name=declared.name, key=key)
        held = _ledger(lambda: self._lookups.account(number))
        figures = balance(
            declared=declared, key=key, currency=currency, account_id=number, held=held
        )
        return tagged(figures, if_none_match=if_none_match)

    def _let_in(self, environ: Environ) -> None:
        if self._tokens is None:
            return
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise RequestRefused(
                "token_missing",
                "send the header Authorization: Bearer, and a token of the tokens file",
                ("WWW-Authenticate", CHALLENGE),
            )
        try:
            right = self._tokens.accepts(token.strip())
        except TokensUnreadable as unreadable:
            raise RequestRefused("tokens_unreadable", str(unreadable)) from None
        if not right:
            challenge = f'{CHALLENGE}, error="invalid_token"'
            detail = "the token is not, or no longer, in the tokens file"
            raise RequestRefused("token_wrong", detail, ("WWW-Authenticate", challenge))

    def _declared(self, name: str) -> DeclaredAccount:
        try:
            return declared_account(self._rulebook, name)
        except UsageError as error:
            raise RequestRefused("unknown_account", str(error)) from None

    def _currency(self, name: str) -> Currency:
        found = self._rulebook.ledgers.get(name.lower())
        if found is None:
            raise RequestRefused(
                "unknown_currency", f"the rulebook has no ledger for the currency {name!r}"
            )
        return found

    def _live(self, _environ: Environ) -> Response:
        """That this is answered is the proof; the ledger's outage is no reason to restart."""
        return document({"ok": True})

    def _ready(self, _environ: Environ) -> Response:
        if self._tokens is not None and (why := self._tokens.problem):
            raise RequestRefused("tokens_unreadable", why)
        _ledger(lambda: self._lookups.account(NOBODY))
        return document({"ok": True})

    def _scrape(self, environ: Environ) -> Response:
        encode, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        return plain(content_type, encode(self._metrics.registry))

    def _document(self, environ: Environ) -> Response:
        return tagged(self._openapi, if_none_match=environ.get("HTTP_IF_NONE_MATCH", ""))


def _key(declared: DeclaredAccount, segments: list[str]) -> str:
    """The family key that follows the account's name; "" for a single account."""
    if len(segments) > 1:
        raise RequestRefused(
            "not_found", "one key may follow the account; a / in it is written %2F"
        )
    if not declared.per:
        if segments:
            raise RequestRefused(
                "key_not_taken", f"{declared.name} is a single account and has no key"
            )
        return ""
    if not segments:
        raise RequestRefused(
            "key_missing",
            f"{declared.name} has one account per {declared.per}: ask for"
            f" /v1/accounts/{declared.name}/{{{declared.per}}}",
        )
    key = decoded(segments[0])
    if why := key_problem(key):
        raise RequestRefused("bad_key", f"the key of {declared.name} {why}")
    return key


def _ledger(ask: Callable[[], Held | None]) -> Held | None:
    try:
        return ask()
    except LedgerSilent as silent:
        raise RequestRefused("ledger_silent", str(silent)) from None
    except TooManyReaders as busy:
        raise RequestRefused("too_busy", str(busy)) from None
    except LedgerClosed as closed:
        raise RequestRefused("stopping", str(closed)) from None


def _log_internal(error: Exception) -> None:
    """Type and place only: an exception's text could hold what was asked for."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _log.error(
        "internal_error",
        error=type(error).__name__,
        place=f"{Path(frame.filename).name}:{frame.lineno}",
    )
