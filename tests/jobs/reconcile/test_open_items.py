"""What is open on `stripe_unsettled`: both sides' amounts, ages and ranges at their bounds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs.reconcile.test_corruptions import ACTUAL, ITEMS_TABLE, stage
from worker.jobs.duckdb_rows import open_database
from worker.jobs.reconcile.expected import Period
from worker.jobs.reconcile.unsettled import DAY_MS, list_open_items

Row = dict[str, Any]
AS_OF_MS, LATE_MS = 10 * DAY_MS, 7 * DAY_MS


def side(told_by: str, amount: int, **other: Any) -> Row:
    """One side's report of a Stripe object: payments debit the account, settlements credit it."""
    sign = 1 if told_by == "payments" else -1
    return {
        "about": "ch_1", "category": "charge", "told_by": told_by, "sign": sign,
        "event_id": f"evt_{told_by}", "origin": "t/0@1", "time_ms": LATE_MS, "amount": amount,
        "ledger": 840, "posted_ns": 5,
    } | other  # fmt: skip


def opened(
    *sides: Row, start_ms: int = 0, end_ms: int = 0, cut: int = 0, carried: tuple[Row, ...] = ()
) -> list[tuple[Any, ...]]:
    """Class, whether it is late, object, and what each side says."""
    told = [one | {"transfer_id": f"{number:032x}"} for number, one in enumerate(sides)]
    with open_database() as database:
        stage(database, {"unsettled": told, "actual": [ACTUAL | one for one in told]})
        database.execute(ITEMS_TABLE)
        database.execute(
            "CREATE TABLE carried_open (about VARCHAR, ledger BIGINT, payments HUGEINT,"
            " settlements HUGEINT, since_ms BIGINT)"
        )
        for each in carried:
            database.execute("INSERT INTO carried_open VALUES (?, ?, ?, ?, ?)", [*each.values()])
        list_open_items(
            database, start_ms=start_ms, end_ms=end_ms, as_of_ms=AS_OF_MS, late_ms=LATE_MS,
            before_cut_ns=cut,
        )  # fmt: skip
        return database.execute(
            "SELECT class, differs, event_id, expected_amount, actual_amount FROM items"
            " ORDER BY ALL"
        ).fetchall()


PAYS, SETTLES = side("payments", 100), side("settlements", 100)
PAYMENTS, SETTLEMENTS, DIFFERS = (
    "told_by_payments_only", "told_by_settlements_only", "amounts_differ",
)  # fmt: skip


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([PAYS, SETTLES], []),
        ([PAYS], [(PAYMENTS, False, "ch_1", 100, None)]),
        ([SETTLES], [(SETTLEMENTS, False, "ch_1", None, 100)]),
        ([PAYS, side("settlements", 99)], [(DIFFERS, False, "ch_1", 100, 99)]),
        ([PAYS, side("settlements", 101)], [(DIFFERS, False, "ch_1", 100, 101)]),
        ([PAYS, side("settlements", 60), side("settlements", 40)], []),
        ([PAYS, SETTLES | {"ledger": 978}],
            [(PAYMENTS, False, "ch_1", 100, None), (SETTLEMENTS, False, "ch_1", None, 100)]),
        ([PAYS, SETTLES | {"about": "ch_2"}],
            [(PAYMENTS, False, "ch_1", 100, None), (SETTLEMENTS, False, "ch_2", None, 100)]),
        ([PAYS, SETTLES | {"about": "txn_9"}], []),
        ([PAYS, SETTLES | {"about": "txn_9", "amount": 99}],
            [(PAYMENTS, False, "ch_1", 100, None), (SETTLEMENTS, False, "txn_9", None, 99)]),
        ([PAYS | {"amount": 0}], []),
    ],
)  # fmt: skip
def test_what_one_side_reports_is_open_by_what_the_other_lacks(
    sides: list[Row], expected: list[tuple[Any, ...]]
) -> None:
    """By object and currency; a row that names no object is tied to one that lacks as much."""
    assert opened(*sides) == expected


@pytest.mark.parametrize(("since_ms", "late"), [(LATE_MS - 1, True), (LATE_MS, False)])
def test_an_item_is_late_from_its_first_report_on(since_ms: int, *, late: bool) -> None:
    """The days that Stripe may take are over at the very millisecond."""
    sides = [side("payments", 60, time_ms=since_ms), side("payments", 40, time_ms=AS_OF_MS)]
    assert opened(*sides) == [(PAYMENTS, late, "ch_1", 100, None)]


@pytest.mark.parametrize(
    ("time_ms", "start_ms", "end_ms", "found"),
    [(5, 0, 0, 1), (5, 5, 0, 1), (5, 6, 0, 0), (5, 0, 6, 1), (5, 0, 5, 0), (5, 5, 6, 1)],
)
def test_facts_of_the_range_are_open_at_its_end(
    time_ms: int, start_ms: int, end_ms: int, found: int
) -> None:
    """The start belongs to it, the end does not, 0 is none."""
    item = opened(side("payments", 100, time_ms=time_ms), start_ms=start_ms, end_ms=end_ms)
    assert len(item) == found
    assert Period(start_ms, end_ms).holds(time_ms) == bool(found)


@pytest.mark.parametrize(
    ("time_ms", "posted_ns", "found"), [(5, 9, 1), (4, 9, 0), (4, 10, 1), (5, 10, 1)]
)
def test_after_a_closed_period_what_came_before_its_cut_is_carried(
    time_ms: int, posted_ns: int, found: int
) -> None:
    """A fact of before counts anew only where it was posted since."""
    one = side("payments", 100, time_ms=time_ms, posted_ns=posted_ns)
    assert len(opened(one, start_ms=5, cut=10)) == found


def test_what_was_carried_is_settled_later() -> None:
    """By what is missing of it, each side by itself."""
    carried = {"about": "ch_1", "ledger": 840, "payments": 100, "settlements": 0, "since": 3}
    assert opened(start_ms=5, cut=10, carried=(carried,)) == [(PAYMENTS, True, "ch_1", 100, None)]
    now: dict[str, Any] = {"start_ms": 5, "cut": 10, "carried": (carried,)}
    assert opened(side("settlements", 100, posted_ns=11), **now) == []
    part = side("settlements", 70, posted_ns=11)
    assert opened(part, **now) == [(DIFFERS, True, "ch_1", 100, 70)]
    other = carried | {"payments": 0, "settlements": 30}
    assert opened(start_ms=5, cut=10, carried=(other,)) == [(SETTLEMENTS, True, "ch_1", None, 30)]
