"""Nothing in a topic stops a reconciliation: what cannot be read or explained is an item."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reconcile.by_hand import (
    CREATED,
    all_records,
    charge,
    event,
    played,
    reconciled,
    settlement,
)
from tests.jobs.reports.played import GROUP, Played
from worker.codecs.avro import packaged_schema
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.parked import ParkedEvents
from worker.core.event import Dead, Reason
from worker.core.ports import Announcement
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.generate.scene import PAYMENTS

OUTBOX = "ledger.transfers.posted"


RULES = Path(__file__).with_name("settled.yaml")
CHARGE = event("charge.succeeded", charge("ch_1", 700), number="e1")
SETTLED = settlement("txn_1", 700, 20, source="ch_1")
REFUND = event(
    "refund.created",
    {"id": "re_1", "object": "refund", "amount": 5000, "charge": "ch_never", "status": "succeeded"},
    number="evt_refund",
)


@pytest.fixture(autouse=True)
def _small_rulebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))


def inputs(day: Played) -> list[ArchivedRecord]:
    return [*day.records["stripe.payments"], *day.records["stripe.settlements"]]


def kinds(items: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(item["class"], item["event_id"]) for item in items}


def letter(carried: Announcement, offset: int) -> ArchivedRecord:
    """A dead or parked letter as an archive holds it."""
    return ArchivedRecord(
        carried.topic, 0, offset, carried.key, carried.value, list(carried.headers)
    )


def test_an_event_without_its_origin_waits_and_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refund of a charge from before the archive: an item, whether announcements are there."""
    day = played(tmp_path, rules=RULES, events=[CHARGE, SETTLED, REFUND])
    items = reconciled(day, inputs(day), monkeypatch, capsys, code=0)["items"]
    assert kinds(items) == {("parked", "evt_refund")}
    assert all(item["detail"].endswith("is not in the ledger") for item in items)
    items = reconciled(day, [*inputs(day), *day.records[OUTBOX]], monkeypatch, capsys, code=1)[
        "items"
    ]
    assert kinds(items) == {("not_announced", "evt_refund")}


def test_what_waited_and_then_died_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its letter names the parked topic it died on, and the record it was before that."""
    day = played(tmp_path, rules=RULES, events=[CHARGE, SETTLED, REFUND])
    (_, refund) = day.records["stripe.payments"]
    dead = DeadLetters(topic="ledger.events.dead", group=GROUP, rulebook_digest="r")
    parked = ParkedEvents(topics=["ledger.events.parked.1"], dead=dead, now_ms=lambda: 1)
    missing = Dead(Reason.PREDECESSOR_MISSING, "charge/ch_never is not in the ledger")
    waiting = letter(parked.park(refund, missing, tries=0, role=PAYMENTS, since=0), 7)
    died = letter(dead.letter(waiting, missing, stage="post"), 9)
    records = [*inputs(day), *day.records[OUTBOX]]
    items = reconciled(day, [*records, waiting], monkeypatch, capsys, code=0)["items"]
    assert kinds(items) == {("parked", "evt_refund")}
    items = reconciled(day, [*records, waiting, died], monkeypatch, capsys, code=1)["items"]
    assert kinds(items) == {("dead", "evt_refund")}


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe no announcement",
        b"[]",
        b"\x00\x00\x00\x00\x04junk",
        b'{"transfer_id": "xyz", "ledger_timestamp": "1"}',
        b'{"transfer_id": null, "ledger_timestamp": null}',
    ],
)
def test_a_broken_announcement_is_an_item(
    value: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Junk on the outbox, the rejected and the dead topic: each is named with its place."""
    day = played(tmp_path, rules=RULES, events=[CHARGE, SETTLED])
    topics = (OUTBOX, "ledger.events.rejected", "ledger.events.dead", "ledger.events.parked.1")
    junk = [ArchivedRecord(topic, 0, 99, None, value) for topic in topics]
    items = reconciled(day, [*all_records(day), *junk], monkeypatch, capsys, code=1)["items"]
    assert {item["class"] for item in items} == {"unreadable"}
    assert {item["position"] for item in items} == {f"{topic}/0@99" for topic in topics}


FIELDS: list[tuple[str, object, str]] = [
    ("ledger",            10**30,             "unreadable"),
    ("ledger",            "usd",              "unreadable"),
    ("amount",            str(1 << 127),      "unreadable"),
    ("amount",            "-1",               "unreadable"),
    ("ledger_timestamp",  str(1 << 63),       "unreadable"),
    ("code",              None,               "unreadable"),
    ("debit_account_id",  "f" * 33,           "unreadable"),
    ("transfer_id",       "0" * 32,           "not_announced"),
    ("amount",            "701",              "amount_mismatch"),
    ("ledger",            978,                "currency_mismatch"),
    ("debit_account_id",  "0" * 31 + "1",     "account_mismatch"),
    ("credit_account_id", "0" * 31 + "1",     "account_mismatch"),
    ("currency",          "eur",              "currency"),
    ("scale",             3,                  "scale"),
    ("kind",              "pending",          "kind"),
    ("code",              999,                "code"),
    ("flags",             2,                  "kind, flags"),
    ("leg_number",        7,                  "leg_number"),
    ("leg_count",         7,                  "leg_count"),
    ("pending_id",        "0" * 31 + "1",     "pending_id"),
    ("transaction",       "refund",           "transaction or leg"),
    ("leg",               "fee",              "transaction or leg"),
    ("debit_account",     "stripe_clearing",  "debit_account or debit_key"),
    ("debit_key",         "cus_1",            "debit_account or debit_key"),
    ("credit_account",    "purse",            "credit_account or credit_key"),
    ("credit_key",        "cus_2",            "credit_account or credit_key"),
    ("event_id",          "evt_other",        "event_id, event_type or event_created"),
    ("event_type",        "charge.failed",    "event_id, event_type or event_created"),
    ("event_created",     "2026-01-01T00:00:01Z", "event_id, event_type or event_created"),
    ("attempt",           1,                  "attempt"),
    ("posted_at",         "2026-01-01T00:00:00.000000Z", "posted_at"),
    ("ledger_timestamp",  "1999999999999999999", "posted_at, ledger_timestamp"),
    ("fact",              "charge/ch_2",      "fact"),
    ("fact_at",           "2026-01-01T00:00:01Z", "fact_at"),
    ("topic",             "stripe.other",     "topic, partition or offset"),
    ("partition",         9,                  "topic, partition or offset"),
    ("offset",            9,                  "topic, partition or offset"),
    ("expires_at",        "2026-01-01T00:00:01.000000Z", "expires_at"),
]  # fmt: skip


def test_no_field_of_an_announcement_is_left_out() -> None:
    """Every field of the outbox's schema is in the table."""
    schema: Any = packaged_schema("posted_transfer")
    assert {field for field, _, _ in FIELDS} == {one["name"] for one in schema["fields"]}


@pytest.mark.parametrize(("field", "value", "kind"), FIELDS)
def test_every_field_of_an_announcement_is_compared(  # noqa: PLR0913, PLR0917 - a row of the table
    field: str,
    value: object,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is out of its range cannot be read; what differs from the ledger is named.

    kind: the class, or the fields that an `announcement_mismatch` names.
    """
    day = played(tmp_path, rules=RULES, events=[CHARGE, SETTLED])
    first, *others = day.records[OUTBOX]
    told = json.loads(first.value() or b"") | {field: value}
    spoiled = replace(first, value_bytes=json.dumps(told).encode())
    records = [*inputs(day), spoiled, *others]
    items = reconciled(day, records, monkeypatch, capsys, code=1)["items"]
    said = {item["class"]: item["detail"].rpartition(": ")[2] for item in items}
    assert kind in said or said == {"announcement_mismatch": kind}
    assert set(said) <= {kind, "not_announced", "announcement_mismatch", "missing_in_ledger"}


def test_one_fact_under_two_ids_is_found_where_an_event_explains_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same charge with another `created` has other ids, and was booked twice."""
    once = event("charge.succeeded", charge("ch_1", 16717), number="e1")
    again = event("charge.succeeded", charge("ch_1", 16717), number="e2", created=CREATED + 60)
    day = played(tmp_path, rules=RULES, events=[once, again])
    items = reconciled(day, all_records(day), monkeypatch, capsys, code=1)["items"]
    (item,) = [one for one in items if one["differs"]]
    assert (item["class"], item["event_id"], item["actual_amount"]) == ("duplicate", "e2", "167.17")
    assert item["transfer_id"] != item["other_transfer_id"] != ""


def test_two_stories_of_one_facts_money_are_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second is a dead letter; both amounts are shown."""
    second = event("charge.succeeded", charge("ch_1", 900), number="e2")
    day = played(tmp_path, rules=RULES, events=[CHARGE, SETTLED, second])
    found = reconciled(day, all_records(day), monkeypatch, capsys, code=1)["items"]
    (item,) = [one for one in found if one["differs"]]
    assert (item["class"], item["event_id"]) == ("dead", "e2")
    assert (item["expected_amount"], item["actual_amount"]) == ("9.00", "7.00")


def test_what_waits_for_too_long_is_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an item that is open for longer than --settle-days is."""
    day = played(tmp_path, rules=RULES, events=[CHARGE, SETTLED, REFUND])
    records = inputs(day)
    for days, code in (("3", 0), ("1", 1)):
        options = ("--to", "2026-01-03T12:00", "--settle-days", days)
        found = reconciled(day, records, monkeypatch, capsys, *options, code=code)
        assert kinds(found["items"]) == {("parked", "evt_refund")}
