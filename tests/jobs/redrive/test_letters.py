"""Letters lead back to the record they are about, and filters choose among them."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import orjson
import pytest

from worker.codecs.dead_letters import BLOCK, DeadLetters, without_timestamp
from worker.codecs.letters import (
    OriginalRecord,
    RecordElsewhere,
    RejectedRecord,
    UnusableLetter,
    original_of,
    read_back,
    rejection,
)
from worker.codecs.parked import ParkedEvents
from worker.codecs.rejected import RejectedEncoder
from worker.core.errors import UsageError
from worker.core.event import ATTEMPT_MAX, Dead, Event, Reason
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


def test_a_record_that_says_nothing_of_its_stay_is_not_sent_to_a_parked_topic() -> None:
    """What a producer wrote there by itself leads nowhere; redacted, to itself."""
    stray = ArchivedRecord("parked.1", 0, 5, b"k", b"{}", OWN, 1000)
    found = original_of(letter(stray), parked=PARKED)
    assert isinstance(found, UnusableLetter)
    assert "parked from" in found.why
    asked = RecordElsewhere(RecordPosition("parked.1", 0, 5), sha256(b"{}").hexdigest(), "")
    assert original_of(letter(stray, redact=True), parked=PARKED) == asked
    assert isinstance(read_back(asked, stray, parked=PARKED), UnusableLetter)


@pytest.mark.parametrize("records", [FIRST, replace(FIRST, header_list=[])])
def test_a_letter_with_and_without_headers_of_its_own(records: ArchivedRecord) -> None:
    """The worker's block may be all there is."""
    assert original_of(letter(records), parked=PARKED) == original(records)


def test_the_time_that_a_topic_refused_is_the_record_s_again() -> None:
    """It is in a header then, also below a stay on a parked topic."""
    written = dead().letter(FIRST, WHY, stage="post")
    dated = replace(kept(without_timestamp(written)), timestamp_ms=77)
    assert original_of(dated, parked=PARKED) == original(FIRST)
    waiting = ParkedEvents(topics=PARKED, dead=dead(), now_ms=lambda: 5000)
    stay = waiting.park(FIRST, WAITS, tries=0, role="commands", since=7)
    late = replace(kept(without_timestamp(stay)), timestamp_ms=77)
    assert original_of(letter(late), parked=PARKED) == original(FIRST)


@pytest.mark.parametrize(
    ("digits", "read"),
    [
        (b"0", 0),
        (b"42", 42),
        (b"9" * 18, 10**18 - 1),
        (b"9" * 19, 10**19 - 1),
        (b"9" * 20, None),
        (b"-1", None),
        (b"x", None),
        (b"", None),
        (b"4 2", None),
    ],
)
@pytest.mark.parametrize("name", ["__connect.errors.partition", "__connect.errors.offset"])
def test_a_number_in_a_letter_is_one_of_64_bits(name: str, digits: bytes, read: int | None) -> None:
    """Anyone may write to a dead-letter topic: what is no number is no letter of ours."""
    written = letter(FIRST)
    headers = [(each, digits if each == name else value) for each, value in written.header_list]
    found = original_of(replace(written, header_list=headers), parked=PARKED)
    if read is None:
        assert isinstance(found, UnusableLetter)
    else:
        assert isinstance(found, OriginalRecord)
        assert found.at == (
            ("wallet.commands", read, 42)
            if name.endswith("partition")
            else ("wallet.commands", 3, read)
        )


REFUSED = Event("evt_1", "wallet.p2p", 1_760_000_000, {})


@pytest.mark.parametrize("attempt", range(ATTEMPT_MAX + 1))
def test_a_rejection_is_read_as_it_was_written(attempt: int) -> None:
    """At every attempt, from the last partition and offset there can be."""
    at = RecordPosition("wallet.commands", (1 << 31) - 1, (1 << 63) - 1)
    encoder = RejectedEncoder(topic="rejected", source="/s", rulebook_digest="ab")
    written = encoder.encode(
        replace(FIRST, partition_number=at[1], offset_number=at[2]), REFUSED,
        transaction="p2p", leg="gross", reason="exceeds_credits", attempt=attempt,
    )  # fmt: skip
    assert rejection(kept(written)) == RejectedRecord(
        "evt_1", "wallet.p2p", "p2p", "gross", "exceeds_credits", attempt, at
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempt", ATTEMPT_MAX + 1),
        ("attempt", -1),
        ("attempt", True),
        ("attempt", 1.0),
        ("attempt", "1"),
        ("partition", 1 << 31),
        ("partition", None),
        ("offset", 1 << 63),
        ("offset", -1),
    ],
)
def test_a_rejection_that_the_worker_cannot_have_written_is_none(field: str, value: object) -> None:
    """A number beside its range, or something else in its place."""
    fields = {
        "event_id": "e", "event_type": "t", "transaction": "x", "leg": "", "reason": "r",
        "attempt": 0, "topic": "t", "partition": 0, "offset": 0,
    }  # fmt: skip
    assert rejection(replace(FIRST, value_bytes=orjson.dumps(fields)))
    assert rejection(replace(FIRST, value_bytes=orjson.dumps(fields | {field: value}))) is None
    del fields[field]
    assert rejection(replace(FIRST, value_bytes=orjson.dumps(fields))) is None


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
