"""What every request passes before its route: limits, metrics, and the last error handler.

No log line shows a path, because an account's key is in it.
"""

from __future__ import annotations

import re
from time import perf_counter
from typing import Final
from urllib.parse import unquote_to_bytes

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.jobs.serve.answers import RequestRefused, problem
from worker.observe.logs import log_internal_error
from worker.observe.metrics import ServeMetrics

METHODS: Final = ("GET", "HEAD")
HEADER_BYTES_MAX: Final = 16 * 1024
"""The request line, so the URL too, and all headers together."""

BODY_BYTES_MAX: Final = 1024
"""A GET has none."""

CLOSE: Final = ("Connection", "close")
"""What may follow such a request makes no sense."""

ACCOUNTS: Final = "/v1/accounts"
OTHER: Final = "other"
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

_log = structlog.get_logger(__name__)


class Middleware:
    """Around the whole application (ASGI).

    A route sees the path as it was sent, still encoded, because `%2F` is part of a key and `/` is
    not; and HEAD as GET, because uvicorn leaves the body out.
    """

    def __init__(self, app: ASGIApp, *, metrics: ServeMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        routed = {**scope, "method": method, "path": path_as_sent(scope["raw_path"])}
        answering = False

        async def counted(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start":
                answering = True
                seconds = perf_counter() - began
                label = _label(routed)
                self._metrics.request(route=label, status=message["status"], seconds=seconds)
            await send(message)

        try:
            await _limited(scope, receive)
            await self._app(routed, receive, counted)
        except RequestRefused as refused:
            await problem(refused)(scope, receive, counted)
        except Exception as error:  # noqa: BLE001 - the last resort: one request must not end us
            log_internal_error(_log, error)
            if not answering:
                fault = RequestRefused("internal_error", "a fault of the server")
                await problem(fault)(scope, receive, counted)


def path_as_sent(raw: bytes) -> str:
    """The path of a request's target; some clients put scheme and host before it."""
    path = raw.decode("latin-1")
    if not path.startswith("/"):
        _, scheme, rest = path.partition("://")
        path = "/" + rest.partition("/")[2] if scheme else path
    return path


def decoded(segment: str) -> str:
    """One segment of a path.

    Raises:
        RequestRefused: it is not percent-encoded UTF-8.
    """
    if _BAD_ESCAPE.search(segment):
        detail = "a % in the path is not followed by two hex digits; it is %25"
        raise RequestRefused("bad_path", detail)
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        detail = "the path is not UTF-8 where it is percent-encoded"
        raise RequestRefused("bad_path", detail) from None


async def _limited(scope: Scope, receive: Receive) -> None:
    """Refuse what is too long; read what a client sends as a body, up to the limit."""
    sent = dict(scope["headers"])
    lengths = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    if lengths + len(scope["raw_path"]) + len(scope["query_string"]) > HEADER_BYTES_MAX:
        raise RequestRefused("headers_too_large", TOO_LARGE["headers_too_large"], CLOSE)
    length = int(sent.get(b"content-length", 0))
    more = length <= BODY_BYTES_MAX and b"transfer-encoding" in sent
    size = length
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False) and size <= BODY_BYTES_MAX
    if size > BODY_BYTES_MAX:
        raise RequestRefused("body_too_large", TOO_LARGE["body_too_large"], CLOSE)


TOO_LARGE: Final = {
    "headers_too_large": f"request line and headers may have {HEADER_BYTES_MAX} bytes together",
    "body_too_large": f"a body may have {BODY_BYTES_MAX} bytes; a GET needs none",
}


def _label(routed: Scope) -> str:
    """The route as a label of the metrics, so one of a few."""
    path = getattr(routed.get("route"), "path", OTHER)
    return ACCOUNTS if path.startswith(ACCOUNTS) else str(path)
