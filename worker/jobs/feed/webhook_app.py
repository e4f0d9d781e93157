"""The endpoint that Stripe posts its events to (ASGI): 200 once Kafka has the event's bytes.

A status below 300 ends Stripe's responsibility for an event, so the invariant: none is sent before
the broker has acknowledged the record. Whatever else happens, Stripe sends the event again, for
three days. No log line and no answer holds a body, a header or a secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, NamedTuple, Protocol

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from worker.jobs.feed.records import parsed, record_key, type_of
from worker.jobs.feed.signature import refusal
from worker.observe.feed_metrics import FeedMetrics
from worker.observe.logs import log_internal_error

WAITING_MAX: Final = 2_000
"""Deliveries that wait for Kafka at once; more are answered with 503."""

BUFFERED_BYTES_MAX: Final = 64 << 20
"""Of the bodies that arrive or wait for Kafka, all together; more are answered with 503. Who sends
one is not known before it is whole, so this is what bounds memory."""

RETRY_SECONDS: Final = 30
SIGNATURE: Final = b"stripe-signature"
TOO_LARGE_ERROR: Final = "MSG_SIZE_TOO_LARGE"

_log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """Writes records, and reports each to `Acknowledgements` later."""

    @property
    def down_seconds(self) -> float:
        """How long Kafka has been away; 0.0 while it is there."""
        ...

    def publish(self, *, topic: str, key: bytes | None, value: bytes, token: object) -> str:
        """Queue one record; the name of the error when it cannot even be queued."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is taken, and where it goes.

    secrets: of which one must have signed; none: everything is taken. deadline_seconds: for
    Kafka's acknowledgement. left_out: is this event one that nobody wants in the topic?
    now: seconds since 1970.
    """

    path: str
    topic: str
    secrets: Sequence[str]
    tolerance_seconds: float
    body_bytes_max: int
    deadline_seconds: float
    left_out: Callable[[object], bool]
    now: Callable[[], float]


class _Answer(NamedTuple):
    """A status, and one sentence for the person who looks at the delivery in Stripe's dashboard."""

    status: int
    says: str


TAKEN: Final = _Answer(200, "taken")
LEFT_OUT: Final = _Answer(200, "not wanted: the rulebook ignores it")
NOT_FOUND: Final = _Answer(404, "Stripe's events go to another path")
NOT_ALLOWED: Final = _Answer(405, "events are posted")
TOO_LARGE: Final = _Answer(413, "the event is larger than feed.body_bytes_max or the topic allows")
NOT_SIGNED: Final = _Answer(400, "the signature is not one of this endpoint's")
AWAY: Final = _Answer(503, "Kafka does not take it now; send it again")
BUSY: Final = _Answer(503, "too much arrives at once; send it again")
LEFT: Final = _Answer(499, "the client left")
"""Sent to nobody; counted, and no fault of the endpoint's."""

FAULT: Final = _Answer(500, "a fault of the endpoint; send it again")


class Acknowledgements:
    """Hands what the producer's thread reports to the requests that wait for it in the loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def expect(self) -> asyncio.Future[str]:
        """What becomes of one record: the error's name, empty when it is written."""
        self._loop = asyncio.get_running_loop()
        return self._loop.create_future()

    def __call__(self, arrived: Sequence[tuple[object, str]]) -> None:
        """From the producer's thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(_settle, arrived)


def _settle(arrived: Sequence[tuple[object, str]]) -> None:
    for token, error in arrived:
        if isinstance(token, asyncio.Future) and not token.done():
            token.set_result(error)


class WebhookApp:
    """The application."""

    def __init__(
        self,
        endpoint: Endpoint,
        publisher: Publisher,
        acknowledgements: Acknowledgements,
        metrics: FeedMetrics,
    ) -> None:
        self._endpoint = endpoint
        self._publisher = publisher
        self._acknowledgements = acknowledgements
        self._metrics = metrics
        self._waiting = 0
        self._buffered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        began = perf_counter()
        try:
            answer = await self._answer(scope, receive)
        except ConnectionResetError:
            answer = LEFT
        except Exception as error:  # noqa: BLE001 - the last resort: one request must not end us
            log_internal_error(_log, error)
            answer = FAULT
        self._metrics.answered(answer.status, perf_counter() - began)
        await _send(answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer:
        endpoint = self._endpoint
        if scope["path"] != endpoint.path:
            return NOT_FOUND
        if scope["method"] != "POST":
            return NOT_ALLOWED
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length", b"0")) > endpoint.body_bytes_max:
            return TOO_LARGE
        parts: list[bytes] = []
        try:
            refused = await self._receive(parts, receive)
            return refused or await self._answer_to(b"".join(parts), headers)
        finally:
            self._buffered -= sum(map(len, parts))

    async def _receive(self, parts: list[bytes], receive: Receive) -> _Answer | None:
        """The body's parts; why not, as soon as it is too large, or all together are."""
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client left")
            part = message.get("body", b"")
            size += len(part)
            if size > self._endpoint.body_bytes_max:
                return TOO_LARGE
            if self._buffered + len(part) > BUFFERED_BYTES_MAX:
                return BUSY
            parts.append(part)
            self._buffered += len(part)
            more = message.get("more_body", False)
        return None

    async def _answer_to(self, body: bytes, headers: dict[bytes, bytes]) -> _Answer:
        endpoint = self._endpoint
        if endpoint.secrets:
            refused = refusal(
                body,
                headers.get(SIGNATURE, b"").decode("latin-1"),
                secrets=endpoint.secrets,
                now=endpoint.now(),
                tolerance_seconds=endpoint.tolerance_seconds,
            )
            if refused is not None:
                self._metrics.signature_failed(refused)
                return NOT_SIGNED
        return await self._taken(body)

    async def _taken(self, body: bytes) -> _Answer:
        """The event's own bytes go to Kafka, also where they are no event: it says so there."""
        event = parsed(body)
        if self._endpoint.left_out(event):
            self._metrics.left_out()
            return LEFT_OUT
        if self._waiting >= WAITING_MAX or self._publisher.down_seconds:
            return AWAY
        self._waiting += 1
        try:
            error = await self._written(body, record_key(event))
        finally:
            self._waiting -= 1
        if error:
            return TOO_LARGE if error == TOO_LARGE_ERROR else AWAY
        self._metrics.written(type_of(event))
        return TAKEN

    async def _written(self, body: bytes, key: bytes | None) -> str:
        """The error's name; empty once the broker has acknowledged the record."""
        acknowledged = self._acknowledgements.expect()
        error = self._publisher.publish(
            topic=self._endpoint.topic, key=key, value=body, token=acknowledged
        )
        if error:
            return error
        try:
            return await asyncio.wait_for(acknowledged, self._endpoint.deadline_seconds)
        except TimeoutError:
            return "_TIMED_OUT"


async def _send(answer: _Answer, send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if answer in {AWAY, BUSY, FAULT}:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    if answer is NOT_ALLOWED:
        headers.append((b"allow", b"POST"))
    if answer in {TOO_LARGE, BUSY}:  # what follows in the connection is the rest of the body
        headers.append((b"connection", b"close"))
    body = orjson.dumps({"says": answer.says})
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
