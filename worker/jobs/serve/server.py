"""The HTTP server: uvicorn, with a limit on everything that a client can send or keep open."""

from __future__ import annotations

import asyncio
import socket
import sys
from ipaddress import ip_address
from threading import Thread
from typing import Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.core.errors import UsageError
from worker.jobs.serve.answers import RequestRefused, problem
from worker.jobs.serve.middleware import HEADER_BYTES_MAX, TOO_LARGE

CONNECTIONS_MAX: Final = 500
"""Open at once; a later one replaces the one that has waited longest for its client."""

BACKLOG: Final = 128
REQUEST_SECONDS_MAX: Final = 10.0
"""From a request's first byte to its last: a client that drips is cut off."""

IDLE_SECONDS_MAX: Final = 60
"""How long a kept-alive connection may rest, and an answer may take to be read."""

DRAIN_SECONDS: Final = 5
"""At the end, for the answers that are being made."""

_REFUSED_BY_HTTP: Final = {
    400: ("bad_request", "the request is not HTTP/1.1 as RFC 9112 has it"),
    431: ("headers_too_large", TOO_LARGE["headers_too_large"]),
    501: ("not_implemented", "of the transfer codings, only chunked is known"),
}
"""By h11's status. Not its own words: they quote what was sent."""


def listen(host: str, port: int, *, section: str = "serve") -> socket.socket:
    """A bound socket on one address. A name is resolved, IPv4 first.

    section: of the settings, for the message.

    Raises:
        UsageError: the address is not ours, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(
            found, key=lambda entry: entry[0] is not socket.AF_INET
        )
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no such host"
        raise UsageError(
            f"{section}.port {port} on {host} cannot be listened on ({why});"
            f" set LEDGER_WORKER_{section.upper()}__PORT to another, or to 0 for a free one"
        ) from None
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Can only this machine reach the socket?"""
    return ip_address(str(bound.getsockname()[0]).partition("%")[0]).is_loopback


class Server:
    """Serves an application (ASGI) from a thread of its own until `close()`."""

    def __init__(self, app: ASGIApp, bound: socket.socket) -> None:
        self.port = int(bound.getsockname()[1])
        bound.listen(BACKLOG)  # from now on nobody is refused; uvicorn takes them when it is up
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="error",
            access_log=False,  # a key is in the path
            proxy_headers=False,
            server_header=False,
            headers=[("Server", "ledger-worker"), NOSNIFF],
            backlog=BACKLOG,
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            timeout_keep_alive=IDLE_SECONDS_MAX,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        self._server = _Server(config)
        self._thread = Thread(target=self._run, args=[bound], name="http", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Is there still a thread that takes requests?"""
        return self._thread.is_alive()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def close(self) -> None:
        """Take no more connections, finish the answers that are being made, and end."""
        self._server.should_exit = True
        self._thread.join(DRAIN_SECONDS * 2)

    def _run(self, bound: socket.socket) -> None:
        asyncio.run(self._server.serve(sockets=[bound]))


NOSNIFF: Final = ("X-Content-Type-Options", "nosniff")
_RAW_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
"""No browser takes an answer for anything but what its content type says."""


class _Server(uvicorn.Server):
    """Looks ten times a second for connections that take too long."""

    async def on_tick(self, counter: int) -> bool:
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Connection) and connection.late:
                connection.transport.abort()
        return await super().on_tick(counter)


class _Connection(H11Protocol):
    """One connection, which knows since when it waits for its client."""

    since: float
    resting = True

    @property
    def answering(self) -> bool:
        """Is there a request whose answer is not complete?"""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def receiving(self) -> bool:
        """Has a request begun that is not here in full?"""
        return not self.resting and (not self.answering or self.conn.their_state is h11.SEND_BODY)

    @property
    def waits_for_client(self) -> bool:
        """Is it the client's move: to send, to read, or to come again?"""
        return not self.answering or self.receiving or self.flow.write_paused

    @property
    def late(self) -> bool:
        """Has the client taken too long to send, to read, or to come again?"""
        limit = REQUEST_SECONDS_MAX if self.receiving else IDLE_SECONDS_MAX
        return self.loop.time() - self.since > limit

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it; where there are too many, end the one that waits for its client longest."""
        self.since = self.loop.time()
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            waiting = [
                connection
                for connection in self.connections
                if isinstance(connection, _Connection) and connection.waits_for_client
            ]
            longest = min(waiting, key=lambda connection: connection.since)  # at least this one
            self.connections.discard(longest)  # at once: many may come before its end is noticed
            longest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Remember when the request began that these bytes belong to."""
        if self.resting:
            self.resting = False
            self.since = self.loop.time()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Rest, unless the next request is here already."""
        self.resting = self.conn.their_state is h11.DONE and not self.conn.trailing_data[0]
        self.since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What h11 refuses, as a problem document; the connection ends."""
        del msg
        if self.answering:
            self.transport.abort()
            return
        status = getattr(sys.exception(), "error_status_hint", 400)
        answer = problem(RequestRefused(*_REFUSED_BY_HTTP.get(status, _REFUSED_BY_HTTP[400])))
        head = h11.Response(
            status_code=answer.status_code,
            headers=[*answer.raw_headers, _RAW_NOSNIFF, (b"connection", b"close")],
        )
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
