"""The HTTP server: waitress, with a limit on everything that a client can send or hold.

The invariant: no client can make the server wait, hold memory or read without a named limit; what
HTTP itself refuses is a problem document too. The only module that imports waitress.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from threading import Event, Thread
from typing import Any, Final, cast

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from worker.core.errors import UsageError
from worker.jobs.serve.answers import RequestRefused, problem
from worker.jobs.serve.shared_lookups import READERS_MAX

THREADS: Final = READERS_MAX + 8
"""Readers that wait for the ledger leave some threads to refuse others and to answer probes."""

CONNECTIONS_MAX: Final = 500
"""Open at once; whoever comes later waits to be accepted."""

BACKLOG: Final = 128
HEADER_BYTES_MAX: Final = 16 * 1024
"""The request line, so the URL too, and all headers together."""

READ_BYTES: Final = 64 * 1024
"""Read at once: so much of what is too long is read before it is refused, because a client that
is cut off while it sends does not see why."""

BODY_BYTES_MAX: Final = 1024
"""A GET has none."""

REQUEST_SECONDS_MAX: Final = 10.0
"""From a request's first byte to its last: a client that drips is cut off."""

IDLE_SECONDS_MAX: Final = 60
"""How long a kept-alive connection may rest. More than clients' own limits, which are shorter."""

CLEANUP_SECONDS: Final = 5
DRAIN_SECONDS: Final = 5.0
"""At the end, for the answers that are being made."""

LOOP_SECONDS: Final = 0.1
"""How often the loop looks whether it was told to stop; what a client sends wakes it at once."""

_REASONS: Final = {
    400: "bad_request",
    413: "body_too_large",
    431: "headers_too_large",
    501: "not_implemented",
}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on one address. A name is resolved, IPv4 first.

    Raises:
        UsageError: the address is not ours, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(
            found, key=lambda entry: entry[0] is not socket.AF_INET
        )
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no such host"
        raise UsageError(
            f"serve.port {port} on {host} cannot be listened on ({why});"
            " set LEDGER_WORKER_SERVE__PORT to another, or to 0 for a free one"
        ) from None
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Can only this machine reach the socket?"""
    return ip_address(str(listening.getsockname()[0]).partition("%")[0]).is_loopback


class Server:
    """Serves a WSGI application from threads of its own until `close()`."""

    def __init__(self, app: Callable[..., Any], listening: socket.socket) -> None:
        _configure_logs()
        self._map: dict[int, Any] = {}
        self._server = cast(
            "Any",
            create_server(
                app,
                map=self._map,
                sockets=[listening],
                threads=THREADS,
                connection_limit=CONNECTIONS_MAX,
                backlog=BACKLOG,
                recv_bytes=READ_BYTES,
                max_request_header_size=HEADER_BYTES_MAX,
                max_request_body_size=BODY_BYTES_MAX,
                channel_timeout=IDLE_SECONDS_MAX,
                cleanup_interval=CLEANUP_SECONDS,
                clear_untrusted_proxy_headers=True,
                log_socket_errors=False,
                ident="ledger-worker",
            ),
        )
        self._server.channel_class = _Channel
        self.port = int(listening.getsockname()[1])
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Is there still a thread that takes requests?"""
        return self._thread.is_alive()

    def close(self) -> None:
        """Take no more connections, finish the answers that are being made, and end."""
        self._stopping.set()
        self._thread.join(DRAIN_SECONDS * 2)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._turn()
        self._server.del_channel()
        self._server.socket.close()
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._busy() and time.monotonic() < deadline:
            self._turn()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._map, ignore_all=True)

    def _turn(self) -> None:
        wasyncore.loop(timeout=LOOP_SECONDS, use_poll=True, map=self._map, count=1)

    def _busy(self) -> bool:
        channels = list(self._server.active_channels.values())
        return any(one.requests or one.total_outbufs_len for one in channels)


def _configure_logs() -> None:
    """Waitress names paths in two of its messages, and a key is in a path."""
    logging.getLogger("waitress").addFilter(_without_path)
    # A busy minute would write a line for each request that waits for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def _without_path(record: logging.LogRecord) -> bool:
    if "serving %s" in str(record.msg):
        record.args = ("a request",)
    return True


class _Refusal(ErrorTask):
    """What waitress refuses by itself, told as everything else is."""

    def execute(self) -> None:
        """Write the problem document, and end the connection: what follows makes no sense."""
        task: Any = self  # the stubs know neither attribute well
        reason = _REASONS.get(task.request.error.code, "internal_error")
        answer = problem(RequestRefused(reason, _told(reason)))
        self.status = answer.status_line
        task.response_headers.extend(answer.headers)
        self.set_close_on_finish()
        self.content_length = len(answer.body)
        self.write(answer.body)


def _told(reason: str) -> str:
    """Not waitress's own words: they quote what was sent."""
    return {
        "bad_request": "the request is not HTTP/1.1 as RFC 9112 has it",
        "body_too_large": f"a body may have {BODY_BYTES_MAX} bytes; a GET needs none",
        "headers_too_large": f"request line and headers may have {HEADER_BYTES_MAX} bytes together",
        "not_implemented": "of the transfer codings, only chunked is known",
    }.get(reason, "a fault of the server")


class _Channel(HTTPChannel):
    """One connection; ended when a request takes too long to arrive. Touched by the loop alone."""

    error_task_class = _Refusal
    _began = 0.0

    def received(self, data: bytes) -> bool:
        """Remember when the request began that these bytes belong to."""
        if self.request is None:
            self._began = time.monotonic()
        return super().received(data)

    def readable(self) -> bool:
        """Asked at every turn of the loop."""
        if self.request is not None and time.monotonic() - self._began > REQUEST_SECONDS_MAX:
            self.will_close = True
        return super().readable()
