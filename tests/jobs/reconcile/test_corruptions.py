"""One corruption for each branch of the joins: every field that is compared, changed alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from worker.jobs.duckdb_rows import Database, open_database, stage_rows
from worker.jobs.reconcile.classify import PREPARE, classify
from worker.jobs.reconcile.summary import CLEARING_MOVED
from worker.jobs.reconcile.tables import TABLES

Row = dict[str, Any]
Sides = dict[str, list[Row]]
ID, PENDING, OTHER = "a" * 32, "b" * 32, "c" * 32
FIRST_NS, CUT_NS, LATE_MS = 900_000_000, 2_000_000_000, 500
ACTUAL: dict[str, Any] = {
    "transfer_id": ID,
    "tag": "tag",
    "leg": 0,
    "legs": 1,
    "debit": "bank",
    "credit": "wallet",
    "ledger": 840,
    "amount": 100,
    "pending_id": "",
    "code": 7,
    "flags": 0,
    "position": "stripe.payments/0@1",
    "posted_ns": 1_000_000_000,
    "in_range": True,
    "in_transit": False,
    "expires_at": "",
}
EXPECTED: dict[str, Any] = {
    "tag": "tag",
    "variant": "v",
    "candidate": 0,
    "leg": 0,
    "legs": 1,
    "leg_name": "charge.gross",
    "transfer_id": ID,
    "debit": "bank",
    "credit": "wallet",
    "debit_name": "bank",
    "credit_name": "wallet[cus_1]",
    "ledger": 840,
    "amount": 100,
    "amount_rule": "equal",
    "pendings": "",
    "is_fee": False,
    "clearing_sign": 0,
}
EVENT: dict[str, Any] = {
    "origin": "stripe.payments/0@1",
    "event_id": "evt_1",
    "event_type": "charge.succeeded",
    "created_at": "1970-01-01T00:00:00Z",
    "transaction_name": "charge",
    "object_id": "ch_1",
    "tag": "tag",
    "variant": "v",
    "outcome": "chain",
    "reason": "",
    "waits_for": "",
    "time_ms": LATE_MS,
    "in_transit": False,
}
ITEMS_TABLE = PREPARE[PREPARE.index("CREATE TABLE items") :]
"""The last of what a comparison prepares."""

ANNOUNCED = {name: ACTUAL[name] for name in TABLES["announced"] if name in ACTUAL} | {
    "event_id": "evt_1",
    "event_type": "charge.succeeded",
    "created_at": "1970-01-01T00:00:00Z",
    "leg_name": "charge.gross",
    "attempt": 0,
    "record": ACTUAL["position"],
    "wrong": "",
    "position": "ledger.transfers.posted/0@1",
}
RESERVATION = ACTUAL | {"transfer_id": PENDING, "in_range": False, "flags": 2, "tag": "hold"}
DEAD = {"origin": EVENT["origin"], "reason": "conflict", "position": "ledger.events.dead/0@1"}
REJECTED = {
    "event_id": "evt_1",
    "reason": "exceeds_credits",
    "position": "ledger.events.rejected/0@1",
}


def sides(**tables: Iterable[Row]) -> Sides:
    """One event, its leg, its transfer and its announcement, or other rows instead."""
    clean: dict[str, list[Row]] = {
        "events": [EVENT],
        "expected": [EXPECTED],
        "actual": [ACTUAL],
        "announced": [ANNOUNCED],
    }
    return clean | {name: list(rows) for name, rows in tables.items()}


def stage(database: Database, tables: Sides) -> None:
    """Every table, with these rows."""
    for name, columns in TABLES.items():
        declared = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        database.execute(f"CREATE TABLE {name} ({declared})")
        rows = [[row[column] for column in columns] for row in tables.get(name, [])]
        stage_rows(database, name, columns, rows)


def items(tables: Sides, *, announced: bool = True) -> list[tuple[str, bool, str]]:
    """Class, whether it differs, and the transfer or else the event, of every item."""
    with open_database() as database:
        stage(database, tables)
        limits = {"first_ns": FIRST_NS, "cut_ns": CUT_NS, "late_ms": LATE_MS}
        classify(database, announced=announced, **limits)
        return database.execute(
            "SELECT class, differs, coalesce(transfer_id, event_id, '') FROM items ORDER BY ALL"
        ).fetchall()


def test_what_agrees_is_no_item() -> None:
    """Every corruption below is one change to this."""
    assert items(sides()) == []


LEDGER_FIELDS = [
    ({"debit": "other"},   {},                                   "account_mismatch"),
    ({"credit": "other"},  {},                                   "account_mismatch"),
    ({"ledger": 978},      {},                                   "currency_mismatch"),
    ({"amount": 99},       {},                                   "amount_mismatch"),
    ({"amount": 101},      {},                                   "amount_mismatch"),
    ({"amount": 99},       {"is_fee": True},                     "fee_mismatch"),
    ({"amount": 0},        {"amount_rule": "at_most"},           ""),
    ({"amount": 100},      {"amount_rule": "at_most"},           ""),
    ({"amount": 101},      {"amount_rule": "at_most"},           "amount_mismatch"),
    ({"debit": "other"},   {"amount_rule": "at_most"},           "account_mismatch"),
    ({"debit": "other"},   {"debit": ""},                        ""),
    ({"credit": "other"},  {"credit": ""},                       ""),
    ({"debit": "other"},   {"credit": ""},                       "account_mismatch"),
    ({"credit": "other"},  {"debit": ""},                        "account_mismatch"),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "leg", "expected"), LEDGER_FIELDS)
def test_each_field_of_a_transfer_is_compared_with_the_rule_s(
    stored: Row, leg: Row, expected: str
) -> None:
    """Announced as it is stored, so that the ledger alone differs."""
    found = items(
        sides(
            expected=[EXPECTED | leg],
            actual=[ACTUAL | stored],
            announced=[ANNOUNCED | stored],
        )
    )
    assert found == ([(expected, True, ID)] if expected else [])


@pytest.mark.parametrize(
    ("amount", "pending", "rule", "expected"),
    [
        (100, PENDING, "reserved", ""),
        (99, PENDING, "reserved", "amount_mismatch"),
        (101, PENDING, "reserved", "amount_mismatch"),
        (100, OTHER, "reserved", "account_mismatch"),
        (100, "", "reserved", "account_mismatch"),
        (100, PENDING, "equal", ""),
        (99, PENDING, "equal", "amount_mismatch"),
    ],
)
def test_what_settles_a_reservation_is_compared_with_it(
    amount: int, pending: str, rule: str, expected: str
) -> None:
    """All of it where the leg says all, and one of those that it may settle."""
    stored = {"amount": amount, "pending_id": pending}
    leg = {"debit": "", "credit": "", "pendings": f"{'d' * 32} {PENDING}", "amount_rule": rule}
    reserving = EXPECTED | {"tag": "hold", "transfer_id": PENDING}
    found = items(
        sides(
            expected=[EXPECTED | leg, reserving],
            actual=[ACTUAL | stored, RESERVATION],
            announced=[ANNOUNCED | stored],
            events=[EVENT, EVENT | {"tag": "hold", "event_id": "evt_0"}],
        )
    )
    assert [one for one in found if one[2] == ID] == ([(expected, True, ID)] if expected else [])


@pytest.mark.parametrize("at", [0, 1, 2], ids=["only", "first", "second"])
@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("debit", "another", "account_mismatch"),
        ("debit", "zebra", "account_mismatch"),
        ("credit", "another", "account_mismatch"),
        ("credit", "zebra", "account_mismatch"),
        ("amount", 99, "amount_mismatch"),
        ("amount", 101, "amount_mismatch"),
        ("ledger", 978, "currency_mismatch"),
        ("pending_id", OTHER, "announcement_mismatch"),
        ("leg", 1, "announcement_mismatch"),
        ("legs", 2, "announcement_mismatch"),
        ("code", 8, "announcement_mismatch"),
        ("flags", 1, "announcement_mismatch"),
        ("event_id", "evt_2", "announcement_mismatch"),
        ("event_type", "charge.failed", "announcement_mismatch"),
        ("created_at", "1970-01-01T00:00:01Z", "announcement_mismatch"),
        ("leg_name", "charge.fee", "announcement_mismatch"),
        ("attempt", 1, "announcement_mismatch"),
        ("tag", "other", "announcement_mismatch"),
        ("record", "stripe.payments/0@2", "announcement_mismatch"),
        ("wrong", "kind", "announcement_mismatch"),
    ],
)
def test_each_field_of_each_announcement_is_compared(
    field: str, value: object, expected: str, at: int
) -> None:
    """Also where a second one says what the ledger holds, before it or after it."""
    wrong = ANNOUNCED | {field: value}
    announced = [[wrong], [wrong, ANNOUNCED], [ANNOUNCED, wrong]][at]
    assert items(sides(announced=announced)) == [(expected, True, ID)]


@pytest.mark.parametrize("field", ["posted_ns", "expires_at"])
def test_the_times_of_an_announcement_are_compared(field: str) -> None:
    """Where it came once, and the ledger was not rebuilt since."""
    value: object = FIRST_NS - 1 if field == "posted_ns" else "1970-01-01T00:00:09.000000Z"
    wrong = ANNOUNCED | {field: value}
    assert items(sides(announced=[wrong])) == (
        [("announcement_mismatch", True, ID)] if field == "expires_at" else []
    )
    later = wrong | ({"posted_ns": FIRST_NS + 1} if field == "posted_ns" else {})
    assert items(sides(announced=[later])) == [("announcement_mismatch", True, ID)]
    assert items(sides(announced=[later, ANNOUNCED])) == [("duplicate", True, ID)]


def test_a_time_before_the_ledgers_first_is_wrong_where_others_agree() -> None:
    """A rebuilt ledger has its announcements' times of before; one among right ones is wrong."""
    sooner = ACTUAL | {"transfer_id": OTHER, "tag": "other", "posted_ns": FIRST_NS}
    leg = EXPECTED | {"transfer_id": OTHER, "tag": "other"}
    tables = sides(
        events=[EVENT, EVENT | {"tag": "other", "event_id": "evt_2"}],
        expected=[EXPECTED, leg],
        actual=[ACTUAL, sooner],
    )
    told = {"transfer_id": OTHER, "tag": "other", "event_id": "evt_2"}
    early = ANNOUNCED | {"posted_ns": FIRST_NS - 2}
    rebuilt = [early, ANNOUNCED | told | {"posted_ns": FIRST_NS - 1}]
    assert items(tables | {"announced": rebuilt}) == []
    right = [early, ANNOUNCED | told | {"posted_ns": FIRST_NS}]
    assert items(tables | {"announced": right}) == [("announcement_mismatch", True, ID)]


def test_an_announcement_of_the_first_generation_lacks_fields() -> None:
    """They are not compared."""
    assert items(sides(announced=[ANNOUNCED | {"tag": "", "record": "", "expires_at": ""}])) == []


def test_an_announcement_is_once_and_of_a_transfer() -> None:
    """Missing, doubled, or of nothing that the ledger holds."""
    assert items(sides(announced=[])) == [("not_announced", True, ID)]
    assert items(sides(announced=[ANNOUNCED] * 2)) == [("duplicate", True, ID)]
    stranger = ANNOUNCED | {"transfer_id": OTHER}
    for posted_ns, expected in (
        (CUT_NS, ("missing_in_ledger", True, OTHER)),
        (CUT_NS + 1, ("in_transit", False, OTHER)),
    ):
        found = items(sides(announced=[ANNOUNCED, stranger | {"posted_ns": posted_ns}]))
        assert found == [expected]
    transit = ACTUAL | {"in_transit": True}
    assert items(sides(actual=[transit], announced=[])) == [("in_transit", False, ID)]
    assert items(sides(announced=[]), announced=False) == []


def test_a_dead_letter_of_other_money_is_a_difference() -> None:
    """The key was posted for one event, and another one asked for something else: it is named."""
    other = EXPECTED | {"variant": "w", "amount": 55}
    asking = EVENT | {"variant": "w", "event_id": "evt_2", "origin": "stripe.payments/0@2"}
    letter = DEAD | {"origin": asking["origin"]}
    both = sides(events=[EVENT, asking], expected=[EXPECTED, other])
    assert items(both | {"dead": [letter]}) == [("dead", True, ID)]
    assert items(both) == [("amount_mismatch", True, ID)]
    told = ANNOUNCED | {"event_id": "evt_2"}
    alone = sides(events=[asking], expected=[other], dead=[letter], announced=[told])
    assert items(alone) == [("amount_mismatch", True, ID)]


ABSENT: list[tuple[Sides, Row, tuple[str, bool]]] = [
    ({},                    {},                                        ("missing_in_ledger", True)),
    ({"rejected": [REJECTED]}, {},                                     ("rejected", False)),
    ({"dead": [DEAD]},      {},                                        ("dead", True)),
    ({"rejected": [REJECTED], "dead": [DEAD]}, {},                     ("rejected", False)),
    ({},                    {"in_transit": True},                      ("in_transit", False)),
    ({"parked": [DEAD]},    {},                                        ("parked", False)),
    ({"parked": [DEAD]},    {"time_ms": LATE_MS - 1},                  ("parked", True)),
    ({},                    {"waits_for": "its origin"},               ("not_announced", True)),
]  # fmt: skip


@pytest.mark.parametrize(("tables", "event", "expected"), ABSENT)
def test_what_is_not_in_the_ledger_has_a_reason_or_is_a_difference(
    tables: Sides, event: Row, expected: tuple[str, bool]
) -> None:
    """Refused, dead, on its way, waiting (for so long), or missing."""
    found = items(sides(events=[EVENT | event], actual=[], announced=[]) | tables)
    assert found == [(*expected, ID)]


def test_a_chain_of_which_a_leg_is_missing_is_a_difference() -> None:
    """Whatever was said of its event."""
    second = EXPECTED | {"leg": 1, "legs": 2, "transfer_id": OTHER}
    found = items(sides(expected=[EXPECTED | {"legs": 2}, second], rejected=[REJECTED]))
    assert found == [("missing_in_ledger", True, OTHER)]


def test_a_transfer_that_no_event_asks_for() -> None:
    """A stranger, the same leg under another id, and one fact under two ids."""
    stranger = ACTUAL | {"transfer_id": OTHER, "tag": "nobody's"}
    assert items(sides(actual=[ACTUAL, stranger])) == [("not_in_any_topic", True, OTHER)]
    transit = stranger | {"in_transit": True}
    assert items(sides(actual=[ACTUAL, transit])) == [("in_transit", False, OTHER)]
    assert items(sides(actual=[ACTUAL, stranger | {"in_range": False}])) == []
    twice = ACTUAL | {"transfer_id": OTHER, "posted_ns": 1_500_000_000}
    assert items(sides(actual=[ACTUAL, twice])) == [("duplicate", True, OTHER)]
    asked = sides(
        events=[EVENT, EVENT | {"variant": "w", "event_id": "evt_2"}],
        expected=[EXPECTED, EXPECTED | {"variant": "w", "transfer_id": OTHER}],
        actual=[ACTUAL, twice],
        announced=[
            ANNOUNCED,
            ANNOUNCED | {"transfer_id": OTHER, "posted_ns": twice["posted_ns"]},
        ],
    )
    assert items(asked) == [("duplicate", True, OTHER)]


@pytest.mark.parametrize(
    ("letters", "transit", "expected"),
    [
        ([DEAD], False, ("dead", True, "evt_1")),
        ([], False, ("not_announced", True, "evt_1")),
        ([], True, ("in_transit", False, "evt_1")),
    ],
)
def test_what_cannot_be_posted_has_a_dead_letter(
    letters: list[Row], expected: tuple[str, bool, str], *, transit: bool
) -> None:
    """Or it is on its way, or that is a difference."""
    event = EVENT | {"outcome": "dead", "reason": "bad_amount", "in_transit": transit}
    found = items(sides(events=[event], expected=[], actual=[], announced=[], dead=letters))
    assert found == [expected]


@pytest.mark.parametrize(
    ("transfer", "event", "moved"),
    [
        ({}, {}, ("0", "0")),
        ({"in_transit": True}, {}, ("0", "100")),
        ({}, {"event_type": "journal.entry"}, ("100", "0")),
        ({"debit": "other", "credit": "bank"}, {"event_type": "journal.entry"}, ("-100", "0")),
        ({"in_range": False}, {"event_type": "journal.entry"}, None),
        ({"flags": 2}, {"event_type": "journal.entry"}, None),
    ],
    ids=["feed", "in transit", "journal", "credited", "before", "pending"],
)
def test_what_moved_clearing_besides_the_feed(
    transfer: Row, event: Row, moved: tuple[str, str] | None
) -> None:
    """Journal entries, and what is in transit: the feed's net is not held against them."""
    tables = sides(events=[EVENT | event], actual=[ACTUAL | transfer])
    clearing = {"ledger": 840, "currency": "usd", "scale": 2, "clearing": "bank"}
    with open_database() as database:
        stage(database, tables | {"currencies": [clearing]})
        database.execute("CREATE TABLE legs AS SELECT DISTINCT * FROM expected")
        found = database.execute(CLEARING_MOVED, {"resting": 10}).fetchall()
    assert found == ([("usd", *moved)] if moved else [])


def test_what_cannot_be_read_and_what_came_twice() -> None:
    """The one is a difference, the other is not."""
    torn = {"position": "stripe.payments/0@9", "time_ms": 1, "why": "cut short"}
    assert items(sides(unreadable=[torn])) == [("unreadable", True, "")]
    assert items(sides(events=[EVENT, EVENT])) == [("duplicate", False, "evt_1")]
