"""Open items of `stripe_unsettled`, and the settlement feed against Stripe's clearing account."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reconcile.by_hand import all_records, charge, event, played, reconciled, settlement
from tests.jobs.reports.played import Played
from worker.commands.cli import main
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.generate.scene import Generated

RULES = Path(__file__).with_name("settled.yaml")
DAY = 86_400
PARTIAL = "partial_capture_reversal"


@pytest.fixture(autouse=True)
def _small_rulebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))


def paid(number: str, amount: int) -> Generated:
    return event("charge.succeeded", charge(number, amount), number=f"evt_{number}")


def open_items(found: Any) -> list[tuple[str, str, str, str, bool]]:
    names = ("class", "event_id", "expected_amount", "actual_amount", "differs")
    return sorted(tuple(item[name] for name in names) for item in found["items"])


@pytest.mark.parametrize(
    ("events", "items"),
    [
        ([paid("ch_1", 700), settlement("txn_1", 700, 20, source="ch_1")], []),
        (
            [paid("ch_1", 700), settlement("txn_1", 700, 20, source={"id": "ch_1"})],
            [],
        ),
        ([paid("ch_1", 700)], [("told_by_payments_only", "ch_1", "7.00", "")]),
        (
            [settlement("txn_1", 700, 20, source="ch_1")],
            [("told_by_settlements_only", "ch_1", "", "7.00")],
        ),
        ([paid("ch_1", 700), settlement("txn_1", 700, 20)], []),
        ([settlement("txn_1", 700, 20)], [("told_by_settlements_only", "txn_1", "", "7.00")]),
        (
            [paid("ch_1", 700), settlement("txn_1", 650, 20, source="ch_1")],
            [("amounts_differ", "ch_1", "7.00", "6.50")],
        ),
        (
            [
                paid("ch_1", 700),
                settlement("txn_1", 1000, 20, source="ch_1"),
                settlement(
                    "txn_2",
                    -300,
                    0,
                    source={"id": "re_1", "charge": "ch_1"},
                    reporting_category=PARTIAL,
                ),
            ],
            [],
        ),
        (
            [
                paid("ch_1", 700),
                settlement("txn_1", 1000, 20, source="ch_1"),
                settlement("txn_2", -300, 0, source="re_1", reporting_category=PARTIAL),
                settlement("txn_3", -300, 0, source="re_2", reporting_category=PARTIAL),
                settlement("txn_4", -200, 0, source="re_3", reporting_category=PARTIAL),
            ],
            [
                ("told_by_settlements_only", "re_2", "", "-3.00"),
                ("told_by_settlements_only", "re_3", "", "-2.00"),
            ],
        ),
        (
            [paid("ch_1", 700), settlement("txn_1", 700, 0, source="ch_2")],
            [
                ("told_by_payments_only", "ch_1", "7.00", ""),
                ("told_by_settlements_only", "ch_2", "", "7.00"),
            ],
        ),
    ],
    ids=[
        "both",
        "expanded",
        "payment",
        "settlement",
        "no object",
        "no source",
        "amounts",
        "partly",
        "unnamed",
        "two",
    ],
)
def test_what_one_side_tells_is_listed(
    events: Sequence[Generated],
    items: Sequence[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By Stripe object, with both amounts; an item that is too old is a difference."""
    day = played(tmp_path, events, rules=RULES)
    for days, late in (("0", True), ("9999", False)):
        found = reconciled(
            day,
            both_inputs(day),
            monkeypatch,
            capsys,
            *("--settle-days", days, "--to", "2026-03-01"),
            code=int(late and bool(items)),
        )
        assert open_items(found) == [(*item, late) for item in items]
        for entry in found["summary"]["currencies"].values():
            assert entry["settlement_difference"] == "0.00"
            assert entry["unsettled_closing"] == entry["unsettled_items"]


def both_inputs(day: Played) -> list[ArchivedRecord]:
    """All records; an archive must hold one event at least."""
    records = all_records(day)
    assert records
    return records


def test_age_is_told_and_counted_to_the_end_of_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three days by default; an item that is exactly so old is none too old."""
    day = played(tmp_path, [paid("ch_1", 700)], rules=RULES)
    for end, code in (("2026-01-04", 0), ("2026-01-04T00:00:01", 1)):
        found = reconciled(day, all_records(day), monkeypatch, capsys, "--to", end, code=code)
        (item,) = found["items"]
        assert "open for 3 days: evt_ch_1" in item["detail"]


def test_settled_after_the_range_is_open_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what was settled within it is not open because it was told before."""
    late = settlement("txn_1", 700, 20, source="ch_1", created=1_767_225_600 + DAY)
    day = played(tmp_path, [paid("ch_1", 700), late], rules=RULES)
    before = ("--to", "2026-01-02")
    found = reconciled(day, all_records(day), monkeypatch, capsys, *before, code=0)
    assert [item[0] for item in open_items(found)] == ["told_by_payments_only"]
    after = ("--from", "2026-01-02")
    assert open_items(reconciled(day, all_records(day), monkeypatch, capsys, *after, code=0)) == []


def test_clearing_is_the_net_of_the_settlement_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that did not reach the ledger is a difference, and so is the feed's lack of one."""
    events = [paid("ch_1", 700), settlement("txn_1", 700, 20, source="ch_1")]
    day = played(tmp_path, events, rules=RULES)
    (usd,) = currencies(reconciled(day, all_records(day), monkeypatch, capsys, code=0))
    assert (usd["settlement_net"], usd["clearing_closing"]) == ("6.80", "6.80")
    records = all_records(day)
    (row,) = day.records["stripe.settlements"]
    lost = row.value_bytes and row.value_bytes.replace(b"txn_1", b"txn_2")
    more = [*records, ArchivedRecord("stripe.settlements", 0, 9, None, lost)]
    (usd,) = currencies(reconciled(day, more, monkeypatch, capsys, code=1))
    assert (usd["settlement_net"], usd["settlement_difference"]) == ("13.60", "-6.80")


def test_a_hold_stays_part_of_stripes_balance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told on one balance or on both: clearing and reserve together are what Stripe has."""
    hold = {"reporting_category": "risk_reserved_funds"}
    events = [
        paid("ch_1", 10_000),
        settlement("txn_1", 10_000, 320, source="ch_1"),
        settlement("txn_2", -1000, 0, balance_type="payments", **hold),
        settlement("txn_3", 1000, 0, balance_type="risk_reserved", **hold),
    ]
    day = played(tmp_path, events, rules=RULES)
    asked = ("--stripe-balance", "usd=96.80")
    (usd,) = currencies(reconciled(day, all_records(day), monkeypatch, capsys, *asked, code=0))
    assert (usd["clearing_closing"], usd["reserve_closing"]) == ("86.80", "10.00")
    assert (usd["balance_at_stripe"], usd["settlement_difference"]) == ("96.80", "0.00")


def currencies(found: Any) -> list[dict[str, Any]]:
    made: dict[str, dict[str, Any]] = found["summary"]["currencies"]
    return [entry for name, entry in made.items() if name]


@pytest.mark.parametrize("days", ["-1", "x", "1.5", "99999"])
def test_days_are_a_whole_number(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is bad usage."""
    assert main(["reconcile", "--settle-days", days]) == 2
    assert "--settle-days" in capsys.readouterr().err


def opening(amount: int) -> Generated:
    """A journal entry that debits Stripe's clearing account."""
    return event("journal.entry", {"id": "je_1", "amount": amount}, number="journal/1")._replace(
        role="journal"  # type: ignore[arg-type] # a role of this test's settings
    )


def test_a_journal_entry_on_clearing_is_a_line_and_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The opening balance is no money of the settlement feed's."""
    inputs = {"payments": "pay", "settlements": "settle", "journal": "journal"}
    monkeypatch.setenv("LEDGER_WORKER_TOPICS__INPUTS", json.dumps(inputs))
    events = [opening(5000), paid("ch_1", 700), settlement("txn_1", 700, 20, source="ch_1")]
    day = played(tmp_path, events, rules=RULES)
    asked = ("--stripe-balance", "usd=56.80")
    (usd,) = currencies(reconciled(day, all_records(day), monkeypatch, capsys, *asked, code=0))
    assert (usd["clearing_moved"], usd["clearing_journal"]) == ("56.80", "50.00")
    assert (usd["settlement_net"], usd["settlement_difference"]) == ("6.80", "0.00")


@pytest.mark.parametrize(
    ("events", "options", "said"),
    [
        ([paid("ch_1", 700), settlement("txn_1", 700, 20, source="ch_1")], (), "everything agrees"),
        ([paid("ch_1", 700)], (), "no differences yet; 1 open on stripe_unsettled"),
        ([paid("ch_1", 700)], ("--to", "2026-02-01"), "1 difference"),
        (
            [event("charge.unheard_of", {"id": "ch_1"}, number="e1")],
            (),
            "1 difference; 1 dead letter needs a person",
        ),
    ],
    ids=["agrees", "open", "overdue", "dead"],
)
def test_nothing_agrees_beside_money_that_is_dead_or_open(  # noqa: PLR0913, PLR0917 - a row of the table
    events: Sequence[Generated],
    options: Sequence[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sentence says so, and the exit code is 1 for what a person must look at."""
    day = played(tmp_path, events, rules=RULES)
    code = int("difference" in said and "no differences" not in said)
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=code)
    assert found["summary"]["differences"] == code
    archive = str(day.ledger_file.with_name("archive.jsonl"))
    assert main(["reconcile", "--from-files", archive, *options]) == code
    assert said in capsys.readouterr().out.splitlines()
