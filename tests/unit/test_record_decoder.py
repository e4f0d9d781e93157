"""Records of several roles in one batch: each is read in its role's way, and answered in place."""

from __future__ import annotations

import json
import random

import pytest

from worker.codecs.decode import Decoder
from worker.codecs.lenient import relaxed
from worker.codecs.parked import ROLE_HEADER
from worker.codecs.record_decoder import RecordDecoder, roles_of
from worker.core.assignment import Assignment
from worker.core.event import CREATED_MAX, Dead, Event
from worker.core.ports import Headers
from worker.core.topic_rule import Envelope, TopicRule
from worker.jobs.archive.records import ArchivedRecord

RULES = {
    "plain": TopicRule("plain", ("*",)),
    "wrapped": TopicRule("wrapped", ("*",), envelope=Envelope("eventbridge")),
    "lenient": TopicRule("lenient", ("*",), lenient=True),
    "objects": TopicRule("objects", ("*",), envelope=Envelope("object")),
    "changes": TopicRule("changes", ("*",), envelope=Envelope("debezium")),
}
TOPICS = {"objects": "prod.stripe.charge.succeeded"}


def event(number: int, currency: str = "USD") -> dict[str, object]:
    content = {"id": f"ch_{number}", "object": "charge", "created": 5, "currency": currency}
    return {"id": f"evt_{number}", "type": "t", "created": 9, "data": {"object": content}}


def record(role: str, number: int, topic: str = "") -> ArchivedRecord:
    whole = event(number)
    value: object = {
        "wrapped": {"detail": whole},
        "objects": whole["data"]["object"],  # type: ignore[index] # it is a dict
        "changes": {"op": "u", "before": event(number + 1000), "after": whole},
    }.get(role, whole)
    return ArchivedRecord(topic or role, 0, number, None, json.dumps(value).encode())


def decoder() -> RecordDecoder:
    return RecordDecoder(Decoder(), RULES, TOPICS)


@pytest.mark.parametrize("seed", range(20))
def test_each_answer_is_its_own_record_s(seed: int) -> None:
    """In whatever order the roles come, and with junk between."""
    rng = random.Random(seed)
    roles = rng.choices([*RULES, "unknown"], k=12)
    records = [record(role, number) for number, role in enumerate(roles)]
    junk = rng.randrange(12)
    records[junk] = ArchivedRecord(roles[junk], 0, junk, None, b"junk")
    for number, (found, role) in enumerate(
        zip(decoder().decode(records, roles), roles, strict=True)
    ):
        if number == junk:
            assert isinstance(found, Dead)
            continue
        assert isinstance(found, Event)
        own = "charge.succeeded/ch_" if role == "objects" else "evt_"
        assert found.id == f"{own}{number}"
        currency = found.body["data"]["object"]["currency"]
        assert currency == ("usd" if role == "lenient" else "USD"), role


def test_a_bare_object_is_named_by_the_topic_on_which_it_came_first() -> None:
    """A parked topic, or that of the dead letters, is none of the producer's."""
    found = decoder().read(record("objects", 1, "ledger.events.parked.1"), "objects")
    assert isinstance(found, Event)
    assert found.type == "charge.succeeded"
    own = RecordDecoder(Decoder(), RULES).read(
        record("objects", 1, "x.stripe.payout.paid"), "objects"
    )
    assert isinstance(own, Event)
    assert own.type == "payout.paid"


def test_a_role_is_the_topic_s_and_only_a_parked_record_says_its_own() -> None:
    """A producer that writes the header chooses nothing."""
    headers: Headers = [(ROLE_HEADER, b"treasury")]
    claims = ArchivedRecord("t", 0, 0, None, b"{}", headers)
    own, parked = Assignment("t", 0, "commands", 0), Assignment("parked.1", 0, "", 0)
    assert roles_of([(claims, own), (claims, parked)]) == ["commands", "treasury"]


UNTOUCHED: list[tuple[str, object]] = [
    ("currency_note", "USD"),
    ("currencyx", "USD"),
    ("note_of_currency", "usd"),
    ("feed", "1000"),
    ("fees", "1000"),
    ("network", "1000"),
    ("amounts", "1000"),
    ("amount", "1000.0"),
    ("amount", "01"),
    ("amount", float(1 << 53)),
    ("amount", -float(1 << 53)),
    ("amount", 10.5),
]
TAKEN: list[tuple[str, object, object]] = [
    ("presentment_currency", "EUR", "eur"),
    ("amount", float((1 << 53) - 1), (1 << 53) - 1),
    ("amount", -1.0, -1),
    ("amount_captured", "1000", 1000),
    ("application_fee_amount", "-5", -5),
    ("fee", "0", 0),
    ("net", "7", 7),
]


@pytest.mark.parametrize(("name", "value"), UNTOUCHED)
def test_what_could_mean_two_things_stays(name: str, value: object) -> None:
    """Fields that only look like those, and numbers that are several."""
    body = {"data": {"object": {name: value}}}
    assert repr(relaxed(body)) == repr(body)


@pytest.mark.parametrize(("name", "value", "expected"), TAKEN)
def test_what_means_one_thing_is_taken(name: str, value: object, expected: object) -> None:
    """Up to the last number that a float can hold by itself."""
    found = relaxed({"data": {"object": {name: value}}})["data"]["object"][name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_the_last_second_of_an_event_in_every_unit(unit: int) -> None:
    """Seconds, milli-, micro- and nanoseconds, and whatever is between two of them."""
    assert relaxed({"created": CREATED_MAX * unit})["created"] == CREATED_MAX
    first = 300_000_000  # a second of 1979
    for more in (0, unit - 1):
        assert relaxed({"created": first * unit + more})["created"] == first
