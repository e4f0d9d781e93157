"""The webhook endpoint over HTTP, with a Kafka that does what the test says."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse

import pytest
from structlog.testing import capture_logs

from tests.servers.waiting import until
from worker.jobs.feed import webhook_app
from worker.jobs.feed.signature import sign
from worker.jobs.feed.webhook_app import Acknowledgements, Endpoint, WebhookApp
from worker.jobs.serve.server import Server, listen
from worker.kafka.acknowledged_producer import Acknowledgement
from worker.observe.feed_metrics import FeedMetrics

SIGNS, OTHER = "whsec_of_the_test", "whsec_of_another"
NOW = 1_800_000_000
EVENT = {
    "id": "evt_1",
    "type": "charge.succeeded",
    "created": NOW,
    "data": {"object": {"id": "ch_1", "customer": "cus_1", "card": "4242"}},
}
BODY = json.dumps(EVENT, indent=1).encode()


@dataclass(slots=True)
class ScriptedKafka:
    """Keeps what is published. answer: the error each record gets; None: no answer at all.

    refuses: the error of a record that is not even queued.
    """

    acknowledged: Callable[[list[Acknowledgement]], None]
    answer: str | None = ""
    refuses: str = ""
    down_seconds: float = 0.0
    written: list[tuple[str, bytes | None, bytes]] = field(default_factory=list)

    def publish(self, *, topic: str, key: bytes | None, value: bytes, token: object) -> str:
        if self.refuses:
            return self.refuses
        self.written.append((topic, key, value))
        if self.answer is not None:
            answer = [Acknowledgement(token, self.answer)]
            threading.Thread(target=self.acknowledged, args=[answer]).start()
        return ""


ENDPOINT = Endpoint(
    path="/stripe",
    topic="pay",
    secrets=(SIGNS,),
    tolerance_seconds=300,
    body_bytes_max=2_000,
    deadline_seconds=0.3,
    left_out=lambda _: False,
    now=lambda: NOW,
)


@dataclass(frozen=True, slots=True)
class Served:
    port: int
    kafka: ScriptedKafka
    metrics: FeedMetrics

    def post(
        self, body: bytes = BODY, *, header: str | None = None, method: str = "POST", path: str = ""
    ) -> HTTPResponse:
        client = HTTPConnection("127.0.0.1", self.port, timeout=30)
        header = sign(body, secret=SIGNS, seconds=NOW) if header is None else header
        client.request(method, path or "/stripe", body, {"Stripe-Signature": header})
        answer = client.getresponse()
        answer.read()
        client.close()
        return answer

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"ledger_worker_{name}", labels) or 0.0


@contextmanager
def served(endpoint: Endpoint = ENDPOINT) -> Iterator[Served]:
    acknowledgements = Acknowledgements()
    kafka, metrics = ScriptedKafka(acknowledgements), FeedMetrics()
    app = WebhookApp(endpoint, kafka, acknowledgements, metrics)
    with closing(listen("127.0.0.1", 0)) as bound, closing(Server(app, bound)) as server:
        yield Served(server.port, kafka, metrics)


def test_an_event_is_written_as_it_came() -> None:
    """The very bytes, under the customer's key; 200, and counted by type."""
    with served() as stripe:
        assert stripe.post().status == 200
        assert stripe.kafka.written == [("pay", b"cus_1", BODY)]
        assert stripe.count("feed_events_total", type="charge.succeeded") == 1
        assert stripe.count("feed_webhooks_total", status="200") == 1


def test_the_same_delivery_again_is_taken_again() -> None:
    """A repetition, or a replay by somebody who saw it, is the same fact, booked once."""
    with served() as stripe:
        assert [stripe.post().status for _ in range(3)] == [200, 200, 200]
        assert {value for _, _, value in stripe.kafka.written} == {BODY}


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b'{"id": 7}', b"\xff\0"])
def test_what_is_signed_is_never_lost(body: bytes) -> None:
    """Bytes that are no event are written all the same: a dead letter says what they are."""
    with served() as stripe:
        assert stripe.post(body).status == 200
        assert stripe.kafka.written == [("pay", None, body)]


def test_200_only_after_the_acknowledgement() -> None:
    """A broker that is silent, or refuses, is 503 with Retry-After; nothing says 200."""
    with served() as stripe:
        stripe.kafka.answer = None
        began = time.monotonic()
        silent = stripe.post()
        assert time.monotonic() - began >= ENDPOINT.deadline_seconds
        assert (silent.status, silent.headers["Retry-After"]) == (503, "30")
        stripe.kafka.answer = "_MSG_TIMED_OUT"
        assert stripe.post().status == 503
        stripe.kafka.refuses = "_QUEUE_FULL"
        assert stripe.post().status == 503
        assert stripe.count("feed_webhooks_total", status="503") == 3
        assert stripe.count("feed_webhooks_total", status="200") == 0


def test_an_outage_answers_at_once() -> None:
    """While no broker answers nothing is queued, and nobody waits for the deadline."""
    with served() as stripe:
        stripe.kafka.down_seconds = 1.0
        assert stripe.post().status == 503
        assert stripe.kafka.written == []
        stripe.kafka.down_seconds = 0.0
        assert stripe.post().status == 200


def test_too_many_at_once_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting deliveries are bounded, so memory is."""
    monkeypatch.setattr(webhook_app, "WAITING_MAX", 1)
    with served(replace(ENDPOINT, deadline_seconds=5)) as stripe:
        stripe.kafka.answer = None
        first = threading.Thread(target=stripe.post)
        first.start()
        while not stripe.kafka.written:
            time.sleep(0.01)
        assert stripe.post().status == 503
        assert len(stripe.kafka.written) == 1
        first.join()


def test_bodies_that_never_end_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who send much and do not end take so much memory and no more; Stripe comes again."""
    monkeypatch.setattr(webhook_app, "BUFFERED_BYTES_MAX", 4_000)
    head = b"POST /stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n"
    with served() as stripe, ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", stripe.port), timeout=30))
            for _ in range(2)
        ]
        for client in slow:
            client.sendall(head + b"x" * 1_990)
        time.sleep(0.2)
        answer = stripe.post()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
        for client in slow:
            client.sendall(b"x" * 10)
            assert client.recv(1_000).startswith(b"HTTP/1.1 400")
        assert stripe.post().status == 200


def test_who_is_not_stripe_is_refused() -> None:
    """400, nothing written, counted by reason."""
    with served() as stripe:
        for header, reason in [
            ("", "missing"),
            ("nonsense", "malformed"),
            (sign(BODY, secret=OTHER, seconds=NOW), "wrong"),
            (sign(BODY, secret=SIGNS, seconds=NOW - 301), "too_old"),
        ]:
            assert stripe.post(header=header).status == 400
            assert stripe.count("feed_signature_failures_total", reason=reason) == 1
        assert stripe.kafka.written == []


def test_too_large_a_body_is_refused() -> None:
    """By its announced length, by what comes without one, and by what the broker says."""
    with served() as stripe:
        assert stripe.post(b"x" * 2_001).status == 413
        client = HTTPConnection("127.0.0.1", stripe.port, timeout=30)
        parts = (b"x" * 500 for _ in range(5))
        client.request("POST", "/stripe", parts, encode_chunked=True)
        assert client.getresponse().status == 413
        client.close()
        stripe.kafka.answer = "MSG_SIZE_TOO_LARGE"
        assert stripe.post().status == 413
        assert len(stripe.kafka.written) == 1


def test_other_paths_and_methods() -> None:
    """One path, one method."""
    with served() as stripe:
        assert stripe.post(path="/").status == 404
        assert stripe.post(path="/stripe/x").status == 404
        refused = stripe.post(method="PUT")
        assert (refused.status, refused.headers["Allow"]) == (405, "POST")
        assert stripe.kafka.written == []


def test_what_nobody_wants_is_left_out() -> None:
    """Taken with 200, counted, and not written; only where it is signed."""
    with served(replace(ENDPOINT, left_out=bool)) as stripe:
        assert stripe.post().status == 200
        assert stripe.post(header="").status == 400
        assert stripe.kafka.written == []
        assert stripe.count("feed_left_out_total") == 1


def test_who_leaves_is_no_fault() -> None:
    """A client that breaks off is counted as that: the alert of faults hears of it from nobody."""
    with served() as stripe:
        with socket.create_connection(("127.0.0.1", stripe.port)) as client:
            client.sendall(b"POST /stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
            time.sleep(0.1)
        until(lambda: stripe.count("feed_webhooks_total", status="499") == 1)
        assert stripe.count("feed_webhooks_total", status="500") == 0


def test_types_are_counted_within_bounds() -> None:
    """However many types come, so many series there are."""
    metrics = FeedMetrics()
    for number in range(1_000):
        metrics.written(f"type.{number}")
    metrics.written("")
    metrics.written("x" * 10_000)
    series = [
        sample
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "ledger_worker_feed_events_total"
    ]
    assert len(series) <= 501
    assert sum(sample.value for sample in series) == 1_002


def test_nothing_of_a_body_or_secret_is_said() -> None:
    """Neither logs nor answers hold a secret, a signature, or what was sent, also in a fault."""

    def broken(_: object) -> bool:
        raise RuntimeError(BODY.decode() + SIGNS)

    with capture_logs() as logs, served(replace(ENDPOINT, left_out=broken)) as stripe:
        answer = stripe.post()
        stripe.post(header="t=1,v1=guess")
    assert answer.status == 500
    assert [line["event"] for line in logs] == ["internal_error"]
    assert not any(word in str(logs) for word in (SIGNS, "cus_1", "4242", "guess"))


def test_a_slow_client_holds_nobody_up() -> None:
    """Who never ends its request holds no delivery of others up."""
    with served() as stripe, socket.create_connection(("127.0.0.1", stripe.port)) as slow:
        slow.sendall(b"POST /stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert stripe.post().status == 200
