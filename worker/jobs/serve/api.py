"""The routes of the HTTP server, and the OpenAPI document that is made from their types.

An account's figures are sent only after the token was right.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, cast

import orjson
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.telemetry import TelemetryConfig
from prometheus_client.exposition import choose_encoder
from pydantic import AfterValidator, BaseModel, ConfigDict
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from worker import __version__
from worker.core.account_ids import key_problem
from worker.core.errors import LedgerClosed, UsageError
from worker.core.ids import account_id
from worker.core.rulebook import DeclaredAccount, Rulebook
from worker.core.wire import Account
from worker.jobs.serve.answers import (
    NO_STORE,
    PROBLEM_JSON,
    REASONS,
    Problem,
    RequestRefused,
    document,
    problem,
    tagged,
)
from worker.jobs.serve.balance import Balance, balance
from worker.jobs.serve.middleware import METHODS, Middleware, decoded
from worker.jobs.serve.shared_lookups import NOBODY, LedgerSilent, SharedLookups, TooManyReaders
from worker.jobs.serve.tokens import Tokens, TokensUnreadable
from worker.ledger.books import declared_account
from worker.observe.metrics import ServeMetrics

CHALLENGE: Final = 'Bearer realm="ledger-worker"'
ACCOUNT: Final = "/v1/accounts/{account:segment}"
BY_HTTP: Final = ("bad_request", "body_too_large", "headers_too_large", "not_implemented")
"""What can be wrong with any request, whatever it asks for."""

EVERYWHERE: Final = (*BY_HTTP, "method_not_allowed", "internal_error")
UNREACHED: Final = ("ledger_silent", "too_busy", "stopping")
OF_AN_ACCOUNT: Final = (
    *("bad_path", "bad_key", "bad_query", "unknown_currency", "token_missing", "token_wrong"),
    *("not_found", "unknown_account", "key_missing", "key_not_taken"),
    *(*UNREACHED, "tokens_unreadable"),
)
HEADERS: Final[Mapping[int | str, dict[str, Any]]] = {
    200: {"ETag": {"schema": {"type": "string"}, "description": "of these bytes"}},
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
}
TAGGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": HEADERS[200]},
    304: {"description": "the client has these bytes already", "headers": HEADERS[200]},
}


NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""A span would name the path, and a key is in it."""


class Ok(BaseModel):
    """Yes."""

    model_config = ConfigDict(extra="forbid")
    ok: Literal[True] = True


class _Segment(StringConvertor):
    """A part of a path that may be empty, which has a refusal of its own."""

    regex = "[^/]*"


Segment = Annotated[str, AfterValidator(decoded)]
AccountName = Annotated[
    Segment, Path(description="an account's name in the rulebook, as customer_wallet")
]
Key = Annotated[
    Segment, Path(description="which of the family, as a customer's id; a / in it is written %2F")
]
IfNoneMatch = Annotated[
    str, Header(description="the ETag of an earlier answer: 304 when nothing has moved since")
]


_BAD_QUERY: Final = RequestRefused(
    "bad_query", "the query must be ?currency= and one currency, as in ?currency=usd"
)


async def requested_currency(
    request: Request,
    currency: Annotated[str, Query(description="a currency of the rulebook, as usd", min_length=1)],
) -> str:
    """The only thing that a query may say, and once."""
    if len(request.query_params.multi_items()) != 1:
        raise _BAD_QUERY
    return currency


Currency = Annotated[str, Depends(requested_currency)]


def application(
    *,
    rulebook: Rulebook,
    lookups: SharedLookups,
    tokens: Tokens | None,
    metrics: ServeMetrics,
    pages: APIRouter | None = None,
) -> FastAPI:
    """The whole server as one ASGI application.

    tokens: None lets everybody in. pages: for people, where there are some.
    """
    register_url_convertor("segment", _Segment())
    app = FastAPI(
        title="ledger-worker: live balances",
        version=__version__,
        description="Read-only. Amounts are decimal strings of minor units, because JSON's numbers"
        " are exact to 2^53 only. A read is of one moment: the ledger refuses in the end, when the"
        " event is posted.",
        openapi_url=None,  # one of our own below, with an ETag
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry=NO_TELEMETRY,
        exception_handlers={
            RequestRefused: _refused,
            RequestValidationError: _bad_query,
            HTTPException: _no_route,
        },
    )
    app.add_middleware(Middleware, metrics=metrics)
    app.include_router(_accounts(rulebook, lookups), dependencies=[Depends(_token_check(tokens))])
    app.include_router(_probes(app, lookups, tokens, metrics))
    if pages is not None:
        app.include_router(pages)
    return app


def _accounts(rulebook: Rulebook, lookups: SharedLookups) -> APIRouter:
    router = APIRouter()
    described: Any = {
        "summary": "what an account holds now",
        "response_model": Balance,
        "response_description": "the balance of one moment",
        "responses": TAGGED | _refusals(*OF_AN_ACCOUNT),
    }

    async def found(name: str, key: str | None, currency: str, if_none_match: str) -> Response:
        declared = _declared(rulebook, name)
        key = _family_key(declared, key)
        ledger = rulebook.ledgers.get(currency.lower())
        if ledger is None:
            raise RequestRefused(
                "unknown_currency", f"the rulebook has no ledger for the currency {currency!r}"
            )
        number = account_id(ledger=ledger.ledger, name=declared.name, key=key)
        stored = await _looked_up(lookups, number)
        figures = balance(
            declared=declared, key=key, currency=ledger, account_id=number, stored=stored
        )
        return tagged(figures.model_dump_json().encode(), if_none_match=if_none_match)

    @router.get(ACCOUNT + "/{key:segment}", **described)
    async def balance_of_key(
        account: AccountName, key: Key, currency: Currency, if_none_match: IfNoneMatch = ""
    ) -> Response:
        return await found(account, key, currency, if_none_match)

    @router.get(ACCOUNT, **described)
    async def balance_of_account(
        account: AccountName, currency: Currency, if_none_match: IfNoneMatch = ""
    ) -> Response:
        return await found(account, None, currency, if_none_match)

    return router


def _probes(
    app: FastAPI, lookups: SharedLookups, tokens: Tokens | None, metrics: ServeMetrics
) -> APIRouter:
    router = APIRouter()

    @router.get("/livez", response_model=Ok, responses=_refusals())
    async def livez() -> Response:
        """That this is answered is the proof; the ledger's outage is no reason to restart."""
        return document(Ok())

    @router.get("/readyz", response_model=Ok, responses=_refusals(*UNREACHED, "tokens_unreadable"))
    async def readyz() -> Response:
        """Does the ledger answer, and can the tokens be read?"""
        if tokens is not None and (why := tokens.problem):
            raise RequestRefused("tokens_unreadable", why)
        await _looked_up(lookups, NOBODY)
        return document(Ok())

    @router.get("/metrics", response_class=PlainTextResponse, responses=_refusals())
    async def scrape(accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
        """For Prometheus, in the format that it prefers."""
        encode, content_type = choose_encoder(accept)
        return Response(encode(metrics.registry), media_type=content_type, headers=dict([NO_STORE]))

    @router.get("/openapi.json", response_model=dict[str, Any], responses=TAGGED | _refusals())
    async def openapi(if_none_match: IfNoneMatch = "") -> Response:
        """This document."""
        return tagged(orjson.dumps(openapi_document(app)), if_none_match=if_none_match)

    return router


def _token_check(
    tokens: Tokens | None,
) -> Callable[[HTTPAuthorizationCredentials | None], Coroutine[Any, Any, None]]:
    """The dependency that lets in who sent a token of the file."""

    async def check(
        sent: Annotated[
            HTTPAuthorizationCredentials | None,
            Security(HTTPBearer(scheme_name="token", auto_error=False)),
        ],
    ) -> None:
        if tokens is None:
            return
        if sent is None or not sent.credentials.strip():
            raise RequestRefused(
                "token_missing",
                "send the header Authorization: Bearer, and a token of the tokens file",
                ("WWW-Authenticate", CHALLENGE),
            )
        try:
            right = tokens.accepts(sent.credentials.strip())
        except TokensUnreadable as unreadable:
            raise RequestRefused("tokens_unreadable", str(unreadable)) from None
        if not right:
            challenge = f'{CHALLENGE}, error="invalid_token"'
            detail = "the token is not, or no longer, in the tokens file"
            raise RequestRefused("token_wrong", detail, ("WWW-Authenticate", challenge))

    return check


def _declared(rulebook: Rulebook, name: str) -> DeclaredAccount:
    try:
        return declared_account(rulebook, name)
    except UsageError as error:
        raise RequestRefused("unknown_account", str(error)) from None


def _family_key(declared: DeclaredAccount, key: str | None) -> str:
    """The key that follows the account's name; "" for a single account."""
    name = declared.name
    if not declared.per:
        if key is not None:
            raise RequestRefused("key_not_taken", f"{name} is a single account and has no key")
        return ""
    if key is None:
        raise RequestRefused(
            "key_missing",
            f"{name} has one account per {declared.per}: ask for"
            f" /v1/accounts/{name}/{{{declared.per}}}",
        )
    if why := key_problem(key):
        raise RequestRefused("bad_key", f"the key of {name} {why}")
    return key


async def _looked_up(lookups: SharedLookups, number: int) -> Account | None:
    try:
        return await lookups.account(number)
    except LedgerSilent as silent:
        raise RequestRefused("ledger_silent", str(silent)) from None
    except TooManyReaders as busy:
        raise RequestRefused("too_busy", str(busy)) from None
    except LedgerClosed as closed:
        raise RequestRefused("stopping", str(closed)) from None


async def _refused(request: Request, refused: Exception) -> Response:
    del request
    return problem(cast("RequestRefused", refused))


async def _bad_query(request: Request, error: Exception) -> Response:
    """The path and the headers are text whatever they hold, so it is the query that is wrong."""
    del request, error
    return problem(_BAD_QUERY)


async def _no_route(request: Request, error: Exception) -> Response:
    del request
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = ("Allow", ", ".join(METHODS))
        detail = "this server only reads; what posts is an event on Kafka"
        return problem(RequestRefused("method_not_allowed", detail, allow))
    return problem(
        RequestRefused(
            "not_found",
            "there is /v1/accounts/{account}/{key}, where a / in a key is written %2F, and"
            " /openapi.json",
        )
    )


def _refusals(*reasons: str) -> dict[int | str, dict[str, Any]]:
    """One response for each status, with the reasons that it can have."""
    by_status: dict[int | str, list[str]] = {}
    for reason in (*reasons, *EVERYWHERE):
        by_status.setdefault(REASONS[reason][0], []).append(reason)
    return {
        status: {
            "description": "; ".join(f"`{reason}`: {REASONS[reason][1]}" for reason in found),
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": HEADERS.get(status, {}),
        }
        for status, found in sorted(by_status.items())
    }


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with our refusals instead of its 422."""
    found = app.openapi()
    schemas = found["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for methods in found["paths"].values():
        methods["get"]["responses"].pop("422", None)
    return found
