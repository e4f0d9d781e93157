"""Stripe's reports by their API names: each is read, and the balance summary is compared."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs.reconcile.by_hand import all_records, charge, event, played, reconciled, settlement
from tests.jobs.reports.played import Played
from worker.commands.cli import main
from worker.jobs.generate.scene import Generated

RULES = Path(__file__).with_name("settled.yaml")
RANGE = ("--from", "2026-01-01", "--to", "2026-02-01", "--settle-days", "9999")


@pytest.fixture(autouse=True)
def _small_rulebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))


def month() -> list[Generated]:
    """A charge of the month before, one of this, and a payout; one reserve."""
    before = {"source": "ch_0", "created": 1_767_000_000}
    return [
        event("charge.succeeded", charge("ch_1", 10_000), number="e1"),
        settlement("txn_0", 5000, 150, **before),
        settlement("txn_1", 10_000, 320, source="ch_1"),
        settlement("txn_2", -2000, 0, source="po_1", reporting_category="payout"),
        settlement("txn_3", -500, 0, reporting_category="risk_reserved_funds"),
    ]


SUMMARY = """category,description,net_amount,currency
starting_balance,Starting balance (2026-01-01),48.50,usd
activity,Activity,96.80,usd
payouts,Less payouts,-20.00,usd
ending_balance,Ending balance (2026-01-31),125.30,usd
"""


def at_stripe(folder: Path) -> Played:
    return played(folder, month(), rules=RULES)


def test_a_balance_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of its four lines is compared; what is reserved is on the balance."""
    day = at_stripe(tmp_path)
    path = tmp_path / "summary.csv"
    path.write_text(SUMMARY, encoding="utf-8")
    options = (*RANGE, "--stripe-report", str(path))
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=0)
    assert [item for item in found["items"] if item["differs"]] == []
    for old, new, books in (
        ("48.50", "48.51", "48.50"),
        ("96.80", "-96.80", "96.80"),
        ("-20.00", "-20.01", "-20.00"),
        ("125.30", "125.29", "125.30"),
    ):
        path.write_text(SUMMARY.replace(old, new), encoding="utf-8")
        found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=1)
        (item,) = (item for item in found["items"] if item["differs"])
        assert (item["class"], item["event_type"]) == ("amount_mismatch", "balance.summary")
        assert (item["expected_amount"], item["actual_amount"]) == (new, books)
        assert item["position"].startswith("summary.csv, line ")


def edited(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (edited("(2026-01-31)", "(2026-02-28)"), "a balance of 2026-02-28, and the range is from"),
        (edited("(2026-01-01)", "(2025-12-01)"), "a balance of 2025-12-01, and the range is from"),
        (edited("48.50", "1e3"), "line 2 is no line of a balance summary"),
        (edited("activity,", "sales,"), "line 3 is no line of a balance summary"),
        (edited("activity,Activity,96.80,usd\n", ""), "has no activity of usd: is it cut short?"),
        (edited("payouts,Less", "activity,Less"), "line 4: activity comes again"),
        (edited("usd", "zzz"), "the rulebook has no currency 'zzz'"),
        (lambda _: "category,count,currency\n", "is no itemized report of Stripe's that is known"),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_one_sentence(
    edit: Callable[[str], str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is compared then."""
    day = at_stripe(tmp_path)
    path = tmp_path / "summary.csv"
    path.write_text(edit(SUMMARY), encoding="utf-8")
    archive = str(day.archive(tmp_path / "archive.jsonl"))
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    command = ["reconcile", "--from-files", archive, "--stripe-report", str(path)]
    assert main([*command, *RANGE]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_balance_summary_needs_a_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else nobody knows which balance it starts with."""
    day = at_stripe(tmp_path)
    path = tmp_path / "summary.csv"
    path.write_text(SUMMARY, encoding="utf-8")
    archive = str(day.archive(tmp_path / "archive.jsonl"))
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    assert main(["reconcile", "--from-files", archive, "--stripe-report", str(path)]) == 2
    assert "it needs --from and --to" in capsys.readouterr().err


DEFAULT_COLUMNS = {
    "payout_reconciliation.itemized.5": (
        "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,"
        "available_on,currency,gross,fee,net,reporting_category,source_id,description"
    ),
    "ending_balance_reconciliation.itemized.4": (
        "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,"
        "available_on,currency,gross,fee,net,reporting_category,source_id,description"
    ),
    "balance_change_from_activity.itemized.3": (
        "balance_transaction_id,created,available_on,currency,gross,fee,net,reporting_category,"
        "source_id,description"
    ),
    "payouts.itemized.3": (
        "payout_id,effective_at,balance_transaction_id,created,currency,gross,fee,net,"
        "reporting_category,description"
    ),
}


@pytest.mark.parametrize("kind", DEFAULT_COLUMNS)
def test_itemized_reports_are_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong fee is found, and with it nothing else."""
    day = played(tmp_path, [*month()[:1], *month()[2:3]], rules=RULES)
    columns = DEFAULT_COLUMNS[kind].split(",")
    values = {
        "balance_transaction_id": "txn_1",
        "created": "2026-01-01 00:00:00",
        "available_on": "2026-01-03 00:00:00",
        "currency": "usd",
        "gross": "100.00",
        "fee": "3.21",
        "net": "96.79",
        "reporting_category": "charge",
        "source_id": "ch_1",
    }
    path = tmp_path / "report.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, columns, restval="")
        out.writeheader()
        out.writerow({name: value for name, value in values.items() if name in columns})
    options = (*RANGE, "--stripe-report", str(path))
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=1)
    (item,) = found["items"]
    assert item["class"] == "fee_mismatch"
