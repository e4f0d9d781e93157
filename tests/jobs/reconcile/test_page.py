"""The page that is signed: amounts, the picture, and that its links lead somewhere."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reconcile.by_hand import all_records, charge, event, played, reconciled, settlement
from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reconcile.page_items import CLASS_ITEMS_MAX, item_rows, trace_of
from worker.jobs.reconcile.page_plot import DAYS_MAX, plot

RULES = Path(__file__).with_name("settled.yaml")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.00",            "0.00"),
        ("999.99",          "999.99"),
        ("1000",            "1,000"),
        ("-1234567.89",     "-1,234,567.89"),
        ("-0.05",           "-0.05"),
        ("",                ""),
        ("<b>",             "&lt;b&gt;"),
    ],
)  # fmt: skip
def test_amounts_have_separators_of_thousands(amount: str, shown: str) -> None:
    """What is no amount is escaped."""
    assert grouped(amount) == shown


def labels(days: dict[str, int]) -> list[str]:
    return re.findall(r">([^<>\n]+)</text>", "".join(plot(days)))


def test_the_picture_has_both_axes_and_every_day() -> None:
    """Days without differences have their place; beyond two months the bars are months."""
    days = {"2026-01-01": 4, "2026-01-04": 1}
    assert labels(days) == [
        *("0", "2", "4"),
        *("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"),
    ]
    assert "".join(plot(days)).count("<rect") == 2
    last = date(2026, 1, 1) + timedelta(DAYS_MAX)
    assert labels({"2026-01-01": 4, last.isoformat(): 1})[3:] == ["2026-01", "2026-03"]


def test_the_page_begins_with_what_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Period, sources, signatures, what needs a person with links to items, accounts."""
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))
    events = [
        event("charge.succeeded", charge("ch_1", 123_456_700), number="e1"),
        settlement("txn_1", 123_456_700, 20, source="ch_1"),
        event("charge.succeeded", charge("ch_2", 700), number="<i>evt_2"),
    ]
    day = played(tmp_path, events, rules=RULES)
    path = tmp_path / "out.html"
    options = ("--to", "2026-03-01", "--report", str(path))
    reconciled(day, all_records(day), monkeypatch, capsys, *options, code=1)
    page = path.read_text(encoding="utf-8")
    order = ["<h1>", "Period", "Rulebook", "Prepared by, date", "What needs a person"]
    order += ["<h2>Accounts", "<h2>By currency", "<h2>Open items by age", "<svg"]
    order += ["<h2>What was read", "<h2>Items"]
    found = [page.index(text) for text in order]
    assert found == sorted(found)
    assert "@page { size: A4" in page
    assert "1,234,566.80" in page
    assert "stripe.payments/" in page
    assert "<i>" not in page
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links == {"told_by_payments_only"}
    assert links <= set(re.findall(r'id="([^"]+)"', page))
    assert "<code>ledger-worker trace ch_2</code>" in page
    assert "the beginning to before 2026-03-01" in page


ITEM: dict[str, Any] = dict.fromkeys(
    (
        *("detail", "day", "currency", "expected_amount", "actual_amount", "leg", "position"),
        *("expected_debit", "expected_credit", "actual_debit", "actual_credit"),
        *("event_id", "event_type", "transfer_id"),
    ),
    "",
)


def test_a_page_of_many_items_has_the_first_of_every_class() -> None:
    """So that each link leads somewhere, and says how many more there are."""
    items = (
        ITEM | {"class": kind, "differs": kind != "rejected", "event_id": f"evt_{number}"}
        for kind in ("dead", "late", "rejected")
        for number in range(7000)
    )
    page = "".join(item_rows(items))
    assert page.count("<code>") == 3 * CLASS_ITEMS_MAX
    assert re.findall(r'id="([^"]+)"', page) == ["dead", "late", "rejected"]
    assert page.count(f"{7000 - CLASS_ITEMS_MAX:,} more items") == 3
    assert len(page) < 200_000


@pytest.mark.parametrize(
    ("item", "traced"),
    [
        ({"event_id": "evt_1", "transfer_id": "0" * 32},               "evt_1"),
        ({"transfer_id": "0" * 32, "position": "a.b/0@7"},                "0" * 32),
        ({"position": "a.b/0@7 a.b/1@8"},                                 "a.b/0@7"),
        ({"position": "value:00ff"},                                      ""),
        ({"event_id": "bank", "event_type": "account"},                ""),
        ({"event_id": "R1", "event_type": "bank statement", "position": "s.xml, entry 1"}, ""),
        ({"event_id": "po_1", "event_type": "bank statement", "transfer_id": "1" * 32}, "1" * 32),
    ],
)  # fmt: skip
def test_what_an_item_is_traced_by(item: dict[str, str], traced: str) -> None:
    """An event or object, else a transfer, else a record; a bank's reference is none of them."""
    assert trace_of(ITEM | item) == traced


def test_open_items_by_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many in each bucket, their sum, and the oldest, to the end of the period."""
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))
    first = 1_767_225_600
    events = [
        event(
            "charge.succeeded",
            charge(f"ch_{day}", 100, created=first + day * 86_400),
            number=f"e{day}",
        )
        for day in (0, 20, 26, 29, 30)
    ]
    day = played(tmp_path, events, rules=RULES)
    found = reconciled(day, all_records(day), monkeypatch, capsys, "--to", "2026-01-31", code=1)
    assert found["summary"]["ages"] == [
        {
            "class": "told_by_payments_only",
            "currency": "usd",
            "items": 4,
            "amount": "4.00",
            "oldest_days": 30,
            "by_age": [1, 1, 2, 0, 0],
        }
    ]
