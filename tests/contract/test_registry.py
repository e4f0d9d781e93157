"""The schema registry: generations read each other, ids are asked for once, outages end nothing.

What does not need an outage or a list of requests runs on a real registry too.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.payment_schema import (
    NAME,
    framed,
    object_fields,
    payment_schema,
    without_fields,
)
from tests.servers.apicurio import ApicurioRegistry, RegistryUnavailable, apicurio_registry
from tests.servers.registry import TestRegistry, registry_server
from worker.codecs.avro import frame, packaged_names
from worker.codecs.decode import Decoder
from worker.commands.cli import main
from worker.config.settings import PACKAGED_RULEBOOK, Settings, load_settings
from worker.core.chain import Chain
from worker.core.errors import DependencyUnavailable
from worker.core.event import Dead, Event, Reason
from worker.core.translate import Translator
from worker.kafka.registry import Registry, open_registry, schema_ids
from worker.kafka.schema_rules import against_history, incompatible, schema_text, undocumented
from worker.rulebooks.load import load

SUBJECT = "stripe.payments-value"

CHARGE: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.succeeded",
    "created": 1_767_225_600,
    "data": {
        "object": {
            "id": "ch_1",
            "object": "charge",
            "amount": 2000,
            "currency": "usd",
            "created": 1_767_225_600,
            "customer": "cus_1",
            "paid": True,
            "captured": True,
            "amount_captured": 2000,
            "status": "succeeded",
            "receipt_number": "1234",
        }
    },
    "livemode": True,
}


def generations() -> list[dict[str, Any]]:
    """The schema before some fields came, as it is, and with one that is not known yet."""
    older = without_fields("metadata", "reason", "automatic")
    current, newer = payment_schema(), payment_schema()
    object_fields(newer).insert(
        0,
        {"name": "receipt_number", "type": ["null", "string"], "default": None, "doc": "Its own."},
    )
    return [older, current, newer]


AnyRegistry = TestRegistry | ApicurioRegistry


@pytest.fixture(name="own_server")
def _own_server() -> Iterator[TestRegistry]:
    """The tests' own registry."""
    with registry_server() as server:
        yield server


@pytest.fixture(name="apicurio", scope="module")
def _apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApicurioRegistry]:
    """A real registry for all tests of this file."""
    try:
        with apicurio_registry(tmp_path_factory.mktemp("apicurio")) as registry:
            yield registry
    except RegistryUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(
    name="server", params=["own", pytest.param("apicurio", marks=pytest.mark.schema_registry)]
)
def _server(request: pytest.FixtureRequest) -> AnyRegistry:
    """The tests' own registry, and a real one, empty."""
    if request.param == "own":
        own: TestRegistry = request.getfixturevalue("own_server")
        return own
    real: ApicurioRegistry = request.getfixturevalue("apicurio")
    real.clear()
    return real


@pytest.fixture(name="settings")
def _settings(server: AnyRegistry, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return settings_for(server, monkeypatch)


def settings_for(server: AnyRegistry, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LEDGER_WORKER_SCHEMA_REGISTRY__URL", server.url)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__DEADLINE_SECONDS", "1")
    return load_settings()


@pytest.fixture(name="registry")
def _registry(settings: Settings) -> Registry:
    return registry_of(settings)


@pytest.fixture(name="own_registry")
def _own_registry(own_server: TestRegistry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return registry_of(settings_for(own_server, monkeypatch))


def registry_of(settings: Settings) -> Registry:
    registry = open_registry(settings, ask_seconds_max=1.0)
    assert registry is not None
    return registry


def ids_of(server: AnyRegistry) -> list[int]:
    """Register three generations under one subject."""
    for generation in generations():
        assert server.register(SUBJECT, json.dumps(generation))[0] == 200
    return server.subjects[SUBJECT]


def test_three_generations_on_one_topic_are_read_and_posted_alike(
    server: AnyRegistry, settings: Settings, registry: Registry
) -> None:
    """Records of an older, the packaged and a newer generation become the same event and legs."""
    numbers = ids_of(server)
    values = [
        framed(generation, CHARGE, number)
        for generation, number in zip(generations(), numbers, strict=True)
    ]
    decoder = Decoder(schema_ids(settings, registry), registry.reader)
    events = decoder.decode_all(values)
    assert all(isinstance(event, Event) for event in events)
    bodies = [event.body for event in events if isinstance(event, Event)]
    assert bodies[1] == bodies[2]
    older, current = (body["data"]["object"] for body in bodies[:2])
    lacks = {"metadata", "reason", "automatic"}
    assert older == {name: value for name, value in current.items() if name not in lacks}
    assert {current[name] for name in lacks} == {None}
    assert older["amount"] == 2000
    translator = Translator(load(PACKAGED_RULEBOOK))
    chains = [
        translator.translate(event, role="payments") for event in events if isinstance(event, Event)
    ]
    assert all(isinstance(chain, Chain) for chain in chains)
    assert len({tuple(leg.id for leg in chain.legs) for chain in chains}) == 1  # type: ignore[union-attr]


def test_an_id_is_asked_for_once(own_server: TestRegistry, own_registry: Registry) -> None:
    """However many records come, each schema id is one request; an unknown one too, for a while."""
    number = ids_of(own_server)[0]
    decoder = Decoder({}, own_registry.reader)
    value = framed(generations()[0], CHARGE, number)
    for _ in range(5):
        assert isinstance(decoder.decode(value), Event)
        found = decoder.decode(frame(999) + value[5:])
        assert isinstance(found, Dead)
        assert found.reason is Reason.UNKNOWN_SCHEMA
    asked = [one for one in own_server.asked if one.startswith("GET /schemas/ids/")]
    assert sorted(asked) == [f"GET /schemas/ids/{number}", "GET /schemas/ids/999"]


def test_a_registry_that_is_down_makes_no_dead_letter(
    own_server: TestRegistry, own_registry: Registry
) -> None:
    """While the registry does not answer, decoding waits, and then says what is missing."""
    number = ids_of(own_server)[0]
    value = framed(generations()[0], CHARGE, number)
    own_server.down = True
    waited: list[str] = []
    own_registry._while_waiting = lambda: waited.append("waited")
    decoder = Decoder({}, own_registry.reader)
    with pytest.raises(DependencyUnavailable, match="the schema registry answered 503"):
        decoder.decode(value)
    own_server.down = False
    assert isinstance(decoder.decode(value), Event)


def test_a_registry_that_is_not_there_is_named_without_its_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unreachable registry is exit code 3 and one sentence that cannot hold a password."""
    monkeypatch.setenv("LEDGER_WORKER_SCHEMA_REGISTRY__URL", "http://user:secret@127.0.0.1:1")
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__DEADLINE_SECONDS", "1")
    assert main(["schemas", "check"]) == 3
    said = capsys.readouterr().err
    assert "the schema registry could not be reached" in said
    assert "secret" not in said


@pytest.mark.parametrize("name", packaged_names())
def test_schemas_are_documented_and_fit_their_history(name: str) -> None:
    """Every field of a packaged schema has a doc, and it reads every generation that there was."""
    assert list(undocumented(name)) == []
    assert list(against_history(name)) == []


def test_a_change_that_older_records_do_not_survive_is_found() -> None:
    """A new field without default, a field that is gone without one, another type: incompatible."""
    current = json.loads(schema_text(NAME))
    added, gone, other = (copy.deepcopy(current) for _ in range(3))
    added["fields"].append({"name": "extra", "type": "string"})
    gone["fields"] = [one for one in gone["fields"] if one["name"] != "created"]
    object_fields(other)[2]["type"] = ["null", "string"]
    for changed in (added, gone, other):
        assert incompatible(json.dumps(current), json.dumps(changed))
    for generation in generations():
        assert not incompatible(json.dumps(current), json.dumps(generation))


@pytest.mark.usefixtures("settings")
def test_register_then_check(server: AnyRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    """Before: 1, not registered. Register: one subject per topic in use. After: 0."""
    assert main(["schemas", "check"]) == 1
    assert "is not registered as stripe.payments-value" in capsys.readouterr().out
    assert main(["schemas", "register"]) == 0
    assert set(server.subjects) == {
        "stripe.payments-value",
        "stripe.settlements-value",
        "wallet.commands-value",
        "ledger.transfers.posted-value",
    }
    assert set(server.levels.values()) == {"FULL_TRANSITIVE"}
    assert main(["schemas", "check"]) == 0
    assert main(["schemas", "register"]) == 0
    assert all(len(held) == 1 for held in server.subjects.values())


@pytest.mark.usefixtures("settings")
def test_a_registered_subject_takes_only_what_fits(server: AnyRegistry) -> None:
    """After `register` the registry itself takes each generation, and refuses a breaking change."""
    assert main(["schemas", "register"]) == 0
    assert all(server.register(SUBJECT, json.dumps(one))[0] == 200 for one in generations())
    broken = json.loads(schema_text(NAME))
    broken["fields"].append({"name": "extra", "type": "string"})
    assert server.register(SUBJECT, json.dumps(broken))[0] == 409


@pytest.mark.usefixtures("settings")
def test_nothing_is_registered_over_a_misfit(
    server: AnyRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """A subject that holds something else keeps it, and no other subject is written."""
    misfit = {"type": "record", "name": "Other", "fields": [{"name": "x", "type": "int"}]}
    server.register(SUBJECT, json.dumps(misfit))
    assert main(["schemas", "register"]) == 2
    assert "nothing was registered" in capsys.readouterr().err
    assert set(server.subjects) == {SUBJECT}
    assert main(["schemas", "check"]) == 1


def test_check_needs_no_registry(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a registry the history is checked, and the result says that no registry was asked."""
    assert main(["schemas", "check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"compatible": True, "registry_compared": False, "differences": []}


@pytest.mark.usefixtures("settings")
def test_generated_avro_carries_the_registrys_ids(
    server: AnyRegistry, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """`generate --format avro` frames records with the ids that the registry gave."""
    assert main(["schemas", "register"]) == 0
    capfdbinary.readouterr()
    assert main(["generate", "--events", "20", "--seed", "1", "--format", "avro"]) == 0
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert {line["topic"] for line in lines if "value_base64" in line}
    number = server.subjects[SUBJECT][0]
    framed = [
        base64.b64decode(line["value_base64"])
        for line in lines
        if line["topic"] == "stripe.payments" and "value_base64" in line
    ]
    avro = [value for value in framed if value[:1] == b"\0"]
    assert avro
    assert {int.from_bytes(value[1:5], "big") for value in avro} == {number}
