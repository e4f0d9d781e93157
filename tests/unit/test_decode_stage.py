"""Bodies of events are set aside once their chains are made, and read again on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from worker.codecs.dead_letters import DeadLetters
from worker.codecs.decode import Decoder
from worker.codecs.parked import ROLE_HEADER, ParkedEvents
from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.errors import BrokenInvariant
from worker.core.event import Dead, Event, Reason
from worker.core.ids import position_base
from worker.core.outcome import OutcomeKind
from worker.core.ports import Headers
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.ledger.embedded import EmbeddedLedger
from worker.rulebooks.load import load
from worker.stages.decode import ATTEMPT_HEADER, EventReader, requested_attempt
from worker.stages.item import Item
from worker.stages.post.poster import Poster

RULES = load(Path(__file__).parents[2] / "bench" / "rules.yaml")
BODY: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.failed",
    "created": 1_760_000_000,
    "data": {"object": {"amount": 500, "currency": "usd", "customer": "cus_1"}},
}


def record(headers: Headers | None = None) -> ArchivedRecord:
    """The event as a record."""
    return ArchivedRecord("payments", 0, 0, b"cus_1", orjson.dumps(BODY), headers or [])


def item_of(record: ArchivedRecord) -> Item:
    """The record as an item of a batch."""
    reader = EventReader(Decoder(), Translator(RULES))
    return _read(reader, record, reader.decode([record], [""]))


def _read(reader: EventReader, record: ArchivedRecord, events: list[Event | Dead]) -> Item:
    stay = Assignment("payments", 0, "payments", base=1 << 40, until=100, opened=True)
    [item] = reader.items([(record, stay)], events, group="test")
    return item


def test_a_body_is_set_aside_and_read_again_once() -> None:
    """A batch in flight holds no bodies; whoever asks for one gets the same from the record."""
    reader = EventReader(Decoder(), Translator(RULES))
    [event] = reader.decode([record()], [""])
    assert isinstance(event, Event)
    decoded = event.body
    assert isinstance(_read(reader, record(), [event]).translated, Chain)
    again = event.body
    assert again is not decoded
    assert again == decoded == BODY
    assert event.body is again


def test_a_refused_event_is_translated_again_from_its_record() -> None:
    """What the ledger refuses and was redriven goes on to its next attempt."""
    item = item_of(record([(ATTEMPT_HEADER, b"1")]))
    poster = Poster(EmbeddedLedger(), Translator(RULES), parked_max=0)
    [outcome] = poster.post([item])
    assert outcome.kind is OutcomeKind.REJECTED
    assert outcome.attempt == 1


def test_a_refused_event_holds_no_body_afterwards() -> None:
    """A whole batch may be refused: what was read for another attempt is let go at once."""
    item = item_of(record([(ATTEMPT_HEADER, b"2")]))
    assert isinstance(item.translated, Chain)
    event = item.translated.event
    body = event.body
    Poster(EmbeddedLedger(), Translator(RULES), parked_max=0).post([item])
    assert event.body is not body


def test_what_was_refused_before_holds_no_body_afterwards() -> None:
    """Its later attempts are looked for, which reads it once more."""
    poster = Poster(EmbeddedLedger(), Translator(RULES), parked_max=0)
    poster.post([item_of(record())])
    item = item_of(record())
    item.assignment.redo = 0
    assert isinstance(item.translated, Chain)
    body = item.translated.event.body
    [outcome] = poster.post([item])
    assert outcome.kind is OutcomeKind.REJECTED
    assert item.translated.event.body is not body


def test_a_value_that_reads_otherwise_stops_the_worker() -> None:
    """A value that was an event stays one."""
    with pytest.raises(BrokenInvariant, match="not read as before"):
        Decoder().body_of(b"{")


def test_each_parked_record_has_its_own_role() -> None:
    """A parked topic has none; a record that came with a role of its own making keeps the last."""
    reader = EventReader(Decoder(), Translator(RULES))
    roles = (b"payments", b"commands", b"payments")
    records = [record([(ROLE_HEADER, b"treasury"), (ROLE_HEADER, role)]) for role in roles]
    parked = Assignment("parked.1", 0, "", base=1 << 40, until=100, opened=True)
    own = Assignment("stripe", 0, "settlements", base=1 << 40, until=100, opened=True)
    for assignment, expected in (
        (parked, [role.decode() for role in roles]),
        (own, ["settlements"] * 3),
    ):
        portion = [(each, assignment) for each in records]
        items = list(reader.items(portion, reader.decode_taken(portion), group="test"))
        assert [item.role for item in items] == expected


@pytest.mark.parametrize(
    ("values", "attempts"),
    [
        ([], 0),
        ([b"1"], 1),
        ([b"7"], 7),
        ([b"8"], None),
        ([b"0"], None),
        ([b"01"], None),
        ([b""], None),
        ([None], None),
        ([b"x", b"3"], 3),
        ([b"3", b"x"], None),
    ],
)
def test_the_last_attempt_that_a_record_asks_for_counts(
    values: list[bytes | None], attempts: int | None
) -> None:
    """From 1 to 7, as the worker writes it: a redrive's own header comes after a producer's."""
    headers: Headers = [("other", b"5"), *((ATTEMPT_HEADER, value) for value in values)]
    assert requested_attempt(headers) == attempts


def test_a_parked_record_knows_where_it_was_and_no_other_believes_it() -> None:
    """On an input topic these headers are the producer's."""
    why = Dead(Reason.PREDECESSOR_MISSING, "waits")
    dead = DeadLetters(topic="dead", group="test", rulebook_digest="")
    waiting = ParkedEvents(topics=["parked.1"], dead=dead, now_ms=lambda: 9)
    headers = list(waiting.park(record(), why, tries=0, role="payments", since=77).headers)
    parked = ArchivedRecord("parked.1", 0, 3, b"cus_1", orjson.dumps(BODY), headers)
    reader = EventReader(Decoder(), Translator(RULES))
    found = {}
    for tries in (0, 1):
        stay = Assignment("parked.1", 0, "payments", base=1 << 40, tries=tries)
        (item,) = reader.items([(parked, stay)], reader.decode([parked], [""]), group="test")
        found[tries] = item.earlier
    base = position_base(group="test", topic="payments", partition=0)
    assert found == {0: None, 1: {base: 77}}
