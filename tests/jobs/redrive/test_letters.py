"""Letters lead back to the record they are about, and filters choose among them."""

from __future__ import annotations

from hashlib import sha256

import pytest

from worker.codecs.dead_letters import BLOCK, DeadLetters
from worker.codecs.letters import (
    OriginalRecord,
    RecordElsewhere,
    UnusableLetter,
    original_of,
    read_back,
    rejection,
)
from worker.codecs.parked import ParkedEvents
from worker.core.errors import UsageError
from worker.core.event import Dead, Reason
from worker.core.ports import Announcement, Headers, Record, RecordPosition, position_of
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.redrive.filter import LetterFilter

WHY = Dead(Reason.NO_RULE, "no rule")
WAITS = Dead(Reason.PREDECESSOR_MISSING, "waits")
PARKED = ["parked.1", "parked.2"]
OWN: Headers = [("trace", b"1"), ("empty", None), ("trace", b"2")]
FIRST = ArchivedRecord("wallet.commands", 3, 42, b"cus_1", b"{}", OWN, 1000)


def dead(*, redact: bool = False) -> DeadLetters:
    return DeadLetters(topic="dead", group="books", rulebook_digest="ab", redact=redact)


def kept(told: Announcement, *, offset: int = 7) -> ArchivedRecord:
    """The record as it was read from the topic that an announcement went to."""
    return ArchivedRecord(
        told.topic, 1, offset, told.key, told.value, told.headers, told.timestamp_ms
    )


def parked(record: Record, *, tries: int) -> ArchivedRecord:
    waiting = ParkedEvents(topics=PARKED, dead=dead(), now_ms=lambda: 5000)
    return kept(waiting.park(record, WAITS, tries=tries, role="commands", since=7))


def letter(record: Record, *, redact: bool = False) -> ArchivedRecord:
    return kept(dead(redact=redact).letter(record, WHY, stage="post"))


def original(record: ArchivedRecord) -> OriginalRecord:
    return OriginalRecord(
        position_of(record),
        record.key_bytes,
        record.value_bytes,
        record.header_list,
        record.timestamp_ms,
    )


def test_the_block_is_what_is_written() -> None:
    """The headers that are taken off are those that a letter adds, in their order."""
    assert tuple(name for name, _ in dead().headers(FIRST, WHY, "post")) == BLOCK


def test_a_letter_gives_its_record_back() -> None:
    """Key, value, headers and time of a dead letter are again as they were, parked or not."""
    assert original_of(letter(FIRST), parked=PARKED) == original(FIRST)
    assert original_of(parked(FIRST, tries=0), parked=PARKED) == original(FIRST)
    twice = parked(parked(FIRST, tries=0), tries=1)
    assert original_of(twice, parked=PARKED) == original(FIRST)
    assert original_of(letter(twice), parked=PARKED) == original(FIRST)


def test_a_producer_cannot_choose_the_topic() -> None:
    """Headers that a producer wrote like the worker's own are the record's, and not believed."""
    lie: Headers = [(name, b"stripe.payments" if name == BLOCK[0] else b"1") for name in BLOCK]
    forged = ArchivedRecord("wallet.commands", 0, 5, b"k", b"{}", [*OWN, *lie], 1000)
    assert original_of(letter(forged), parked=PARKED) == original(forged)
    assert original_of(letter(parked(forged, tries=0)), parked=PARKED) == original(forged)


def test_a_letter_without_its_value_is_read_where_it_was() -> None:
    """A redacted or too large letter names its record by place and hash; another record is none."""
    asked = RecordElsewhere(RecordPosition("wallet.commands", 3, 42), sha256(b"{}").hexdigest(), "")
    assert original_of(letter(FIRST, redact=True), parked=PARKED) == asked
    assert original_of(kept(dead().too_large(FIRST, WHY, stage="post")), parked=PARKED) == asked
    waited = letter(parked(FIRST, tries=0), redact=True)
    assert original_of(waited, parked=PARKED) == asked
    assert read_back(asked, FIRST, parked=PARKED) == original(FIRST)
    gone = read_back(asked, None, parked=PARKED)
    assert isinstance(gone, UnusableLetter)
    assert "gone" in gone.why
    other = ArchivedRecord("wallet.commands", 3, 42, None, b"[]")
    changed = read_back(asked, other, parked=PARKED)
    assert isinstance(changed, UnusableLetter)
    assert "SHA-256" in changed.why


def test_a_rejection_of_a_parked_event_leads_to_the_topic_it_first_came_on() -> None:
    """The place in a rejection may be a parked topic; the record there says where it was before."""
    asked = RecordElsewhere(RecordPosition("parked.1", 1, 7), "", "evt_1")
    assert read_back(asked, parked(FIRST, tries=0), parked=PARKED) == original(FIRST)


def test_what_nobody_of_us_wrote_is_no_letter() -> None:
    """Without the worker's headers nothing is guessed."""
    assert isinstance(original_of(FIRST, parked=PARKED), UnusableLetter)
    assert rejection(FIRST) is None


FIELDS: dict[str, str | int] = {
    "event_id": 'evt"1',
    "event_type": "wallet.p2p",
    "reason": "no_rule",
    "transaction": "",
    "topic": "wallet.commands",
    "partition": 3,
    "offset": 42,
    "attempt": 0,
    "time": "2026-01-31T12:00:00Z",
}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("reason=no_rule", True),
        ("reason = conflict", False),
        ('event_id=evt"1', True),
        ("partition=3", True),
        ("offset=43", False),
        ('reason == "no_rule" and offset >= 40', True),
        ('event_type in ["wallet.p2p", "charge.succeeded"] and not attempt > 0', True),
        ('time >= "2026-02-01"', False),
        ("true", True),
    ],
)
def test_filters(text: str, chosen: bool) -> None:  # noqa: FBT001 - a table
    """The rulebook's expressions, and a short form for one equality."""
    assert LetterFilter(text).chooses(FIELDS) is chosen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reason ==", "--where"),
        ('rason == "no_rule"', "rason"),
        ('type == "x"', "did you mean event_type"),
        ("reason > 5", "two whole numbers or two strings"),
        ("reason", "neither true nor false"),
        ("partition=x", "--where"),
    ],
)
def test_a_wrong_filter_is_one_sentence(text: str, said: str) -> None:
    """A filter that is none, or does not fit what letters tell, stops the redrive."""
    with pytest.raises(UsageError) as error:
        LetterFilter(text).chooses(FIELDS)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
