"""Which outcomes of a replay stand on their topics already: by the original record's position."""

from __future__ import annotations

import json

import pytest

from tests.records import FakeRecord
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.parked import ParkedEvents
from worker.core.event import Dead, Reason
from worker.core.outcome import Outcome, OutcomeKind, Rejection
from worker.core.ports import Announcement, RecordPosition
from worker.jobs.replay.known_letters import KnownLetters
from worker.kafka.topic_reader import OffsetRange

INPUT = ("stripe.payments", 2)
PARKED = ("parked.1", "parked.2")
LETTERS = DeadLetters(topic="dead", group="g", rulebook_digest="ab")
NO_RULE = Dead(Reason.NO_RULE, "no rule")
WAITS = Dead(Reason.PREDECESSOR_MISSING, "its charge is not there")


def written(announcement: Announcement) -> FakeRecord:
    """The announcement as it is read from its topic."""
    value = announcement.value or b""
    return FakeRecord((announcement.topic, 0), 0, value, list(announcement.headers))


def dead(offset: int, why: Dead = NO_RULE) -> FakeRecord:
    return written(LETTERS.letter(FakeRecord(INPUT, offset, b"{}"), why, stage="translate"))


def parked(record: FakeRecord, tries: int) -> FakeRecord:
    waiting = ParkedEvents(topics=PARKED, dead=LETTERS, now_ms=lambda: 5)
    return written(waiting.park(record, WAITS, tries=tries, role="payments", since=1))


def rejected(offset: int, attempt: int) -> FakeRecord:
    told = {
        "event_id": "evt_1",
        "event_type": "wallet.p2p",
        "transaction": "p2p",
        "leg": "move",
        "reason": "exceeds_credits",
        "attempt": attempt,
        "topic": INPUT[0],
        "partition": INPUT[1],
        "offset": offset,
    }
    return FakeRecord(("rejected", 0), 0, json.dumps(told).encode())


@pytest.fixture(name="known")
def _known() -> KnownLetters:
    """Letters of the offsets 10 to 19; what is at 30 is not replayed."""
    known = KnownLetters({INPUT: OffsetRange(10, 20)})
    small = LETTERS.too_large(FakeRecord(INPUT, 12, b"{}"), NO_RULE, stage="translate")
    twice = parked(parked(FakeRecord(INPUT, 15, b"{}"), 0), 1)
    died = written(LETTERS.letter(twice, WAITS, stage="post"))
    no_letter = FakeRecord(("dead", 0), 1, b"junk")
    known.learn_dead([dead(10), dead(30), written(small), no_letter, died], parked=PARKED)
    known.learn_rejected([rejected(11, 0), rejected(30, 0), no_letter])
    known.learn_waiting([parked(FakeRecord(INPUT, 14, b"{}"), 0)], parked=PARKED)
    return known


TOLD = [
    # offset  outcome                                                          told already
    (10, Outcome(OutcomeKind.DEAD, dead=NO_RULE),                                 True),
    (10, Outcome(OutcomeKind.DEAD, dead=Dead(Reason.BAD_AMOUNT, "else")),         False),
    (11, Outcome(OutcomeKind.DEAD, dead=NO_RULE),                                 False),
    (12, Outcome(OutcomeKind.DEAD, dead=NO_RULE),                                 True),
    (15, Outcome(OutcomeKind.DEAD, dead=WAITS),                                   True),
    (30, Outcome(OutcomeKind.DEAD, dead=NO_RULE),                                 False),
    (11, Outcome(OutcomeKind.REJECTED, rejection=Rejection("leg", "exceeds")),    True),
    (11, Outcome(OutcomeKind.REJECTED, 1, rejection=Rejection("leg", "exceeds")), False),
    (10, Outcome(OutcomeKind.REJECTED, rejection=Rejection("leg", "exceeds")),    False),
    (14, Outcome(OutcomeKind.PARKED, dead=WAITS),                                 True),
    (15, Outcome(OutcomeKind.PARKED, dead=WAITS),                                 False),
    (10, Outcome(OutcomeKind.POSTED),                                             False),
]  # fmt: skip


@pytest.mark.parametrize(("offset", "outcome", "told"), TOLD)
def test_what_is_told_already(
    known: KnownLetters,
    offset: int,
    outcome: Outcome,
    told: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The same kind, of the same record, for the same reason or attempt; and what still waits."""
    assert known.has(RecordPosition(*INPUT, offset), outcome) is told
