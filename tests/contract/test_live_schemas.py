"""The worker and the registry: what is not known yet waits with its partition, and dies of nothing.

A registry of the tests' own, over HTTP: it can be away, wrong, forbidding, or slow to know an id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.contract.payment_schema import payment_schema
from tests.contract.test_writer_schemas import written
from tests.servers.registry import TestRegistry, registry_server
from worker.codecs.avro import frame
from worker.codecs.decode import NOT_YET, Decoder
from worker.commands.cli import main
from worker.config.settings import load_settings
from worker.core.event import Dead, Event, Reason
from worker.kafka import live_schemas
from worker.kafka.live_schemas import LiveSchemas
from worker.kafka.registry import open_registry

SUBJECT = "stripe.payments-value"
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"


class Clock:
    """Seconds that a test lets pass; between two looks real time passes for the requests."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(name="server")
def _server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestRegistry]:
    with registry_server() as server:
        monkeypatch.setenv("LEDGER_WORKER_SCHEMA_REGISTRY__URL", server.url)
        monkeypatch.setenv("LEDGER_WORKER_LEDGER__DEADLINE_SECONDS", "1")
        yield server


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="schemas")
def _schemas(server: TestRegistry, clock: Clock) -> LiveSchemas:
    del server
    registry = open_registry(load_settings())
    assert registry is not None
    return LiveSchemas(registry, now=clock)


def settled(decoder: Decoder, clock: Clock, value: bytes, *, seconds: float) -> Event | Dead:
    """What becomes of a record within so many seconds: it is tried again every quarter of one."""
    end = clock.seconds + seconds
    while True:
        (found,) = decoder.decode_all([value])
        assert decoder.pending is (found is NOT_YET)
        if found is not NOT_YET or clock.seconds >= end:
            return found
        clock.seconds += 0.25
        time.sleep(0.01)  # the request's thread


def test_a_known_id_is_asked_for_once(
    server: TestRegistry, schemas: LiveSchemas, clock: Clock
) -> None:
    """However many records come, each id is one request."""
    number = server.hold(SUBJECT, json.dumps(payment_schema()))
    decoder = Decoder({}, schemas.reader)
    value = written(payment_schema(), schema_id=number)
    for _ in range(5):
        assert isinstance(settled(decoder, clock, value, seconds=5), Event)
    assert server.asked == [f"GET /schemas/ids/{number}"]


def test_an_id_that_is_registered_later_is_read(
    server: TestRegistry, schemas: LiveSchemas, clock: Clock
) -> None:
    """The record waits; within seconds of the registration it is an event."""
    decoder = Decoder({}, schemas.reader)
    value = written(payment_schema(), schema_id=100)
    assert settled(decoder, clock, value, seconds=3) is NOT_YET
    assert server.hold(SUBJECT, json.dumps(payment_schema())) == 100
    assert isinstance(settled(decoder, clock, value, seconds=3), Event)


def test_an_id_that_nobody_knows_is_dead_after_a_while(schemas: LiveSchemas, clock: Clock) -> None:
    """Invented ids cost one wait together, not one each; after a quiet time another one."""
    decoder = Decoder({}, schemas.reader)
    body = written(payment_schema())[5:]
    assert settled(decoder, clock, frame(900) + body, seconds=29) is NOT_YET
    found = settled(decoder, clock, frame(900) + body, seconds=5)
    assert isinstance(found, Dead)
    assert found.reason is Reason.UNKNOWN_SCHEMA
    for number in range(901, 910):
        assert settled(decoder, clock, frame(number) + body, seconds=5) is not NOT_YET
    clock.seconds += live_schemas.QUIET_SECONDS + 1
    assert settled(decoder, clock, frame(999) + body, seconds=20) is NOT_YET


def away(server: TestRegistry) -> None:
    server.down = True


def wrong_path(server: TestRegistry) -> None:
    not_found = json.dumps({"error_code": 404, "message": "HTTP 404 Not Found"}).encode()
    server.otherwise = (404, "application/json", not_found)


def html_404(server: TestRegistry) -> None:
    server.otherwise = (404, "text/html", HTML)


def html_200(server: TestRegistry) -> None:
    server.otherwise = (200, "text/html", HTML)


def other_json(server: TestRegistry) -> None:
    server.otherwise = (200, "application/json", b'{"status": "ok"}')


def forbidden(server: TestRegistry) -> None:
    server.otherwise = (401, "application/json", b'{"error_code": 401, "message": "Unauthorized"}')


TROUBLE = [away, wrong_path, html_404, html_200, other_json, forbidden]


@pytest.mark.parametrize("trouble", TROUBLE)
def test_whatever_is_wrong_with_the_registry_nothing_dies(
    trouble: Callable[[TestRegistry], None],
    server: TestRegistry,
    schemas: LiveSchemas,
    clock: Clock,
) -> None:
    """Records wait for as long as it takes, /readyz can tell how long, and then they are events."""
    number = server.hold(SUBJECT, json.dumps(payment_schema()))
    trouble(server)
    decoder = Decoder({}, schemas.reader)
    value = written(payment_schema(), schema_id=number)
    assert settled(decoder, clock, value, seconds=40) is NOT_YET
    assert schemas.waiting_seconds > 30
    server.down, server.otherwise = False, None
    assert isinstance(settled(decoder, clock, value, seconds=3), Event)
    assert schemas.waiting_seconds == 0


@pytest.mark.parametrize("trouble", TROUBLE)
def test_doctor_and_the_commands_say_it(
    trouble: Callable[[TestRegistry], None],
    server: TestRegistry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 3 and one sentence about the registry; none of what a web page says."""
    trouble(server)
    assert main(["schemas", "check"]) == 3
    said = capsys.readouterr().err
    assert "the schema registry answered" in said
    assert "DOCTYPE" not in said


def test_other_kinds_in_a_subject_are_findings(
    server: TestRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON Schema and Protobuf beside our schema: told, not a crash; nothing is registered."""
    server.hold(SUBJECT, '{"type": "object"}', kind="JSON")
    server.hold(SUBJECT, 'syntax = "proto3"; message M {}', kind="PROTOBUF")
    server.hold(SUBJECT, '{"type": "no such"}')
    assert main(["schemas", "check"]) == 1
    said = capsys.readouterr().out
    assert "version 1 of stripe.payments-value: that is JSON, and only Avro is read" in said
    assert "version 2 of stripe.payments-value: that is PROTOBUF" in said
    assert "version 3 of stripe.payments-value: the registered schema is no Avro schema" in said
    assert main(["schemas", "register"]) == 2
    assert "nothing was registered" in capsys.readouterr().err


def test_references_are_followed(
    server: TestRegistry, schemas: LiveSchemas, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A generation whose `data` is in a subject of its own is read, and compared as a whole."""
    schema = payment_schema()
    outer = next(each for each in schema["fields"] if each["name"] == "data")
    inner, outer["type"] = outer["type"], f"{schema['namespace']}.{outer['type']['name']}"
    server.hold("data", json.dumps({**inner, "namespace": schema["namespace"]}))
    number = server.hold(SUBJECT, json.dumps(schema), references=[(outer["type"], "data", 1)])
    value = written(payment_schema(), schema_id=number)
    assert isinstance(settled(Decoder({}, schemas.reader), clock, value, seconds=5), Event)
    main(["schemas", "check"])
    assert f"version 1 of {SUBJECT}" not in capsys.readouterr().out


def test_check_knows_what_the_rulebook_reads(
    server: TestRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """A generation without `customer` fits by Avro's rules; it is told with who reads it."""
    schema = payment_schema()
    body = next(each for each in schema["fields"] if each["name"] == "data")["type"]
    fields = body["fields"][0]["type"]["fields"]
    fields[:] = [each for each in fields if each["name"] not in {"customer", "metadata"}]
    server.hold(SUBJECT, json.dumps(schema))
    assert main(["schemas", "check"]) == 1
    said = capsys.readouterr().out
    assert "lacks data.object.customer, which is read by charge" in said
    assert "metadata" not in said


def test_register_says_what_it_does_with_compatibility(
    server: TestRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """A subject that holds something keeps what it asks, unless it is told to change."""
    server.hold(SUBJECT, json.dumps(payment_schema()))
    server.levels[SUBJECT] = "BACKWARD"
    assert main(["schemas", "register"]) == 0
    said = capsys.readouterr().out
    assert server.levels.pop(SUBJECT) == "BACKWARD"
    assert "compatibility BACKWARD, left as it is" in said
    assert "FULL_TRANSITIVE, set now; it was the registry's own" in said
    assert set(server.levels.values()) == {"FULL_TRANSITIVE"}
    assert main(["schemas", "register", "--set-compatibility"]) == 0
    assert server.levels[SUBJECT] == "FULL_TRANSITIVE"


def test_register_needs_no_right_to_configure(
    server: TestRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where compatibility may neither be read nor set, the schemas are registered all the same."""
    server.refuses = {"GET config", "PUT config"}
    assert main(["schemas", "register"]) == 0
    assert "compatibility not set to FULL_TRANSITIVE" in capsys.readouterr().out
    assert server.subjects[SUBJECT]


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [
        ("topic", "stripe.payments-value"),
        ("record", "{full}"),
        ("topic_record", "stripe.payments-{full}"),
    ],
)
def test_subjects_are_named_as_the_producers_name_them(
    strategy: str, subject: str, server: TestRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TopicName, RecordName and TopicRecordName: registered, and then found by `check`."""
    monkeypatch.setenv("LEDGER_WORKER_SCHEMA_REGISTRY__SUBJECT_NAMES", strategy)
    schema = payment_schema()
    assert main(["schemas", "register"]) == 0
    assert subject.format(full=f"{schema['namespace']}.{schema['name']}") in server.subjects
    assert main(["schemas", "check"]) == 0
