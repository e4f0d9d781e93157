"""What the server does when something is slow, too much, or not there: it says so, in time."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from tests.jobs.serve.served import PATIENCE_SECONDS, WALLET, Served, StuckLedger, serve, until
from worker.core.ids import account_id
from worker.core.wire import Account
from worker.jobs.serve import server as limits
from worker.observe.logs import configure_logging

CROWD = 40


def test_no_log_line_names_a_customer() -> None:
    """Whatever fails, the log has the place and neither path nor key."""

    class Faulty:
        def lookup_accounts(self, ids: object) -> list[Account]:
            del ids
            return [None]  # type: ignore[list-item]

        def close(self) -> None: ...

    lines = io.StringIO()
    configure_logging(level="debug", format="json", stream=lines)
    with serve(Faulty()) as served:
        assert served.get(f"{WALLET}/cus_1?currency=usd").refusal == (503, "stopping")
        assert isinstance(served.lookups.failure, AttributeError)
    with serve(StuckLedger(), deadline_seconds=0.05) as served:
        served.get(f"{WALLET}/cus_1?currency=usd")
        served.get(f"{WALLET}/cus_1%zz")
        served.send(b"cus_1\r\n\r\n")
        served.get(f"{WALLET}/cus_1?currency=usd", Upgrade="cus_1", Connection="upgrade")
    assert "cus_1" not in lines.getvalue()


def test_the_ledger_is_down() -> None:
    """Readers get 503 within the deadline and at once after it; the server lives, and recovers."""
    ledger = StuckLedger(lambda number: Account(id=number, credits_posted=7))
    path = f"{WALLET}/a?currency=usd"
    with serve(ledger, deadline_seconds=0.3) as served:
        for _ in range(3):
            reply = served.get(path)
            assert reply.refusal == (503, "ledger_silent")
            assert reply.headers["retry-after"] == "1"
        assert ledger.asked == [[account_id(ledger=840, name="customer_wallet", key="a")]]
        assert served.get("/readyz").refusal == (503, "ledger_silent")
        assert served.get("/livez").status == 200
        waiting = served.metric("ledger_waiting_seconds")
        assert waiting is not None
        assert waiting > 0.3
        ledger.free.set()
        until(lambda: served.get(path).status == 200)
        assert served.get(path).json["posted"] == "7"


def test_many_readers_share_requests() -> None:
    """A crowd on kept-alive connections is answered by few requests, each with its own figures."""
    ledger = StuckLedger(lambda number: Account(id=number, credits_posted=number % 1_000))
    with serve(ledger) as served, ThreadPoolExecutor(CROWD) as pool:
        everybody = threading.Barrier(CROWD)

        def read(reader: int) -> bool:
            number = account_id(ledger=840, name="customer_wallet", key=f"cus_{reader}")
            with closing(
                HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)
            ) as client:
                everybody.wait(PATIENCE_SECONDS)
                replies = [
                    served.ask(client, f"{WALLET}/cus_{reader}?currency=usd") for _ in range(5)
                ]
            return all(one.json["posted"] == str(number % 1_000) for one in replies)

        reads = [pool.submit(read, reader) for reader in range(CROWD)]
        assert ledger.reached.wait(PATIENCE_SECONDS)
        until(lambda: served.lookups.readers == CROWD)
        ledger.free.set()
        assert all(one.result(PATIENCE_SECONDS) for one in reads)
        assert sum(map(len, ledger.asked)) == CROWD * 5
        first, second = (len(numbers) for numbers in ledger.asked[:2])
        assert first == CROWD or second == CROWD - first


def test_one_reader_too_many() -> None:
    """While as many wait as may, another is refused at once, and probes are still answered."""
    ledger = StuckLedger()
    with serve(ledger, readers_max=4) as served, ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(served.get, f"{WALLET}/{reader}?currency=usd") for reader in range(4)]
        until(lambda: served.lookups.readers == 4)
        refused = served.get(f"{WALLET}/late?currency=usd")
        assert refused.refusal == (503, "too_busy")
        assert refused.headers["retry-after"] == "1"
        assert served.get("/livez").status == 200
        ledger.free.set()
        assert {one.result(PATIENCE_SECONDS).status for one in reads} == {200}


def reachable(served: Served) -> bool:
    try:
        socket.create_connection(("127.0.0.1", served.port), PATIENCE_SECONDS).close()
    except ConnectionError:
        return False
    return True


def test_an_answer_under_way_is_finished() -> None:
    """A reader that waits when the server is told to stop is still answered."""
    ledger = StuckLedger()
    with ThreadPoolExecutor(2) as pool, serve(ledger) as served:
        reading = pool.submit(served.get, f"{WALLET}/a?currency=usd")
        assert ledger.reached.wait(PATIENCE_SECONDS)
        closed = pool.submit(served.server.close)
        until(lambda: not reachable(served))
        ledger.free.set()
        assert reading.result(PATIENCE_SECONDS).status == 200
        closed.result(PATIENCE_SECONDS)
        assert not served.server.running


def parsed(raw: bytes) -> tuple[int, str, str]:
    """Status, content type and reason of the one answer in these bytes."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    kind = next(line for line in lines if line.lower().startswith("content-type"))
    return int(lines[0].split()[1]), kind.split(": ")[1], json.loads(body)["reason"]


HOST = b"Host: ledger\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
         431, "headers_too_large"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431, "headers_too_large"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 5000\r\n\r\n",
         413, "body_too_large"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n",
         501, "not_implemented"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n", 400, "bad_request"),
        (b"cus_secret\r\n\r\n", 400, "bad_request"),
    ],
)  # fmt: skip
def test_what_http_refuses(sent: bytes, status: int, reason: str, served: Served) -> None:
    """Malformed and oversized requests are problem documents too, and end the connection."""
    raw = served.send(sent)
    assert parsed(raw) == (status, "application/problem+json", reason)
    assert b"cus_secret" not in raw


def test_absolute_form(served: Served) -> None:
    """Scheme and host before the path, as proxies write it, change nothing."""
    head = f"GET http://ledger{WALLET}/a?currency=usd HTTP/1.1\r\nConnection: close\r\n"
    raw = served.send(head.encode() + HOST + b"\r\n")
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("drip", [b"", b"X"])
def test_slow_clients_are_cut_off(
    drip: bytes, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that does not arrive in time ends its connection, however often a byte comes."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS_MAX", 0.4)
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE_SECONDS) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\n")
        deadline = time.monotonic() + PATIENCE_SECONDS
        client.settimeout(0.1)
        while time.monotonic() < deadline:
            try:
                client.sendall(drip)
                if client.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the server waited on")


def connected(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), PATIENCE_SECONDS)


def test_many_slow_clients_do_not_take_the_server_away(served: Served) -> None:
    """While 600 connections rest, drip or read nothing, others are answered at once."""
    begun = (b"", b"G", b"GET /livez HTTP/1.1\r\nX: ", b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
    with ExitStack() as crowd:
        for number in range(limits.CONNECTIONS_MAX + 100):
            client = crowd.enter_context(connected(served))
            client.sendall(begun[number % len(begun)])
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert served.get(f"{WALLET}/a?currency=usd").status == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 5
        assert served.server.connections <= limits.CONNECTIONS_MAX


@pytest.mark.parametrize("head", [b"POST /livez", b"GET " + WALLET.encode() + b"/a?currency=usd"])
def test_bodies_that_drip_do_not_take_the_server_away(head: bytes, served: Served) -> None:
    """While 600 clients send a body that does not end, each probe is answered at once."""
    begun = head + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n"
    with ExitStack() as crowd:
        for _ in range(limits.CONNECTIONS_MAX + 100):
            crowd.enter_context(connected(served)).sendall(begun)
        for _ in range(20):
            began = time.monotonic()
            assert served.get("/livez").status == 200
            assert time.monotonic() - began < 10
        assert served.server.connections <= limits.CONNECTIONS_MAX


def test_who_waits_for_the_ledger_keeps_its_connection() -> None:
    """However many come meanwhile: those who are being answered are not cut off for them."""
    ledger = StuckLedger()
    with serve(ledger) as served, ThreadPoolExecutor(1) as pool, ExitStack() as crowd:
        reading = pool.submit(served.get, f"{WALLET}/a?currency=usd")
        assert ledger.reached.wait(PATIENCE_SECONDS)
        for _ in range(limits.CONNECTIONS_MAX + 20):
            crowd.enter_context(connected(served))
        until(lambda: served.server.connections == limits.CONNECTIONS_MAX)
        ledger.free.set()
        assert reading.result(PATIENCE_SECONDS).status == 200


@pytest.mark.parametrize("sent", [b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n", b""])
def test_resting_connections_end(
    sent: bytes, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that nobody uses is closed, whether it was of use before or not."""
    monkeypatch.setattr(limits, "IDLE_SECONDS_MAX", 0.3)
    with connected(served) as client:
        client.sendall(sent)
        while client.recv(65536):
            pass


@pytest.mark.parametrize("size", [5, 2_000])
def test_a_body_in_chunks(size: int, served: Served) -> None:
    """A small body is passed over, and a large one refused when it is known to be one."""
    chunk = b"%x\r\n" % size + b"x" * size + b"\r\n"
    raw = served.send(
        b"GET /livez HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        + HOST
        + b"\r\n"
        + chunk * 2
        + b"0\r\n\r\n"
    )
    assert raw.split()[1] == (b"200" if size == 5 else b"413")
