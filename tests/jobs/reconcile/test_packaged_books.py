"""The packaged books reconciled: a destination charge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.reconcile.by_hand import (
    all_records,
    charge,
    event,
    played,
    reconciled,
    settlement,
)
from worker.jobs.generate.scene import PAYMENTS, SETTLEMENTS, Generated

FOLDER = Path(__file__).parent


def destination_charge() -> Iterator[Generated]:
    """Captured, refunded, its transfer reversed and its fee given back in part, all settled."""
    for line in (FOLDER / "destination_charge.jsonl").read_text(encoding="utf-8").splitlines():
        made = json.loads(line)
        role = SETTLEMENTS if made["type"].startswith("balance_transaction.") else PAYMENTS
        yield Generated(role, b"acct_1Seller", made, "")


def test_the_right_books_of_a_destination_charge_have_no_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stripe's report names trr_, fr_ and re_, where the events are about tr_, fee_ and ch_."""
    day = played(tmp_path, destination_charge())
    report = ("--stripe-report", str(FOLDER / "destination_charge.csv"))
    options = (*report, "--settle-days", "0", "--to", "2026-03-01", "--stripe-balance", "usd=70.50")
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=0)
    assert found["items"] == []
    usd = found["summary"]["currencies"]["usd"]
    assert (usd["settlement_net"], usd["balance_at_stripe"]) == ("70.50", "70.50")
    assert usd["unsettled_closing"] == "0.00"


def captured_in_parts() -> Iterator[Generated]:
    """Two captures of one charge, told by their totals, out of order, and both settled."""
    for number, total in enumerate((400, 900, 600, 900)):
        about = charge("ch_1", 900, amount_captured=total)
        yield event("charge.captured", about, number=f"evt_{number}")
    yield settlement("txn_1", 400, 0, source="ch_1")
    yield settlement("txn_2", 500, 0, source="ch_1")


def test_captures_told_by_their_totals_have_no_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is more than was booked before is expected, and what tells less is nothing."""
    day = played(tmp_path, captured_in_parts())
    found = reconciled(day, all_records(day), monkeypatch, capsys, "--to", "2026-03-01", code=0)
    assert found["items"] == []
    usd = found["summary"]["currencies"]["usd"]
    assert (usd["settlement_net"], usd["unsettled_closing"]) == ("9.00", "0.00")
