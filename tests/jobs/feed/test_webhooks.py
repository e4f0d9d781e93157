"""`feed webhooks` as a whole: what it does not start with, and what it writes to a real broker."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Process, read_topic
from tests.servers.kafka import KafkaBroker, KafkaUnavailable, create_topics, kafka_broker
from tests.servers.waiting import until
from tests.unit.delivered import OBJECTS
from worker.config.feed_section import FeedSettings
from worker.config.sections import KafkaSettings
from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.jobs.feed.signature import sign
from worker.jobs.feed.webhooks import receive_webhooks

SIGNS = "whsec_of_the_test"
CREATED = 1_800_000_000


def event(number: int, kind: str = "charge.succeeded") -> bytes:
    about = OBJECTS["charge"] | {"id": f"ch_{number}", "customer": f"cus_{number % 3}"}
    about |= {"paid": True, "captured": True}
    body = {"id": f"evt_{number}", "type": kind, "created": CREATED, "data": {"object": about}}
    return json.dumps(body).encode()


@dataclass(frozen=True, slots=True)
class Feed:
    """One process of `feed webhooks`."""

    process: Process

    def logged(self, name: str) -> dict[str, Any]:
        """Its log line of this name, when it has come."""

        def found() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.process.said().decode()[-2000:]
            whole, _, _ = self.process.said().decode().rpartition("\n")
            lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
            return next((line for line in lines if line["event"] == name), None)

        return until(found) or {}

    def post(self, body: bytes) -> int:
        port = self.logged("receiving_webhooks")["port"]
        header = sign(body, secret=SIGNS, seconds=int(time.time()))
        return _status(port, "POST", "/stripe", body, Stripe_Signature=header)

    def probe(self, path: str) -> int:
        port = self.logged("http_listening")["port"]
        return _status(port, "GET", path)


def _status(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.request(method, path, body, {name.replace("_", "-"): to for name, to in headers.items()})
    status = client.getresponse().status
    client.close()
    return status


@contextmanager
def feeding(broker: KafkaBroker, topic: str, **more: str) -> Iterator[Feed]:
    create_topics(broker.bootstrap_servers, {topic: 3})
    environment = {
        **os.environ,
        "LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "LEDGER_WORKER_TOPICS__INPUTS": json.dumps({"payments": topic}),
        "LEDGER_WORKER_HTTP__HOST": "127.0.0.1",
        "LEDGER_WORKER_HTTP__PORT": "0",
        "LEDGER_WORKER_FEED__PORT": "0",
        "LEDGER_WORKER_FEED__WEBHOOK_SECRETS": SIGNS,
        **more,
    }
    process = Process(["worker", "feed", "webhooks"], environment)
    try:
        yield Feed(process)
        process.terminate()
        assert process.wait(60) == 0, process.said().decode()[-2000:]
    finally:
        process.kill()
        process.wait()


@pytest.mark.kafka
def test_events_are_in_kafka_as_they_came(kafka: KafkaBroker) -> None:
    """Every acknowledged event is on the topic, byte by byte, one customer's in one partition."""
    topic = f"pay-{uuid.uuid4().hex[:8]}"
    sent = [event(number) for number in range(30)]
    with feeding(kafka, topic) as feed:
        assert [feed.post(body) for body in sent] == [200] * 30
        assert (feed.probe("/livez"), feed.probe("/readyz")) == (200, 200)
        assert b"cus_" not in feed.process.said()
        assert SIGNS.encode() not in feed.process.said()
    records = read_topic(kafka.bootstrap_servers, topic)
    assert sorted(record.value() or b"" for record in records) == sorted(sent)
    partitions = {(record.key(), record.partition()) for record in records}
    assert {key for key, _ in partitions} == {b"cus_0", b"cus_1", b"cus_2"}
    assert len(partitions) == 3


@pytest.mark.kafka
def test_what_the_rulebook_ignores_is_left_out_when_asked(kafka: KafkaBroker) -> None:
    """Only what it ignores whatever happens: a type without a rule is a dead letter to come."""
    topic = f"pay-{uuid.uuid4().hex[:8]}"
    with feeding(kafka, topic, LEDGER_WORKER_FEED__LEAVE_OUT_IGNORED="true") as feed:
        kinds = ["customer.created", "charge.succeeded", "payment_intent.succeeded", "new.type"]
        assert [feed.post(event(1, kind)) for kind in kinds] == [200] * 4
    records = read_topic(kafka.bootstrap_servers, topic)
    assert sorted(json.loads(record.value() or b"")["type"] for record in records) == [
        "charge.succeeded",
        "new.type",
    ]


@pytest.mark.kafka
def test_an_outage_of_kafka(tmp_path: Path) -> None:
    """503 and not ready while the broker is away; then it goes on by itself, nothing is lost."""
    topic = "pay"
    try:
        with kafka_broker(tmp_path) as broker:
            more = {"LEDGER_WORKER_FEED__DEADLINE_SECONDS": "2"}
            with feeding(broker, topic, **more) as feed:
                assert feed.post(event(1)) == 200
                broker.kill()
                assert feed.post(event(2)) == 503
                until(lambda: feed.probe("/readyz") == 503)
                assert feed.probe("/livez") == 200
                broker.start()
                until(lambda: feed.probe("/readyz") == 200)
                until(lambda: feed.post(event(2)) == 200)
            kept = {record.value() for record in read_topic(broker.bootstrap_servers, topic)}
            assert kept == {event(1), event(2)}
    except KafkaUnavailable as missing:
        pytest.skip(str(missing))


NOWHERE = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))


def receiving(**feed: object) -> Callable[[], None]:
    settings = NOWHERE.model_copy(update={"feed": FeedSettings.model_validate(feed)})
    return lambda: receive_webhooks(settings, stopped=lambda: True)


def test_no_start_without_a_secret() -> None:
    """Where other machines reach it, anybody could send a charge."""
    for host in ("0.0.0.0", "::"):  # noqa: S104 - that is the point
        with pytest.raises(UsageError, match="anybody could send a charge"):
            receiving(host=host, port=0)()


def test_no_start_with_an_api_key_for_a_secret() -> None:
    """Every delivery would be refused: what was copied from the wrong field is said at once."""
    with pytest.raises(UsageError, match="begins with whsec_") as refused:
        receiving(port=0, webhook_secrets="whsec_a,rk_live_1")()
    assert "rk_live_1" not in str(refused.value)


def test_a_port_that_is_taken_is_said_with_its_setting() -> None:
    """The sentence names feed's setting, not that of `serve`."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="LEDGER_WORKER_FEED__PORT"):
            receiving(port=taken.getsockname()[1])()


def test_secrets_are_words_of_a_file(tmp_path: Path) -> None:
    """One on a line, as they are rolled; and nothing shows them."""
    file = tmp_path / "secrets"
    file.write_text("whsec_a\nwhsec_b\n\n")
    settings = Settings(feed=FeedSettings.model_validate({"webhook_secrets_file": str(file)}))
    assert settings.feed.webhook_secrets == ("whsec_a", "whsec_b")
    assert "whsec_a" not in repr(settings)


def test_a_broker_that_is_not_there_is_one_sentence() -> None:
    """Before the endpoint takes anything."""
    with pytest.raises(DependencyUnavailable, match="could not be reached"):
        receiving(port=0)()
