"""Answers of the HTTP server, and every reason for which it refuses a request.

A refusal is a problem document (RFC 9457) whose `reason` is a word for programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
NO_STORE: Final = ("Cache-Control", "no-store")
RETRY_SECONDS: Final = 1
"""How long a 503 tells clients to wait; they should add jitter."""

REASONS: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "bad_request": (400, "the request is not HTTP as it should be"),
        "bad_path": (400, "the path is not percent-encoded UTF-8"),
        "bad_key": (400, "the account's key is empty, or holds what no key can"),
        "bad_query": (400, "the query is not `currency=…`, once"),
        "unknown_currency": (400, "the rulebook has no ledger for this currency"),
        "token_missing": (401, "there is no `Authorization: Bearer …`"),
        "token_wrong": (401, "the token is not in the tokens file"),
        "not_found": (404, "there is nothing at this path"),
        "unknown_account": (404, "the rulebook declares no such account"),
        "key_missing": (404, "the account is a family: a key must follow its name"),
        "key_not_taken": (404, "the account is a single one and has no keys"),
        "method_not_allowed": (405, "only GET and HEAD are answered"),
        "body_too_large": (413, "the request has a body"),
        "headers_too_large": (431, "request line and headers are too long together"),
        "internal_error": (500, "a fault of the server; its log says where"),
        "not_implemented": (501, "the request's transfer coding is not known"),
        "ledger_silent": (503, "the ledger did not answer in time"),
        "too_busy": (503, "too many readers wait already"),
        "tokens_unreadable": (503, "the tokens file cannot be read, so nobody is let in"),
        "stopping": (503, "the server stops"),
    }
)
"""Reason to status and meaning; the OpenAPI document lists them."""

_TITLES: Final = MappingProxyType({413: "Content Too Large"})
"""Where Python's own phrase is not the one of RFC 9110 in every version."""


class Problem(BaseModel):
    """A refusal (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["about:blank"]
    title: str
    status: int = Field(json_schema_extra={"enum": [*{status for status, _ in REASONS.values()}]})
    reason: str = Field(json_schema_extra={"enum": [*REASONS]})
    detail: str = Field(description="one sentence for a person")


class RequestRefused(Exception):
    """The request gets no figures.

    detail: one sentence for the person who sent it.
    """

    def __init__(self, reason: str, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.reason = reason
        self.headers = headers


def document(value: BaseModel) -> Response:
    """A JSON document that must not be kept, as probes want it."""
    return Response(value.model_dump_json(), media_type=JSON, headers=dict([NO_STORE]))


def tagged(body: bytes, *, if_none_match: str) -> Response:
    """JSON with an ETag of its bytes; 304 when the client has these bytes already.

    if_none_match: the header's text; empty when there is none.
    """
    tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    # RFC 9110, 13.1.2: weak comparison with each tag of the list; `*` is any.
    known = {given.strip().removeprefix("W/") for given in if_none_match.split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=JSON, headers=headers)


def problem(refused: RequestRefused) -> Response:
    """A refusal as a problem document."""
    status, _ = REASONS[refused.reason]
    body = Problem(
        type="about:blank",
        title=_TITLES.get(status) or HTTPStatus(status).phrase,
        status=status,
        reason=refused.reason,
        detail=str(refused),
    )
    headers = dict([NO_STORE, *refused.headers])
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(body.model_dump_json(), status, headers, PROBLEM_JSON)
