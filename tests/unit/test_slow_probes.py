"""Clients of the probes' port that dawdle: they cost themselves their connection, nobody else."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from prometheus_client import CollectorRegistry, Gauge

from worker.observe import health as limits
from worker.observe.health import CONNECTIONS_MAX, Health, HealthServer


@pytest.fixture
def server() -> Iterator[HealthServer]:
    """A server on a free port of the loopback."""
    with closing(served(CollectorRegistry())) as server:
        yield server


def served(registry: CollectorRegistry) -> HealthServer:
    health = Health(deadline_seconds=10)
    return HealthServer(health=health, registry=registry, host="127.0.0.1", port=0)


def get(port: int, path: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return int(answer.status)


def answering() -> int:
    """How many connections have a thread."""
    return sum("process_request" in thread.name for thread in threading.enumerate())


BEGUN = (b"", b"G", b"GET /livez HTTP/1.1\r\nX: ", b"POST /livez HTTP/1.1\r\n")


@pytest.mark.parametrize("crowd", [16, CONNECTIONS_MAX, 5 * CONNECTIONS_MAX])
def test_slow_clients_do_not_take_the_probes_away(server: HealthServer, crowd: int) -> None:
    """While any number of connections rest or have begun a request, each probe is answered soon."""
    with ExitStack() as clients:
        for number in range(crowd):
            client = clients.enter_context(
                socket.create_connection(("127.0.0.1", server.port), timeout=30)
            )
            client.sendall(BEGUN[number % len(BEGUN)])
        for _ in range(20):
            began = time.monotonic()
            assert get(server.port, "/livez") == 200
            assert time.monotonic() - began < 10


@pytest.mark.parametrize("drip", [b"", b"X"])
def test_a_request_has_one_deadline(
    drip: bytes, server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends nothing, or a byte now and then, is cut off when its time is over."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS_MAX", 0.5)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.1) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        while time.monotonic() - began < 30:
            try:
                client.sendall(drip)
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("the server waited on")


def test_who_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scraper that does not read its answer holds its thread no longer than the deadline."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS_MAX", 3.0)
    registry = CollectorRegistry()
    large = Gauge("large", "Larger than what a connection buffers.", ["label"], registry=registry)
    for number in range(3_000):
        large.labels(f"{number:04}" * 1_000)
    with closing(served(registry)) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert client.recv(9) == b"HTTP/1.0 "
        deadline = time.monotonic() + 30
        while answering():
            assert time.monotonic() < deadline, "the server waited on"
            time.sleep(0.05)
