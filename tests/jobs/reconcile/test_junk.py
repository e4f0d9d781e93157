"""Junk on every topic, of any size and time, is an item of a reconciliation and does not end it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.junk import ANNOUNCEMENTS, REJECTIONS, junk
from tests.jobs.reconcile.by_hand import all_records, charge, event, played, reconciled, settlement

RULES = Path(__file__).with_name("settled.yaml")


def test_junk_is_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each announcement and rejection that is none, and each letter that is no letter."""
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))
    events = [
        event("charge.succeeded", charge("ch_1", 700), number="e1"),
        settlement("txn_1", 700, 20, source="ch_1"),
    ]
    day = played(tmp_path, rules=RULES, events=events)
    topics = ("stripe.payments", "ledger.transfers.posted", "ledger.events.rejected",
              "ledger.events.dead", "ledger.events.parked.1")  # fmt: skip
    records = [*all_records(day), *(one for topic in topics for one in junk(topic))]
    items = reconciled(day, records, monkeypatch, capsys, code=1)["items"]
    unreadable = [item["position"] for item in items if item["class"] == "unreadable"]
    for topic, count in (("posted", len(ANNOUNCEMENTS)), ("rejected", len(REJECTIONS))):
        assert sum(f".{topic}/" in place for place in unreadable) == count
    assert any(".dead/" in place for place in unreadable)
    assert all(item["day"] <= "9999-12-31" for item in items)
