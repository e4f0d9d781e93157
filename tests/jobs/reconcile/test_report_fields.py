"""Each field of a row in Stripe's report, each bound of a payout's days, changed alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs.reconcile.test_corruptions import ACTUAL, EVENT, EXPECTED, stage
from worker.jobs.duckdb_rows import open_database
from worker.jobs.reconcile.classify import PREPARE
from worker.jobs.reconcile.payouts import compare_report
from worker.rulebooks.load import PACKAGED, load

Row = dict[str, Any]
RULEBOOK = load(PACKAGED)
DAY_MS = 86_400_000
FIRST_DAY_MS = 20_454 * DAY_MS
"""2026-01-01, the first day of the report; it has two."""


def txn(name: str, category: str, gross: int, fee: int = 0, *, payout: str = "") -> Row:
    """A balance transaction as every side has it: report, feed, and books."""
    return {
        "report": {
            "file": "r.csv", "line": 2, "payout": payout, "txn": name, "source": payout or name,
            "category": category, "currency": "usd", "gross": gross, "fee": fee,
            "net": gross - fee, "day": "2026-01-01", "created_at": "", "is_activity": False,
        },
        "fed": {
            "txn": name, "source": payout or name, "category": category, "currency": "usd",
            "gross": gross, "fee": fee, "net": gross - fee, "on_balance": True,
            "time_ms": FIRST_DAY_MS, "in_transit": False,
        },
        "moved": {"amount": abs(gross - fee)},
    }  # fmt: skip


def without(made: Row, *sides: str) -> Row:
    return {side: row for side, row in made.items() if side not in sides}


def changed(made: Row, side: str, **fields: object) -> Row:
    return made | {side: made[side] | fields}


def compared(*made: Row) -> tuple[list[tuple[str, bool, str]], dict[str, Any]]:
    """Class, whether it differs, and what it is about; and what is said of the payouts."""
    tables: dict[str, list[Row]] = {
        name: [] for name in ("events", "expected", "actual", "report_rows", "settled")
    }
    for number, each in enumerate(made):
        named = next(iter(each.values())) if "report" not in each else each["report"]
        name = each.get("fed", each.get("report", named))
        about = {"tag": name["txn"], "transfer_id": f"{number:032x}"}
        tables["report_rows"] += [each["report"]] if "report" in each else []
        tables["settled"] += [each["fed"]] if "fed" in each else []
        if "moved" in each:
            sign = 1 if name["net"] >= 0 else -1
            tables["events"].append(
                EVENT
                | {"tag": name["txn"], "object_id": name["txn"]}
                | {"event_type": "balance_transaction.created", "event_id": f"bt/{name['txn']}"}
            )
            tables["expected"].append(EXPECTED | about | {"clearing_sign": sign})
            tables["actual"].append(ACTUAL | about | {"amount": each["moved"]["amount"]})
    clearing = {"ledger": 840, "currency": "usd", "scale": 2, "clearing": "bank"}
    with open_database() as database:
        stage(database, tables | {"currencies": [clearing]})
        database.execute(PREPARE)
        summary = compare_report(database, RULEBOOK)
        items = database.execute(
            "SELECT class, differs, coalesce(nullif(transfer_id, ''), event_id) FROM items"
            " ORDER BY ALL"
        ).fetchall()
    return items, summary


PLAIN = txn("txn_1", "charge", 700, 20)
ROWS: list[tuple[Row, str]] = [
    (PLAIN,                                              ""),
    (changed(PLAIN, "report", gross=701),                "amount_mismatch"),
    (changed(PLAIN, "report", fee=21),                   "fee_mismatch"),
    (changed(PLAIN, "report", net=681),                  "fee_mismatch"),
    (changed(PLAIN, "report", category="refund"),        "category_mismatch"),
    (changed(PLAIN, "report", source="another"),         ""),
    (changed(PLAIN, "moved", amount=679),                "amount_mismatch"),
    (changed(PLAIN, "moved", amount=681),                "amount_mismatch"),
    (changed(PLAIN, "fed", category=""),                 ""),
    (changed(PLAIN, "fed", on_balance=False, gross=1),   ""),
    (changed(PLAIN, "fed", in_transit=True, gross=1),    "in_transit"),
    (without(PLAIN, "fed"),                              ""),
    (without(PLAIN, "moved"),                            "missing_in_ledger"),
    (without(PLAIN, "fed", "moved"),                     "missing_in_ledger"),
    (without(txn("txn_1", "fee", 20, 20), "moved"),      ""),
]  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), ROWS)
def test_each_field_of_a_row(made: Row, expected: str) -> None:
    """Against the feed's row of the same balance transaction, and what it moved."""
    items, summary = compared(made)
    assert items == ([(expected, expected != "in_transit", "txn_1")] if expected else [])
    net = str(made["report"]["net"])
    assert summary["not_paid_out"] == [{"currency": "usd", "rows": 1, "net": net}]


PAID = txn("txn_1", "charge", 700, 20, payout="po_1")
OWN = txn("txn_po", "payout", -680, payout="po_1")
MISSED = without(txn("txn_2", "charge", 50), "report")


@pytest.mark.parametrize(
    ("made", "expected", "ties"),
    [
        ([PAID, OWN], [], 1),
        ([PAID, without(OWN, "report")], [], 1),
        ([PAID, without(OWN, "fed")], [], 1),
        ([PAID], [("missing_in_report", True, "po_1")], 0),
        ([PAID, txn("txn_po", "payout", -681, payout="po_1")],
            [("missing_in_report", True, "po_1")], 0),
        ([PAID, txn("txn_po", "payout", -730, payout="po_1"), MISSED],
            [("missing_in_report", True, "txn_2")], 0),
        ([PAID, txn("txn_po", "payout", -630, payout="po_1"), MISSED],
            [("missing_in_report", True, "po_1")], 0),
    ],
)  # fmt: skip
def test_a_payout_ties_where_its_rows_are_what_was_paid(
    made: list[Row], expected: list[tuple[str, bool, str]], ties: int
) -> None:
    """Its own row may be in the report, or in the feed; one row of the feed may be what lacks."""
    items, summary = compared(*made)
    assert items == expected
    assert (summary["payouts_that_tie"], summary["payouts_that_do_not"]) == (ties, 1 - ties)
    (payout,) = summary["table"]
    assert (payout["rows"], payout["gross"], payout["fee"], payout["net"]) == (
        1, "7.00", "0.20", "6.80",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at_ms", "missing"),
    [
        (FIRST_DAY_MS - 1, False),
        (FIRST_DAY_MS, True),
        (FIRST_DAY_MS + 2 * DAY_MS - 1, True),
        (FIRST_DAY_MS + 2 * DAY_MS, False),
    ],
)
def test_a_payout_of_the_report_s_days_is_in_it(at_ms: int, *, missing: bool) -> None:
    """From its first day to its last, and never one that is not committed yet."""
    last = changed(txn("txn_3", "charge", 5), "report", day="2026-01-02")
    other = changed(without(txn("txn_po2", "payout", -9, payout="po_2"), "report"), "fed",
                    time_ms=at_ms)  # fmt: skip
    items, _ = compared(PAID, OWN, last, other)
    assert items == [("missing_in_report", True, "txn_po2")] * missing
    for quiet in ({"in_transit": True}, {"on_balance": False}, {"category": "charge"}):
        assert compared(PAID, OWN, last, changed(other, "fed", **quiet))[0] == []


def test_a_row_that_two_reports_have_counts_once_and_where_its_payout_is_said() -> None:
    """An itemised report names the payout, a report of all activity does not."""
    activity = changed(PAID, "report", payout="", file="a.csv", gross=1, net=1, fee=0)
    again = {"report": activity["report"]}
    items, summary = compared(PAID, OWN, again)
    assert items == []
    assert summary["payouts_that_tie"] == 1
