"""What is posted again is what was announced: every field, every bound, every refused id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.replay.lost import BEGAN, TOPIC, Lost
from worker.codecs.decode import Decoder
from worker.codecs.record_decoder import RecordDecoder
from worker.core.errors import UsageError
from worker.core.iso_times import NANOSECONDS
from worker.core.ports import Ledger
from worker.core.translate import Translator
from worker.core.wire import (
    CreateTransferStatus,
    Transfer,
    pack_account,
    pack_transfer,
)
from worker.jobs.rebuild.announced import (
    AnnouncedChain,
    AnnouncedLeg,
    CandidateRecord,
    RefusedAttempt,
    open_announced,
)
from worker.jobs.rebuild.repost import Reposter
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.scan import all_transfers
from worker.rulebooks.load import load

OUTBOX, REJECTED = "ledger.transfers.posted", "ledger.events.rejected"
HELD_SECONDS = 1
"""The timeout of `hold`."""


@pytest.fixture
def lost(tmp_path: Path) -> Lost:
    """A ledger with each kind of leg: plain, of an origin, shares, reserved and settled."""
    made = Lost(tmp_path)
    assert made.take("f1", "fund", at=0, to="a", amount=100) == "posted"
    assert made.take("b1", "back", at=1, of="f1", amount=10) == "posted"
    assert made.take("m1", "move", at=2, payer="a", to="b", amount=91) == "rejected"
    assert made.take("m1", "move", at=3, attempt=1, payer="a", to="b", amount=91) == "rejected"
    assert made.take("f2", "fund", at=4, to="a", amount=60) == "posted"
    assert made.take("m1", "move", at=5, attempt=2, payer="a", to="b", amount=91) == "posted"
    assert made.take("h1", "hold", at=6, payer="a", amount=15) == "posted"
    assert made.take("s1", "settle", at=6, of="h1", then=BEGAN) == "posted"
    assert made.take("t1", "take", at=7, payer="a", amount=300) == "posted"
    assert made.take("m2", "move", at=8, payer="a", to="b", amount=1) == "rejected"
    return made


class OneRequestLedger(EmbeddedLedger):
    """Remembers how many transfers came in each request, and takes so many at most."""

    def __init__(self, batch_max: int) -> None:
        super().__init__(batch_max=batch_max)
        self.requests: list[int] = []

    def create_transfers(self, batch: bytes) -> Any:
        self.requests.append(len(batch) // 128)
        return super().create_transfers(batch)


def reposter(lost: Lost, *, now_ns: int = 0, ledger: EmbeddedLedger | None = None) -> Reposter:
    return Reposter(
        ledger=ledger or EmbeddedLedger(),
        rules=Translator(load(lost.rules)),
        records=RecordDecoder(Decoder(), {}),
        roles={TOPIC: "commands"},
        group="ledger-worker",
        now_ns=now_ns,
    )


def announced(lost: Lost) -> tuple[list[AnnouncedChain], list[RefusedAttempt]]:
    """The outbox joined with its events, and the records that were refused."""
    with open_announced() as joined:
        for record in lost.played.records[TOPIC]:
            (event,) = Decoder().decode_all([record.value()])
            joined.event(record, event, record.value() or b"")  # type: ignore[arg-type] # they all are events
        for record in lost.played.records[OUTBOX]:
            joined.announcement(record)
        for record in lost.played.records[REJECTED]:
            joined.refusal(record)
        assert joined.join() == 0
        return list(joined.steps()), list(joined.refusals())


def transfers(ledger: Ledger) -> list[Transfer]:
    return [one._replace(timestamp=0) for one in all_transfers(ledger)]


def as_rebuilt(lost: Lost) -> list[Transfer]:
    """The lost ledger's, where of a record that came several times the first counts."""
    found = []
    for one in transfers(lost.played.ledger):
        base, offset = divmod(one.user_data_64, 1 << 40)
        record = lost.played.records[TOPIC][offset]
        value = record.value()
        first = next(each for each in lost.played.records[TOPIC] if each.value() == value)
        found.append(one._replace(user_data_64=base << 40 | first.offset()))
    return found


@pytest.mark.parametrize("batch_max", [8189, 5])
def test_every_field_is_as_it_was(lost: Lost, batch_max: int) -> None:
    """All but the ledger's time, the position included, however many go into one request."""
    ledger = OneRequestLedger(batch_max)
    steps, refusals = announced(lost)
    again = reposter(lost, ledger=ledger)
    again.post(steps)
    assert transfers(ledger) == as_rebuilt(lost)
    assert again.chains == len(steps)
    assert again.transfers == len(transfers(ledger))
    assert max(ledger.requests) <= batch_max
    assert sum(ledger.requests) == again.transfers + again.spent
    assert again.spent == 2  # m1, before it was posted at its third attempt
    again.spend(refusals)
    assert again.spent == 3  # and m2
    for number in (name for name in refused_ids(lost)):
        assert spent(ledger, number)


def refused_ids(lost: Lost) -> list[int]:
    """The first ids of every attempt that the lost ledger refused."""
    found = []
    rules = Translator(load(lost.rules))
    for record in lost.played.records[TOPIC]:
        (event,) = Decoder().decode_all([record.value()])
        for name, attempts in (("m1", (0, 1)), ("m2", (0,))):
            if event.id == name:  # type: ignore[union-attr] # it is an event
                for attempt in attempts:
                    chain = rules.translate(event, role="commands", attempt=attempt)  # type: ignore[arg-type] # the same
                    found.append(chain.legs[0].id)  # type: ignore[union-attr] # it has legs
    return sorted(set(found))


def spent(ledger: EmbeddedLedger, number: int) -> bool:

    (result,) = ledger.create_transfers(
        pack_transfer(Transfer(number, 1, 2, 1, ledger=840, code=1))
    )
    return result.status == CreateTransferStatus.ID_ALREADY_FAILED


def test_one_request_is_as_full_as_the_ledger_takes(lost: Lost) -> None:
    """A chain that just fits still goes along; one leg more, and it is the next request's."""
    steps, _ = announced(lost)
    plain = [step for step in steps if step.legs[0].event_id in {"f1", "f2"}]
    for batch_max, requests in ((2, [2]), (1, [1, 1])):
        ledger = OneRequestLedger(batch_max)
        reposter(lost, ledger=ledger).post(plain)
        assert ledger.requests == requests
    take = [step for step in steps if step.legs[0].event_id == "t1"]
    with pytest.raises(UsageError, match="this ledger takes 2 legs in one request"):
        reposter(lost, ledger=OneRequestLedger(2)).post(take)


def changed(steps: Iterable[AnnouncedChain], event: str, leg: int, **fields: Any) -> Any:
    """The chains, one leg of one of them told otherwise."""
    for step in steps:
        legs = list(step.legs)
        if legs[0].event_id == event:
            legs[leg] = legs[leg]._replace(**fields)
        yield AnnouncedChain(legs, step.sources)


OTHERWISE: list[tuple[str, int, Callable[[AnnouncedLeg], dict[str, Any]]]] = [
    ("f1", 0, lambda leg: {"amount": str(int(leg.amount) + 1)}),
    ("f1", 0, lambda leg: {"amount": str(int(leg.amount) - 1)}),
    ("f1", 0, lambda leg: {"code": leg.code + 1}),
    ("f1", 0, lambda leg: {"flags": leg.flags | 1}),
    ("f1", 0, lambda leg: {"ledger": leg.ledger + 1}),
    ("f1", 0, lambda leg: {"debit": leg.credit}),
    ("f1", 0, lambda leg: {"credit": leg.debit}),
    ("f1", 0, lambda _: {"transfer_id": "1" * 32}),
    ("f1", 0, lambda leg: {"attempt": leg.attempt + 1, "transfer_id": "1" * 32}),
    ("b1", 0, lambda _: {"debit": "1" * 32}),
    ("t1", 0, lambda leg: {"amount": str(int(leg.amount) - 1)}),
    ("t1", 0, lambda leg: {"flags": leg.flags & ~1}),
    ("t1", 1, lambda leg: {"amount": str(int(leg.amount) + 1)}),
    ("t1", 1, lambda _: {"amount": "301"}),
    ("t1", 2, lambda leg: {"amount": str(int(leg.amount) + 1)}),
    ("h1", 0, lambda leg: {"amount": str(int(leg.amount) + 1)}),
    ("h1", 0, lambda leg: {"flags": leg.flags & ~2}),
    ("s1", 0, lambda leg: {"amount": str(int(leg.amount) - 1)}),
    ("s1", 0, lambda leg: {"amount": str(int(leg.amount) + 1)}),
    ("s1", 0, lambda leg: {"pending_id": f"{int(leg.pending_id, 16) + 1:032x}"}),
    ("s1", 0, lambda _: {"pending_id": ""}),
    ("s1", 0, lambda leg: {"ledger": leg.ledger + 1}),
]


@pytest.mark.parametrize(("event", "number", "change"), OTHERWISE)
def test_what_was_announced_otherwise_is_refused(
    lost: Lost, event: str, number: int, change: Callable[[AnnouncedLeg], dict[str, Any]]
) -> None:
    """One field of one leg is enough, and a smaller amount is another one too."""
    steps, _ = announced(lost)
    (leg,) = (step.legs[number] for step in steps if step.legs[0].event_id == event)
    with pytest.raises(UsageError, match=f"of the event {event} ") as refused:
        reposter(lost).post(changed(steps, event, number, **change(leg)))
    (name, told), *_ = change(leg).items()
    by_ledger = event == "s1" or (event == "t1" and number > 0 and told != "301")
    decided = name == "amount" and by_ledger
    assert ("the ledger took" in str(refused.value)) is decided


@pytest.mark.parametrize(
    ("after_ns", "expired"), [(-1, False), (0, True), (1, True)], ids=["before", "at", "after"]
)
def test_when_a_reservation_has_expired(tmp_path: Path, *, after_ns: int, expired: bool) -> None:
    """From the moment on that its timeout ends; until then it holds the money."""
    lost = Lost(tmp_path)
    lost.take("f1", "fund", at=0, to="a", amount=100)
    lost.take("h1", "hold", at=1, payer="a", amount=100)
    steps, _ = announced(lost)
    (held,) = (step.legs[0] for step in steps if step.legs[0].event_id == "h1")
    ends_ns = held.posted_ns + HELD_SECONDS * NANOSECONDS
    again = reposter(lost, now_ns=ends_ns + after_ns)
    again.post(steps)
    assert (again.chains, again.expired) == (1 if expired else 2, 0)
    assert again.last_expiry_ns == (0 if expired else ends_ns + after_ns + NANOSECONDS)
    unsettled = [step for step in steps if step.legs[0].unsettled]
    again.post(unsettled, late=True)
    assert (again.chains, again.expired, again.unfit) == (2, int(expired), [])
    assert again.last_expiry_ns == ends_ns + after_ns + NANOSECONDS


def test_a_settled_reservation_is_none_that_expired(lost: Lost) -> None:
    """Whatever the time is now, it comes in its turn."""
    steps, _ = announced(lost)
    again = reposter(lost, now_ns=(BEGAN + 10**6) * NANOSECONDS)
    again.post(steps)
    assert (again.chains, again.expired, again.last_expiry_ns) == (len(steps), 0, 0)


def test_a_record_without_an_offset_has_no_position(lost: Lost) -> None:
    """Archives that do not say where a record was leave 0."""
    steps, _ = announced(lost)
    nowhere = [
        AnnouncedChain(step.legs, [source._replace(offset=-1) for source in step.sources])
        for step in steps
    ]
    again = reposter(lost)
    again.post(nowhere)
    assert {one.user_data_64 for one in transfers(again.ledger)} == {0}


def test_the_posted_record_gives_the_position(lost: Lost) -> None:
    """Where several records have the id, it is the one whose chain was announced."""
    steps, _ = announced(lost)
    other = CandidateRecord("another.topic", 0, 5, b"{}")
    for before, after in (([other], []), ([], [other])):
        again = reposter(lost)
        again.post(AnnouncedChain(one.legs, [*before, *one.sources, *after]) for one in steps)
        assert transfers(again.ledger) == as_rebuilt(lost)


def test_refusals_are_spent_in_portions(lost: Lost) -> None:
    """Each attempt up to the one that was refused, however few fit into a request."""
    _, refusals = announced(lost)
    for batch_max in (1, 2, 8189):
        ledger = OneRequestLedger(batch_max)
        again = reposter(lost, ledger=ledger)
        again.spend(refusals)
        assert again.spent == 3
        assert all(spent(ledger, number) for number in refused_ids(lost))


def test_accounts_that_are_there_otherwise(lost: Lost) -> None:
    """A ledger whose accounts are declared otherwise takes nothing."""
    steps, _ = announced(lost)
    ledger = EmbeddedLedger()
    first: Sequence[AnnouncedChain] = steps[:1]
    account = next(
        row for row in lost.played.ledger.lookup_accounts([int(first[0].legs[0].debit, 16)])
    )
    ledger.create_accounts(pack_account(account._replace(
        code=account.code + 1, debits_posted=0, credits_posted=0, timestamp=0
    )))  # fmt: skip
    with pytest.raises(UsageError, match="1 accounts are in the ledger otherwise"):
        reposter(lost, ledger=ledger).post(first)
    assert transfers(ledger) == []
