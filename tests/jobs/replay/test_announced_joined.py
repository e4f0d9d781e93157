"""The outbox against what a half rebuilt ledger holds: every field, and what came twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.replay.lost import BEGAN, TOPIC, Lost
from tests.jobs.replay.test_repost import OUTBOX, announced, changed, reposter
from worker.codecs.decode import Decoder
from worker.core.errors import UsageError
from worker.core.event import Event
from worker.core.wire import Transfer
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.rebuild.announced import AnnouncedChain, AnnouncedLegs, open_announced
from worker.ledger.scan import all_transfers


@pytest.fixture
def lost(tmp_path: Path) -> Lost:
    """Two payments, a reservation and what settles it."""
    made = Lost(tmp_path)
    made.take("f1", "fund", at=0, to="a", amount=100)
    made.take("h1", "hold", at=1, payer="a", amount=15)
    made.take("s1", "settle", at=1, of="h1", then=BEGAN)
    made.take("f2", "fund", at=2, to="a", amount=60)
    return made


def fill(joined: AnnouncedLegs, lost: Lost) -> None:
    for record in lost.played.records[TOPIC]:
        (event,) = Decoder().decode_all([record.value()])
        assert isinstance(event, Event)
        joined.event(record, event, record.value() or b"")
    for record in lost.played.records[OUTBOX]:
        joined.announcement(record)


def joined_with(lost: Lost, *stored: Transfer) -> list[AnnouncedChain]:
    """What is left to post where a ledger holds these already."""
    with open_announced() as joined:
        fill(joined, lost)
        for transfer in stored:
            joined.stored(transfer)
        assert joined.join() == len(stored)
        return list(joined.steps())


def test_what_the_ledger_has_is_left_out(lost: Lost) -> None:
    """The others come in their order."""
    whole = list(all_transfers(lost.played.ledger))
    assert [step.legs[0].event_id for step in joined_with(lost, *whole[:3])] == ["f2"]
    assert joined_with(lost, *whole) == []


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("debit_account_id", 0),
        ("credit_account_id", 0),
        ("pending_id", 2),
        ("amount", 2),
        ("ledger", 0),
        ("code", 1),
        ("flags", 1),
    ],
)
def test_a_transfer_that_is_there_otherwise_is_another_ledger_s(
    lost: Lost, field: str, number: int
) -> None:
    """Each field alone, changed by one: of a payment, a reservation, and what settles it."""
    transfer = list(all_transfers(lost.played.ledger))[number]
    other = transfer._replace(**{field: getattr(transfer, field) + 1})
    with pytest.raises(UsageError, match="1 transfers are in the ledger otherwise"):
        joined_with(lost, other)


def test_a_transfer_that_nobody_announced_is_another_ledger_s(lost: Lost) -> None:
    """It has no place in what is rebuilt."""
    transfer = next(iter(all_transfers(lost.played.ledger)))
    with pytest.raises(UsageError, match="1 transfers are in the ledger that the outbox"):
        joined_with(lost, transfer._replace(id=transfer.id + 1))


def test_of_two_announcements_the_later_counts(lost: Lost) -> None:
    """After a ledger was rebuilt once, the outbox has its times beside those of before."""
    records = lost.played.records[OUTBOX]
    said: dict[str, Any] = json.loads(records[0].value() or b"")
    for more in (5, -5):
        stamp = str(int(said["ledger_timestamp"]) + more)
        again = replace(
            records[0], value_bytes=json.dumps(said | {"ledger_timestamp": stamp}).encode()
        )
        assert isinstance(again, ArchivedRecord)
        with open_announced() as joined:
            fill(joined, lost)
            joined.announcement(again)
            joined.join()
            first, *_ = joined.steps()
        assert first.legs[0].posted_ns == max(int(said["ledger_timestamp"]), int(stamp))


def test_a_settlement_takes_the_reservation_that_its_event_names(tmp_path: Path) -> None:
    """Another one of the same amount would move the same money, and is refused all the same."""
    lost = Lost(tmp_path)
    lost.take("f1", "fund", at=0, to="a", amount=100)
    lost.take("h1", "hold", at=1, payer="a", amount=15)
    lost.take("h2", "hold", at=1, payer="a", amount=15)
    lost.take("s1", "settle", at=1, of="h1", then=BEGAN)
    steps, _ = announced(lost)
    (other,) = (step.legs[0].transfer_id for step in steps if step.legs[0].event_id == "h2")
    reposter(lost).post(steps)
    with pytest.raises(UsageError, match=r"of the event s1 .* the rulebook makes another transfer"):
        reposter(lost).post(changed(steps, "s1", 0, pending_id=other))
