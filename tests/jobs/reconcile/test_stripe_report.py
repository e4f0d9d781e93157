"""Stripe's report against settled books: each row is compared with its own balance transaction."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reconcile.by_hand import all_records, charge, event, played, reconciled, settlement
from tests.jobs.reconcile.stripe import HEADING, Row, row, write_report
from worker.commands.cli import main
from worker.jobs.generate.scene import Generated

RULES = Path(__file__).with_name("settled.yaml")
REVERSED = "partial_capture_reversal"
UNTIED = ("missing_in_report", "po_1")


@pytest.fixture(autouse=True)
def _small_rulebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))


FEED: tuple[tuple[str, str, str, int, int], ...] = (
    # txn,      source,   category,                  gross, fee
    ("txn_ch",  "ch_1",   "charge",                  10_000, 320),
    ("txn_re",  "re_9",   REVERSED,                  -3000, -90),
    ("txn_tr",  "tr_1",   "transfer",                -4000, 0),
    ("txn_trr", "trr_7",  "transfer_reversal",       1000, 0),
    ("txn_fee", "fee_1",  "platform_earning",        500, 0),
    ("txn_fr",  "fr_7",   "platform_earning_refund", -200, 0),
    ("txn_po",  "po_1",   "payout",                  -4070, 0),
)  # fmt: skip


def settled() -> list[Generated]:
    rows = [
        settlement(txn, gross, fee, source=source, reporting_category=category)
        for txn, source, category, gross, fee in FEED
    ]
    return [event("charge.succeeded", charge("ch_1", 7000), number="e1"), *rows]


def report() -> list[Row]:
    """As Stripe has it: whatever its sources are called."""
    rows = [
        row(txn, category, {"currency": "usd", "source": source}, gross, fee)
        for txn, source, category, gross, fee in FEED
    ]
    day = "2026-01-01 00:00:05"
    return [one | {"automatic_payout_id": "po_1", "created_utc": day} for one in rows]


def drop(number: int) -> Callable[[list[Row]], None]:
    def edit(rows: list[Row]) -> None:
        del rows[number]

    return edit


def change(number: int, **amounts: int) -> Callable[[list[Row]], None]:
    def edit(rows: list[Row]) -> None:
        for name, more in amounts.items():
            rows[number][name] += more

    return edit


def strange(rows: list[Row]) -> None:
    """The sources are called otherwise than the feed has them."""
    for one in rows:
        one["source_id"] = "src_other"


def unknown(rows: list[Row]) -> None:
    rows[3]["balance_transaction_id"] = "txn_unknown"


def recategorized(rows: list[Row]) -> None:
    rows[2]["reporting_category"] = "other_adjustment"


@pytest.mark.parametrize(
    ("edit", "items"),
    [
        (lambda _: None,                     []),
        (strange,                            []),
        (change(0, fee=1, net=-1),           [("fee_mismatch", "ch_1"), UNTIED]),
        (change(0, gross=5, net=5),          [("amount_mismatch", "ch_1"), UNTIED]),
        (change(0, gross=5, fee=5),          [("amount_mismatch", "ch_1")]),
        (unknown,                            [("missing_in_ledger", "trr_7")]),
        (drop(4),                            [UNTIED]),
        (drop(6),                            []),
        (recategorized,                      [("category_mismatch", "tr_1")]),
    ],
    ids=["right", "sources", "fee", "gross", "both", "unknown", "row", "payout", "category"],
)  # fmt: skip
def test_rows_and_payouts(
    edit: Callable[[list[Row]], None],
    items: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Gross, fee and net each; a payout ties when its rows add up to zero."""
    day = played(tmp_path, settled(), rules=RULES)
    rows = report()
    edit(rows)
    path = write_report(tmp_path / "stripe.csv", rows)
    options = ("--stripe-report", str(path), "--settle-days", "9999")
    code = int(bool(items))
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=code)
    assert [named(item) for item in found["items"] if item["differs"]] == items


@pytest.mark.parametrize(
    ("edit", "paid", "told", "row", "says"),
    [
        (drop(4), "40.70", "35.70", "txn_fee", "is missing and accounts for it"),
        (drop(5), "40.70", "42.70", "txn_fr",  "is missing and accounts for it"),
        (change(4, gross=7, net=7), "40.70", "40.77", "",        "do not add up to what was paid"),
        (change(6, gross=-1, net=-1), "40.71", "40.70", "",       "do not add up to what was paid"),
    ],
    ids=["plus", "minus", "amount", "paid"],
)  # fmt: skip
def test_what_does_not_tie(  # noqa: PLR0913, PLR0917 - three fixtures
    edit: Callable[[list[Row]], None],
    paid: str,
    told: str,
    row: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was paid, what the rows come to, and the one row of the feed that makes up for it."""
    day = played(tmp_path, settled(), rules=RULES)
    rows = report()
    edit(rows)
    path = write_report(tmp_path / "stripe.csv", rows)
    options = ("--stripe-report", str(path), "--settle-days", "9999")
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=1)
    (item,) = (item for item in found["items"] if named(item) == UNTIED)
    assert (item["expected_amount"], item["actual_amount"]) == (paid, told)
    assert item["transfer_id"] == row
    assert says in item["detail"]
    payouts = found["summary"]["payouts"]
    assert (payouts["payouts_that_tie"], payouts["payouts_that_do_not"]) == (0, 1)


def named(item: dict[str, Any]) -> tuple[str, str]:
    return item["class"], item["event_id"]


def test_a_payout_of_the_feed_that_the_report_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named within the report's days, and no other."""
    other = [
        settlement(f"txn_{at}", -50, 0, source=f"po_{at}", reporting_category="payout", created=at)
        for at in (1_767_225_700, 1_767_999_999)
    ]
    day = played(tmp_path, [*settled(), *other], rules=RULES)
    path = write_report(tmp_path / "stripe.csv", report())
    options = ("--stripe-report", str(path), "--settle-days", "9999")
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=1)
    differing = [named(item) for item in found["items"] if item["differs"]]
    assert differing == [("missing_in_report", "po_1767225700")]


ACTIVITY = [name for name in HEADING if name not in {"automatic_payout_id", "source_id"}]


@pytest.mark.parametrize(
    ("gone", "items"),
    [([], []), ([3], [("missing_in_report", "trr_7")])],
    ids=["whole", "a row"],
)
def test_a_report_of_all_activity_has_every_row_of_the_feed_but_payouts(
    gone: list[int],
    items: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has no column for payouts; none for sources does no harm."""
    day = played(tmp_path, settled(), rules=RULES)
    rows = [one | {"created_utc": "2026-01-01 00:00:00"} for one in report()]
    kept = [one for number, one in enumerate(rows[:-1]) if number not in gone]
    whole = write_report(tmp_path / "whole.csv", kept)
    path = tmp_path / "activity.csv"
    with whole.open(newline="") as source, path.open("w", newline="") as target:
        out = csv.DictWriter(target, ACTIVITY, extrasaction="ignore")
        out.writeheader()
        out.writerows(csv.DictReader(source))
    options = ("--stripe-report", str(path), "--settle-days", "9999")
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=int(bool(items)))
    assert [named(item) for item in found["items"] if item["differs"]] == items


def test_each_payout_has_a_line_with_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Date, rows, gross, fee, net and what was paid; a row that two reports have counts once."""
    day = played(tmp_path, settled(), rules=RULES)
    rows = report()
    first = write_report(tmp_path / "payouts.csv", rows)
    second = write_report(tmp_path / "again.csv", [rows[0] | {"automatic_payout_id": ""}])
    options = ("--stripe-report", str(first), "--stripe-report", str(second))
    found = reconciled(
        day, all_records(day), monkeypatch, capsys, *options, "--settle-days", "9999", code=0
    )
    assert found["summary"]["payouts"]["table"] == [
        {
            "payout": "po_1",
            "currency": "usd",
            "day": "2026-01-01",
            "rows": 6,
            "gross": "43.00",
            "fee": "2.30",
            "net": "40.70",
            "paid": "40.70",
            "tied": True,
        }
    ]


def test_a_payout_that_neither_side_has_does_not_tie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of a payout whose own row is not in the report, nor in the settlement feed."""
    day = played(tmp_path, settled()[:-1], rules=RULES)
    path = write_report(tmp_path / "stripe.csv", report()[:-1])
    options = ("--stripe-report", str(path), "--settle-days", "9999")
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=1)
    (item,) = (item for item in found["items"] if named(item) == UNTIED)
    assert "neither the report nor the settlement feed has its own" in item["detail"]
    assert (item["expected_amount"], item["actual_amount"]) == ("", "40.70")


def test_books_that_payments_move_take_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row could not be compared with its balance transaction there."""
    day = played(tmp_path, settled(), rules=RULES)
    other = tmp_path / "other.yaml"
    other.write_text(RULES.read_text().replace("stripe_unsettled", "payments_due"))
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(other))
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    path = write_report(tmp_path / "stripe.csv", report())
    archive = str(day.archive(tmp_path / "archive.jsonl"))
    assert main(["reconcile", "--from-files", archive, "--stripe-report", str(path)]) == 2
    assert "the rulebook has no account stripe_unsettled" in capsys.readouterr().err
