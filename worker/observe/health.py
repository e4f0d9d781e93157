"""Liveness and readiness, and the small HTTP server that answers /livez and /readyz.

/livez depends on the loop alone, so that an outage of the ledger or of Kafka never gets the worker
killed; /readyz shows the outage.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from worker.core.errors import UsageError

HEARTBEAT_SECONDS_MAX: Final = 60.0
"""A loop without a round for so long is stuck. A round waits for at most one transaction."""

CONNECTIONS_MAX: Final = 32
"""Probes and a scraper or two; a later one takes the place of the one that dawdles longest."""

REQUEST_SECONDS_MAX: Final = 5.0
"""From the connection to the last byte of the answer: a client that drips is cut off."""

LATE_LOOK_SECONDS: Final = 0.1
"""How often the server looks for connections that take too long."""

_log = structlog.get_logger(__name__)


def _never() -> float:
    return 0.0


class Health:
    """The loop's own state. Single attributes, so any thread may read and write.

    beats: rounds of the loop, and reports that it waits.
    assigned: does the group's coordinator count us in, with or without partitions?
    ledger_waiting_seconds: how long the ledger's request under way has been waiting.
    kafka_waiting_seconds: how long no broker has answered; 0.0 while they do.
    stuck: why no transaction ends, as by a record that no topic takes; empty while they do.
    registry_waiting_seconds: how long the schema registry has not answered what records ask for.
    """

    def __init__(
        self,
        *,
        deadline_seconds: float,
        heartbeat_seconds_max: float = HEARTBEAT_SECONDS_MAX,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._heartbeat_seconds_max = heartbeat_seconds_max
        self._now = now
        self._beat_at = now()
        self.beats = 0
        self.assigned = False
        self.stuck = ""
        self.ledger_waiting_seconds: Callable[[], float] = _never
        self.kafka_waiting_seconds: Callable[[], float] = _never
        self.registry_waiting_seconds: Callable[[], float] = _never

    def beat(self) -> None:
        """The loop has turned once more."""
        self._beat_at = self._now()
        self.beats += 1

    def live(self) -> ProbeResult:
        """Has the loop turned lately?"""
        age = self._now() - self._beat_at
        return ProbeResult(
            ok=age <= self._heartbeat_seconds_max, fields={"heartbeat_seconds": round(age, 3)}
        )

    def ready(self) -> ProbeResult:
        """Are we in the group, do those we need answer in time, and do transactions end?"""
        ledger = self.ledger_waiting_seconds()
        kafka = self.kafka_waiting_seconds()
        registry = self.registry_waiting_seconds()
        return ProbeResult(
            ok=self.assigned
            and max(ledger, kafka, registry) < self._deadline_seconds
            and not self.stuck,
            fields={
                "assigned": self.assigned,
                "ledger_waiting_seconds": round(ledger, 3),
                "kafka_waiting_seconds": round(kafka, 3),
                "registry_waiting_seconds": round(registry, 3),
                "stuck": self.stuck,
            },
        )


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A probe's answer: ok, and the figures behind it."""

    ok: bool
    fields: dict[str, Any]


class Probes(Protocol):
    """What a process says of itself."""

    def live(self) -> ProbeResult:
        """Is it stuck? Then it is started anew."""
        ...

    def ready(self) -> ProbeResult:
        """Can it do its work now?"""
        ...


class HealthServer:
    """Serves /livez, /readyz and /metrics from a thread of its own until `close()`.

    Raises:
        UsageError: the port is taken, or the host is not ours.
    """

    def __init__(
        self, *, health: Probes, registry: CollectorRegistry, host: str, port: int
    ) -> None:
        try:
            self._server = _Server(health, registry, host, port)
        except OSError as error:
            raise UsageError(
                f"http.port {port} on {host} cannot be listened on ({error.strerror});"
                " set LEDGER_WORKER_HTTP__PORT to another, or to 0 for a free one"
            ) from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(LATE_LOOK_SECONDS,), name="http", daemon=True
        )
        self._thread.start()
        _log.info("http_listening", host=host, port=self.port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass(slots=True, eq=False)
class _Open:
    """One open connection.

    since: when it was accepted, in seconds of a clock that never goes back.
    answering: is its request here?
    """

    client: socket.socket
    since: float
    answering: bool = False

    def cut(self) -> None:
        """End it for both sides: its thread, which may wait for bytes, notices at once."""
        with suppress(OSError):  # it has ended by itself
            self.client.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    """A thread for each connection, so that no probe queues behind a scrape or a slow client."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, health: Probes, registry: CollectorRegistry, host: str, port: int) -> None:
        self.health = health
        self.registry = registry
        self._open: dict[socket.socket, _Open] = {}
        self._lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Take it in; where there are too many, cut off the one that dawdles longest."""
        with self._lock:
            if len(self._open) >= CONNECTIONS_MAX:
                slowest = min(self._open.values(), key=lambda each: (each.answering, each.since))
                del self._open[slowest.client]
                slowest.cut()
            self._open[request] = _Open(request, time.monotonic())
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Cut off whoever is over its time; the accepting thread calls this between two looks."""
        limit = time.monotonic() - REQUEST_SECONDS_MAX
        with self._lock:
            for late in [each for each in self._open.values() if each.since < limit]:
                del self._open[late.client]
                late.cut()

    def answering(self, client: socket.socket) -> None:
        """The request of this connection is here."""
        with self._lock:
            if client in self._open:
                self._open[client].answering = True

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """The connection's thread is done with it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        _log.debug("http_client_left", error=type(sys.exception()).__name__)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS_MAX
    server_version = "ledger-worker"
    sys_version = ""

    def do_GET(self) -> None:
        self.server.answering(self.connection)
        path = self.path.partition("?")[0]
        if path == "/livez":
            self._probe(self.server.health.live())
        elif path == "/readyz":
            self._probe(self.server.health.ready())
        elif path == "/metrics":
            self._metrics()
        else:
            self._send(404, "text/plain; charset=utf-8", b"/livez, /readyz or /metrics\n")

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _probe(self, answer: ProbeResult) -> None:
        body = json.dumps({"ok": answer.ok, **answer.fields}).encode() + b"\n"
        self._send(200 if answer.ok else 503, "application/json", body)

    def _metrics(self) -> None:
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._send(200, content_type, encode(self.server.registry))

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Probes come every few seconds: they are not worth a line."""
