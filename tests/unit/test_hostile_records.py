"""Records of which a part cannot be read: nothing raises, and what can be carried is carried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.raw_producer import RawProducer
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.decode import Decoder
from worker.codecs.headers import headers_of
from worker.codecs.letters import OriginalRecord, original_of, time_of
from worker.core.assignment import Assignment
from worker.core.event import Dead, Reason
from worker.core.ports import Record, RecordPosition
from worker.core.translate import Translator
from worker.jobs.archive.records import ArchivedRecord
from worker.kafka.connection import KafkaConnection
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.kafka.topic_reader import TopicReader
from worker.rulebooks.load import PACKAGED, load
from worker.stages.decode import EventReader

EVENT = (
    b'{"id": "evt_1", "type": "customer.created", "created": 1760000000, "data": {"object": {}}}'
)
HEADERS: list[tuple[bytes, bytes | None]] = [
    (b"trace", b"1"),
    (b"\xff\xfe", b"2"),
    (b"cut\0here", b"3"),
    (b"", b"4"),
    (b"null", None),
    (b"\xed\xa0\x80", None),
    (b"last", b"5"),
]
CARRIED = [("trace", b"1"), ("cut", b"3"), ("", b"4"), ("null", None), ("last", b"5")]
"""A client cuts a name at its NUL: the rest of it reaches nobody."""


MANY = 300
"""Python calls what was called often in a way of its own; see `worker.kafka.messages`."""


@pytest.fixture(scope="module")
def broker() -> EmbeddedBroker:
    broker = EmbeddedBroker()
    broker.make_topics(["in"])
    return broker


@pytest.fixture(scope="module")
def records(broker: EmbeddedBroker) -> Iterator[list[Record]]:
    """One record with hostile names, and one without headers, as a reader gets them."""
    producer = RawProducer(broker.bootstrap_servers)
    producer.produce("in", EVENT, key=b"k", partition=0, timestamp_ms=5, headers=HEADERS)
    producer.produce("in", EVENT, key=b"k", partition=0, timestamp_ms=2**63 - 1)
    for _ in range(MANY):
        producer.produce("in", b"", partition=1, headers=[(b"a", b"1"), (b"\xff", b"2")])
    producer.flush()
    producer.close()
    reader = TopicReader(KafkaConnection(broker.bootstrap_servers))
    found = list(reader.read(reader.whole(["in"])))
    assert [headers_of(one) for one in found if one.partition()] == [[("a", b"1")]] * MANY
    yield [one for one in found if not one.partition()]
    reader.close()


def letter_of(record: Record) -> Record:
    """Its dead letter, as it is read from its topic."""
    dead = DeadLetters(topic="dead", group="g", rulebook_digest="d")
    made = dead.letter(record, Dead(Reason.UNDECODABLE, "why"), stage="decode")
    return ArchivedRecord("dead", 0, 0, made.key, made.value, list(made.headers), made.timestamp_ms)


def test_the_headers_that_can_be_carried_are_read_every_time(records: list[Record]) -> None:
    """A name that is not UTF-8 takes its own header with it, and no other."""
    hostile, plain = records
    assert headers_of(hostile) == CARRIED
    assert headers_of(hostile) == CARRIED
    assert (hostile.key(), hostile.value(), hostile.timestamp()) == (b"k", EVENT, (1, 5))
    assert (hostile.topic(), hostile.partition(), hostile.offset()) == ("in", 0, 0)
    assert headers_of(plain) == []


def test_such_a_record_is_a_dead_letter(records: list[Record]) -> None:
    """Its headers may have said something; without them it is no event."""
    reader = EventReader(Decoder(), Translator(load(PACKAGED)))
    stay = Assignment("in", 0, "payments", base=1 << 40, until=100, opened=True)
    taken = [(one, stay) for one in records]
    hostile, plain = reader.items(taken, reader.decode_taken(taken), group="g")
    assert hostile.translated == Dead(Reason.UNDECODABLE, "the name of a header is not UTF-8")
    assert not isinstance(plain.translated, Dead)


def test_the_letter_says_that_headers_were_left_out(records: list[Record]) -> None:
    """And a redrive sends the record with those that it has."""
    hostile, plain = records
    letter = letter_of(hostile)
    assert dict(headers_of(letter))["ledger_worker.left_out"] == b"headers"
    assert headers_of(letter)[: len(CARRIED)] == CARRIED
    assert original_of(letter, parked=()) == OriginalRecord(
        RecordPosition("in", 0, 0), b"k", EVENT, CARRIED, 5
    )
    assert "ledger_worker.left_out" not in dict(headers_of(letter_of(plain)))


def test_a_redacted_letter_names_both(records: list[Record]) -> None:
    """Value and headers are left out for reasons of their own."""
    redacting = DeadLetters(topic="dead", group="g", rulebook_digest="d", redact=True)
    for record, left_out in zip(records, (b"value, headers", b"value"), strict=True):
        letter = redacting.letter(record, Dead(Reason.UNDECODABLE, "why"), stage="decode")
        assert dict(letter.headers)["ledger_worker.left_out"] == left_out


@pytest.mark.parametrize(
    ("timestamp_ms", "shown"),
    [
        (2**63 - 1, "9999-12-31T23:59:59Z"),
        (-(2**63), "1970-01-01T00:00:00Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20Z"),
        (0, ""),
    ],
)
def test_any_time_can_be_shown(timestamp_ms: int, shown: str) -> None:
    """A producer writes what it likes; a letter of that time is an item like any other."""
    assert time_of(ArchivedRecord("dead", 0, 0, None, None, [], timestamp_ms)) == shown
