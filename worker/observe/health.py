"""Liveness and readiness, and the small HTTP server that answers /livez and /readyz.

/livez depends on the loop alone, so that an outage of the ledger or of Kafka never gets the worker
killed; /readyz shows the outage.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from worker.core.errors import UsageError

HEARTBEAT_SECONDS_MAX: Final = 60.0
"""A loop without a round for so long is stuck. A round waits for at most one transaction."""

CONNECTIONS_MAX: Final = 16
"""Probes and a scraper or two; more at once are turned away."""

CONNECTION_SECONDS: Final = 5.0
"""How long a client may take to send its request."""

_log = structlog.get_logger(__name__)


def _never() -> float:
    return 0.0


class Health:
    """The loop's own state. Single attributes, so any thread may read and write.

    beats: rounds of the loop, and reports that it waits.
    assigned: does the group's coordinator count us in, with or without partitions?
    ledger_waiting_seconds: how long the ledger's request under way has been waiting.
    kafka_waiting_seconds: how long no broker has answered; 0.0 while they do.
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
        self.ledger_waiting_seconds: Callable[[], float] = _never
        self.kafka_waiting_seconds: Callable[[], float] = _never

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
        """Are we in the group, and do the ledger and Kafka answer within the deadline?"""
        ledger = self.ledger_waiting_seconds()
        kafka = self.kafka_waiting_seconds()
        return ProbeResult(
            ok=self.assigned and max(ledger, kafka) < self._deadline_seconds,
            fields={
                "assigned": self.assigned,
                "ledger_waiting_seconds": round(ledger, 3),
                "kafka_waiting_seconds": round(kafka, 3),
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
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )
        self._thread.start()
        _log.info("http_listening", host=host, port=self.port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, health: Probes, registry: CollectorRegistry, host: str, port: int) -> None:
        self.health = health
        self.registry = registry
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        _log.debug("http_client_left", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CONNECTION_SECONDS
    server_version = "ledger-worker"
    sys_version = ""

    def do_GET(self) -> None:
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
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Probes come every few seconds: they are not worth a line."""
