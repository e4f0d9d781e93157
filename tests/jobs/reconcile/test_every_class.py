"""One run that holds every outcome and every class at once, and each item in its class."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reconcile.by_hand import CREATED, charge, event, played, reconciled, settlement
from tests.jobs.reconcile.stripe import row, write_report
from tests.jobs.reports.played import GROUP, Played
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.parked import ParkedEvents
from worker.core.event import Dead, Reason
from worker.core.outcome import OutcomeKind
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.generate.scene import COMMANDS, Generated
from worker.jobs.reconcile.summary import CLASSES

RULES = Path(__file__).with_name("settled.yaml")
OUTBOX, DEAD = "ledger.transfers.posted", "ledger.events.dead"
LATER = "9" + "0" * 18
"""A ledger time after everything, in nanoseconds."""

Edit = Callable[[dict[str, Any]], None]


def paid(name: str, amount: int = 700, **other: Any) -> Generated:
    return event("charge.succeeded", charge(f"ch_{name}", amount), number=f"evt_{name}", **other)


def settled(name: str, amount: int = 700) -> Generated:
    return settlement(f"txn_{name}", amount, 20, source=f"ch_{name}")


def both(name: str) -> list[Generated]:
    return [paid(name), settled(name)]


def p2p(amount: int) -> Generated:
    about = {"id": "p2p_1", "from": "cus_1", "to": "cus_2", "amount": amount}
    return event("wallet.p2p", about, number="evt_rejected")._replace(role=COMMANDS)


def refund(number: str, amount: int) -> Generated:
    about = {"id": f"re_{number}", "amount": amount, "charge": f"ch_{number}"}
    return event("refund.created", about, number=f"evt_{number}")


TOLD = [
    *both("matched"),
    *both("again"),
    paid("again"),
    *both("conflict"),
    paid("conflict", 900)._replace(key=b"other"),
    *both("twice"),
    paid("twice", created=CREATED + 60)._replace(key=b"other"),
    p2p(10**9),
    event("charge.succeeded", {"id": "ch_dead"}, number="evt_dead"),
    event("charge.unheard_of", {"id": "ch_strange"}, number="evt_strange"),
    refund("parked", 500),
    event("charge.expired", {"id": "ch_ignored"}, number="evt_ignored"),
    refund("matched", 0),
    paid("unsettled"),
    settled("untold"),
    paid("differs"),
    settled("differs", 650),
    paid("dropped"),
    *(one for name in ("amount", "account", "currency", "fee") for one in both(name)),
    *(one for name in ("silent", "misannounced") for one in both(name)),
    paid("lost"),
]
"""What came, in order; the ids say what becomes of each."""

DROPPED = {"evt_dropped"}
UNPOSTED = {"evt_lost"}
EDITS: dict[str, Edit] = {
    "evt_amount": lambda about: about.update(amount=800),
    "evt_account": lambda about: about.update(customer="cus_other"),
    "evt_currency": lambda about: about.update(currency="eur"),
    "bt/txn_fee": lambda about: about.update(fee=21, net=679),
}
EXPECTED = {
    ("duplicate", "evt_again"),
    ("dead", "evt_conflict_other"),
    ("duplicate", "evt_twice_other"),
    ("rejected", "evt_rejected"),
    ("dead", "evt_dead"),
    ("dead", "evt_strange"),
    ("parked", "evt_parked"),
    ("told_by_payments_only", "ch_unsettled"),
    ("amounts_differ", "ch_twice"),
    ("told_by_settlements_only", "ch_untold"),
    ("amounts_differ", "ch_differs"),
    ("not_in_any_topic", "evt_dropped"),
    ("amount_mismatch", "evt_amount"),
    ("account_mismatch", "evt_account"),
    ("currency_mismatch", "evt_currency"),
    ("fee_mismatch", "bt/txn_fee"),
    ("not_announced", "evt_silent"),
    ("announcement_mismatch", "evt_misannounced"),
    ("missing_in_ledger", "evt_lost"),
    ("unreadable", f"{OUTBOX}/0@99"),
    ("in_transit", "evt_matched"),
    ("missing_in_report", "po_1"),
    ("category_mismatch", "ch_again"),
}
NOT_DIFFERENT = {("duplicate", "evt_again"), ("rejected", "evt_rejected"), ("parked", "evt_parked")}
ELSEWHERE = {
    "copy_mismatch",
    "late",
    "backdated",
    "opening_mismatch",
    "missing_in_bank",
    "bank_only",
}
"""Need a database (test_copied.py), a closed period (test_periods.py) or a bank (test_bank.py)."""

OPEN = {"told_by_payments_only", "told_by_settlements_only", "amounts_differ", "in_transit"}


def body_of(one: Generated) -> dict[str, Any]:
    """The event, which is no poison here."""
    assert isinstance(one.event, dict)
    return one.event


def numbered(events: list[Generated]) -> Iterator[Generated]:
    """A second event of the same object has an id of its own."""
    for one in events:
        body = body_of(one)
        yield (
            one._replace(event=body | {"id": f"{body['id']}_other"}) if one.key == b"other" else one
        )


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))
    told = [one for one in numbered(TOLD) if body_of(one)["id"] not in UNPOSTED]
    return played(tmp_path, told, rules=RULES)


def test_the_day_has_every_outcome(day: Played) -> None:
    """Else the run below would not have them either; its parked letter is put in by hand."""
    assert set(day.outcomes) == set(OutcomeKind) - {OutcomeKind.PARKED}


def test_every_class_is_found_at_once_and_nothing_else(
    day: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not stop, each item is in its class, and every class has one."""
    report = write_report(tmp_path / "stripe.csv", list(rows_that_differ()))
    options = ("--stripe-report", str(report), "--settle-days", "9999")
    found = reconciled(day, list(archive(day)), monkeypatch, capsys, *options, code=1)
    events = {one["transfer_id"]: one["event_id"] for one in posted(day)}
    told = {}
    for item in found["items"]:
        about = item["event_id"] or events.get(item["transfer_id"]) or item["position"]
        told[item["class"], about] = item["differs"]
    assert set(told) == EXPECTED
    assert {kind for kind, _ in told} | {"matched"} == set(CLASSES) - ELSEWHERE
    quiet = {found for found, differs in told.items() if not differs}
    assert quiet == {one for one in EXPECTED if one in NOT_DIFFERENT or one[0] in OPEN}
    matched = found["summary"]["currencies"]["usd"]["classes"]["matched"]["items"]
    assert matched > len(both("matched"))


def posted(day: Played) -> list[dict[str, Any]]:
    return [json.loads(one.value() or b"") for one in day.records[OUTBOX]]


def rows_that_differ() -> Iterator[dict[str, Any]]:
    """A right row of a payout that nobody has, and one of another category than the feed's."""
    for name, category, payout in (("matched", "charge", "po_1"), ("again", "refund", "")):
        made = row(f"txn_{name}", category, {"currency": "usd", "source": f"ch_{name}"}, 700, 20)
        yield made | {"automatic_payout_id": payout}


def archive(day: Played) -> Iterator[ArchivedRecord]:
    """The topics with everything in them that this side can have wrong."""
    for topic in ("stripe.payments", "stripe.settlements", "wallet.commands"):
        for record in day.records[topic]:
            body = json.loads(record.value() or b"")
            if body["id"] in DROPPED:
                continue
            if body["id"] in EDITS:
                EDITS[body["id"]](body["data"]["object"])
            yield replace(record, value_bytes=json.dumps(body).encode())
    (lost,) = [one.event for one in TOLD if body_of(one)["id"] in UNPOSTED]
    yield ArchivedRecord("stripe.payments", 0, 999, None, json.dumps(lost).encode())
    yield from announcements(day)
    yield from letters(day)


def announcements(day: Played) -> Iterator[ArchivedRecord]:
    for record, told in zip(day.records[OUTBOX], posted(day), strict=True):
        if told["event_id"] == "evt_silent":
            continue
        if told["event_id"] == "evt_misannounced":
            told["code"] = 999
        yield replace(record, value_bytes=json.dumps(told).encode())
    soon = posted(day)[0] | {"transfer_id": "0199" + "0" * 28, "ledger_timestamp": LATER}
    yield ArchivedRecord(OUTBOX, 0, 98, None, json.dumps(soon).encode())
    yield ArchivedRecord(OUTBOX, 0, 99, None, b"junk")
    yield from day.records["ledger.events.rejected"]


def letters(day: Played) -> Iterator[ArchivedRecord]:
    """The dead letters, but that of what waits: it is still parked."""
    dead = DeadLetters(topic=DEAD, group=GROUP, rulebook_digest="r")
    parked = ParkedEvents(topics=["ledger.events.parked.1"], dead=dead, now_ms=lambda: 1)
    missing = Dead(Reason.PREDECESSOR_MISSING, "charge/ch_parked is not in the ledger")
    for record in day.records["stripe.payments"]:
        if b"evt_parked" in (record.value() or b""):
            letter = parked.park(record, missing, tries=0, role="payments", since=0)
            yield ArchivedRecord(letter.topic, 0, 7, letter.key, letter.value, list(letter.headers))
    for record in day.records[DEAD]:
        if b"evt_parked" not in (record.value() or b""):
            yield record
