"""Where each outcome is announced, what of it is said there, and that nothing else is written."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.unit.test_codec_caches import CHAIN, LEG
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.parked import ParkedEvents, earlier_positions, role_of
from worker.codecs.rejected import RejectedEncoder
from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.errors import BrokenInvariant
from worker.core.event import Dead, Reason, Skipped
from worker.core.outcome import Outcome, OutcomeKind, Rejection
from worker.jobs.archive.records import ArchivedRecord
from worker.stages.announce import AnnouncementWriter
from worker.stages.item import Item

MISSING = Dead(Reason.PREDECESSOR_MISSING, "it is not there")
BAD = Dead(Reason.BAD_AMOUNT, "it is negative")
OTHER_MONEY = Dead(Reason.CONFLICT, "other money")
REFUSED = Rejection("gross", "exceeds")
UNREAD = Dead(Reason.NOT_AN_EVENT, "no event")


def writer() -> AnnouncementWriter:
    dead = DeadLetters(topic="dead", group="books", rulebook_digest="d")
    return AnnouncementWriter(
        outbox=OutboxEncoder(
            encoding="json", schema_id=4, topic="posted", source="/s", rulebook_digest="d"
        ),
        rejected=RejectedEncoder(topic="rejected", source="/s", rulebook_digest="d"),
        parked=ParkedEvents(topics=["parked.1", "parked.2"], dead=dead, now_ms=lambda: 5),
        dead=dead,
    )


def item(translated: Chain | Dead | Skipped = CHAIN, *, tries: int = 0, offset: int = 42) -> Item:
    record = ArchivedRecord("stripe.payments", 3, offset, b"k", b"{}", [], 1000)
    assignment = Assignment("stripe.payments", 3, "payments", 1 << 40, since=77, tries=tries)
    return Item(record, assignment, offset, 2, "payments", translated, 0)


@pytest.mark.parametrize(
    ("one", "outcome", "topics"),
    [
        (item(),            Outcome(OutcomeKind.POSTED, legs=(LEG, LEG)),       ["posted"] * 2),
        (item(),            Outcome(OutcomeKind.REDELIVERED),                   []),
        (item(),            Outcome(OutcomeKind.REJECTED, rejection=REFUSED),       ["rejected"]),
        (item(),            Outcome(OutcomeKind.CONFLICT, dead=OTHER_MONEY),    ["dead"]),
        (item(BAD),         Outcome(OutcomeKind.DEAD, dead=BAD),                ["dead"]),
        (item(),            Outcome(OutcomeKind.PARKED, dead=MISSING),          ["parked.1"]),
        (item(tries=1),     Outcome(OutcomeKind.PARKED, dead=MISSING),          ["parked.2"]),
        (item(Skipped("ignored")), Outcome(OutcomeKind.IGNORED),                []),
        (item(),            Outcome(OutcomeKind.NOTHING),                       []),
    ],
)  # fmt: skip
def test_each_outcome_has_its_topic(one: Item, outcome: Outcome, topics: list[str]) -> None:
    """One record for each leg, for a refusal, a letter and a wait; else none."""
    assert [each.topic for each in writer().write([one], [outcome])] == topics


def test_outcomes_are_announced_in_order() -> None:
    """Each with its own record, attempt and reason."""
    items = [item(offset=number) for number in range(4)]
    refused = Outcome(OutcomeKind.REJECTED, 3, "charge", rejection=Rejection("gross", "exceeds"))
    outcomes = [
        Outcome(OutcomeKind.POSTED, 2, "charge", legs=(LEG,)),
        refused,
        Outcome(OutcomeKind.CONFLICT, dead=OTHER_MONEY),
        Outcome(OutcomeKind.PARKED, dead=MISSING),
    ]
    posted, rejected, dead, parked = writer().write(items, outcomes)
    said: dict[str, Any] = orjson.loads(posted.value or b"")
    assert (said["offset"], said["attempt"]) == (0, 2)
    said = orjson.loads(rejected.value or b"")
    assert said == {
        "event_id": "evt_1", "event_type": "charge", "event_created": "1970-01-01T00:16:40Z",
        "transaction": "charge", "leg": "gross", "reason": "exceeds", "attempt": 3,
        "topic": "stripe.payments", "partition": 3, "offset": 1,
    }  # fmt: skip
    headers = dict(dead.headers)
    assert headers["ledger_worker.reason"] == b"conflict"
    assert headers["__connect.errors.offset"] == b"2"
    waiting = ArchivedRecord("parked.1", 0, 0, parked.key, parked.value, list(parked.headers))
    assert role_of(waiting) == "payments"
    assert list(earlier_positions(waiting, group="books").values()) == [77]
    with pytest.raises(ValueError, match="zip"):
        writer().write(items, outcomes[:3])


@pytest.mark.parametrize(
    ("translated", "dead", "stage"),
    [(UNREAD, UNREAD, b"decode"), (BAD, BAD, b"translate"), (CHAIN, OTHER_MONEY, b"post")],
)
def test_a_letter_says_where_the_record_died(
    translated: Chain | Dead, dead: Dead, stage: bytes
) -> None:
    """While it was read, by the rulebook, or at the ledger."""
    (letter,) = writer().write([item(translated)], [Outcome(OutcomeKind.DEAD, dead=dead)])
    assert stage in dict(letter.headers).values()
    assert letter.otherwise is not None
    assert letter.otherwise().topic == "dead"


def test_what_has_no_chain_is_never_announced_as_posted() -> None:
    """That would be our bug."""
    with pytest.raises(BrokenInvariant):
        writer().write([item(BAD)], [Outcome(OutcomeKind.POSTED, legs=(LEG,))])
