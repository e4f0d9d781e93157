"""Answers of the HTTP server, and every reason for which it refuses one.

The invariant: a refusal is a problem document (RFC 9457) with a reason from `REASONS`, and its
detail never shows a token. Imports the standard library and orjson only.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
RETRY_SECONDS: Final = 1
"""What a 503 tells clients to wait. They must not all come at once: let them add jitter."""

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
        "internal_error": (500, "a fault of the server; its log has the place"),
        "not_implemented": (501, "the request's transfer coding is not known"),
        "ledger_silent": (503, "the ledger did not answer in time"),
        "too_busy": (503, "too many readers wait already"),
        "tokens_unreadable": (503, "the tokens file cannot be read, so nobody is let in"),
        "stopping": (503, "the server stops"),
    }
)
"""Reason to status and meaning; the OpenAPI document lists them."""

_PHRASES: Final = MappingProxyType({413: "Content Too Large"})
"""Where Python's own name is not the one of RFC 9110 in every version."""


class Response(NamedTuple):
    """One response. body: empty for 304."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status_line(self) -> str:
        """`200 OK`."""
        return f"{self.status} {_phrase(self.status)}"


class RequestRefused(Exception):
    """The request gets no figures. detail: one sentence for the person who sent it."""

    def __init__(self, reason: str, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.headers = headers


def document(value: Mapping[str, Any], *, status: int = 200) -> Response:
    """A JSON document that must not be kept, as probes want it."""
    return _answer(status, JSON, orjson.dumps(value), ("Cache-Control", "no-store"))


def tagged(value: Mapping[str, Any], *, if_none_match: str) -> Response:
    """A JSON document with an ETag of its bytes; 304 when the client has these bytes already.

    if_none_match: the header's text; empty when there is none.
    """
    body = orjson.dumps(value)
    tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    headers = (("ETag", tag), ("Cache-Control", "private, no-cache"))
    if _matches(tag, if_none_match):
        return Response(304, headers, b"")
    return _answer(200, JSON, body, *headers)


def problem(refused: RequestRefused) -> Response:
    """A refusal as RFC 9457's problem document; `reason` is an extension member."""
    status, _ = REASONS[refused.reason]
    body = {
        "type": "about:blank",
        "title": _phrase(status),
        "status": status,
        "reason": refused.reason,
        "detail": refused.detail,
    }
    headers = [("Cache-Control", "no-store"), *refused.headers]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(RETRY_SECONDS)))
    return _answer(status, PROBLEM_JSON, orjson.dumps(body), *headers)


def _answer(status: int, content_type: str, body: bytes, *headers: tuple[str, str]) -> Response:
    length = ("Content-Length", str(len(body)))
    return Response(status, (("Content-Type", content_type), length, *headers), body)


def plain(content_type: str, body: bytes) -> Response:
    """Something that is not JSON, as metrics are."""
    return _answer(200, content_type, body, ("Cache-Control", "no-store"))


def _matches(tag: str, if_none_match: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison with each tag of the list; `*` is any."""
    given = (one.strip().removeprefix("W/") for one in if_none_match.split(","))
    return any(one in (tag, "*") for one in given)


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase
