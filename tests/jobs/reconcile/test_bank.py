"""A bank statement against the account `bank`, in the packaged books."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.jobs.reconcile.bank_files import Entry, balance, camt
from tests.jobs.reconcile.by_hand import CREATED, all_records, event, played, reconciled, settlement
from tests.jobs.reports.played import Played
from worker.commands.cli import main
from worker.jobs.generate.scene import Generated

DAY = 86_400
JANUARY = ("--from", "2026-01-01", "--to", "2026-02-01", "--settle-days", "9999")
ENDS = balance("OPBD", "0.00", "2026-01-01")


def payout(  # noqa: PLR0913 - what Stripe says of one
    number: str, amount: int, *, day: int, arrives: int, returned: bool = False, trace: str = ""
) -> Iterable[Generated]:
    """A payout that is made, settled and paid; days of January from 0."""
    created = CREATED + day * DAY
    about = {
        "id": number,
        "object": "payout",
        "amount": amount,
        "created": created,
        "arrival_date": CREATED + arrives * DAY,
        "trace_id": {"status": "supported", "value": trace} if trace else None,
    }
    kinds = ["created", "paid", "failed"] if returned else ["created", "paid"]
    for kind in kinds:
        yield event(f"payout.{kind}", about, number=f"evt_{number}_{kind}", created=created)
    row = {"source": number, "reporting_category": "payout", "created": created}
    yield settlement(f"txn_{number}", -amount, 0, **row)
    if returned:
        back = {"source": number, "reporting_category": "payout_reversal", "created": created}
        yield settlement(f"txn_{number}_back", amount, 0, **back)


def books(folder: Path) -> Played:
    """Four payouts: named, traced, of the same amount, and returned after it was paid."""
    return played(
        folder,
        [
            *payout("po_1named", 4070, day=2, arrives=4),
            *payout("po_2traced", 5000, day=3, arrives=6, trace="TRACE77"),
            *payout("po_3plain", 2500, day=9, arrives=12),
            *payout("po_4back", 1100, day=14, arrives=16, returned=True),
        ],
    )


NAMED = Entry("40.70", "2026-01-05", "STRIPE po_1named", "R1")
TRACED = Entry("50.00", "2026-01-16", "STRIPE TRACE77", "R2")
PLAIN = Entry("25.00", "2026-01-14", "STRIPE", "R3")
BACK = (
    Entry("11.00", "2026-01-17", "STRIPE po_4back", "R4"),
    Entry("-11.00", "2026-01-20", "RETURN po_4back", "R5", reversal=True),
)
NOTHING = Entry("0.00", "2026-01-31", "CONDITIONS")
"""Banks write such entries to say something; the statement covers January by it."""

ALL = (NAMED, TRACED, PLAIN, *BACK)


def without(*gone: Entry) -> list[Entry]:
    return [entry for entry in ALL if entry not in gone]


STRAY = Entry("7.00", "2026-01-21", "CASH 123", "R9")
SHORT = NAMED._replace(amount="40.00")
LATE = PLAIN._replace(day="2026-01-25")


@pytest.mark.parametrize(
    ("entries", "items"),
    [
        (ALL, []),
        ([*ALL, STRAY], [("bank_only", "R9", "", "7.00")]),
        (without(NAMED), [("missing_in_bank", "po_1named", "40.70", "")]),
        ([*without(NAMED), SHORT], [("amount_mismatch", "po_1named", "40.70", "40.00")]),
        (
            [*without(PLAIN), LATE],
            [("bank_only", "R3", "", "25.00"), ("missing_in_bank", "po_3plain", "25.00", "")],
        ),
        (without(*BACK), []),
        (without(BACK[1]), [("missing_in_bank", "po_4back", "-11.00", "")]),
        ([*ALL, NAMED], [("duplicate", "R1", "", "40.70")]),
    ],
    ids=["all", "stray", "missing", "short", "late", "never there", "not back", "twice"],
)
def test_what_is_on_one_side_only(
    entries: list[Entry],
    items: list[tuple[str, str, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By name, trace id or amount within so many days; a payout that came back needs both."""
    day = books(tmp_path)
    path = camt(tmp_path / "s.xml", [*entries, NOTHING], balances=ENDS)
    options = (*JANUARY, "--bank", str(path))
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=int(bool(items)))
    names = ("class", "event_id", "expected_amount", "actual_amount")
    assert sorted(tuple(item[name] for name in names) for item in found["items"]) == items
    assert all(item["differs"] for item in found["items"])


def test_both_balances_and_what_lies_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A payout on its way is no difference yet; what no item explains is one."""
    day = played(
        tmp_path,
        [
            *payout("po_1named", 4070, day=2, arrives=4),
            *payout("po_5way", 900, day=30, arrives=33),
        ],
    )
    for opening, closing, rest in (
        ("0.00", "47.70", "0.00"),
        ("1.00", "48.70", "1.00"),
    ):
        ends = balance("OPBD", opening, "2026-01-01") + balance("CLBD", closing, "2026-01-31")
        path = camt(tmp_path / "s.xml", [NAMED, STRAY], balances=ends)
        options = (*JANUARY, "--bank", str(path))
        found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=1)
        usd = found["summary"]["bank"]["currencies"]["usd"]
        assert usd | {"unexplained": rest} == usd
        assert (usd["books_closing"], usd["items_between"]) == ("49.70", "-2.00")
        (way,) = (item for item in found["items"] if item["event_id"] == "po_5way")
        assert not way["differs"]
        assert "the bank’s statements end too soon; due on 2026-02-03" in way["detail"]
        assert found["summary"]["differences"] == 1 + (rest != "0.00")


def test_what_was_before_the_first_statement_is_in_its_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A movement of the day before is no item; one that the bank has a day later is tied."""
    day = played(
        tmp_path,
        [
            *payout("po_0old", 1000, day=-4, arrives=-1),
            *payout("po_1named", 4070, day=-3, arrives=-1),
        ],
    )
    ends = balance("OPBD", "10.00", "2026-01-01") + balance("CLBD", "50.70", "2026-01-31")
    entry = NAMED._replace(text="STRIPE", day="2026-01-02")
    path = camt(tmp_path / "s.xml", [entry], balances=ends)
    options = ("--to", "2026-02-01", "--settle-days", "9999", "--bank", str(path))
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=0)
    assert found["items"] == []
    usd = found["summary"]["bank"]["currencies"]["usd"]
    assert (usd["tied"], usd["unexplained"]) == (1, "0.00")


def test_what_the_bank_has_in_the_next_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both kinds of open items are carried on, and settle in the next period."""
    first = [
        *payout("po_1named", 4070, day=-27, arrives=-25),
        *payout("po_5way", 900, day=-2, arrives=2),
    ]
    day = played(tmp_path, first)
    periods = tmp_path / "periods"
    periods.mkdir()
    options = ("--periods", str(periods), "--settle-days", "9999")
    named, early = NAMED._replace(day="2025-12-07"), Entry("6.00", "2025-12-30", "STRIPE 60", "R8")
    ends = balance("OPBD", "0.00", "2025-12-01") + balance("CLBD", "46.70", "2025-12-30")
    bank = ("--bank", str(camt(tmp_path / "dec.xml", [named, early], balances=ends)))
    closing = ("--to", "2025-12-31", "--close", "--by", "Ada Lovelace", *bank, *options)
    found = reconciled(day, all_records(day), monkeypatch, capsys, *closing, code=0)
    assert [item["event_id"] for item in found["items"]] == ["R8", "po_5way"]

    day = played(tmp_path, [*first, *payout("po_6early", 600, day=0, arrives=-1)])
    ends = balance("CLBD", "55.70", "2026-01-30")
    entries = [early, Entry("9.00", "2026-01-02", "STRIPE", "R10")]
    bank = ("--bank", str(camt(tmp_path / "jan.xml", entries, balances=ends)))
    january = ("--from", "2025-12-31", "--to", "2026-01-31", *bank, *options)
    found = reconciled(day, all_records(day), monkeypatch, capsys, *january, code=0)
    assert {item["class"] for item in found["items"]} <= {"backdated"}
    before = found["summary"]["period_before"]
    assert (before["items_left_open"], before["settled_since"]) == (2, 2)
    assert found["summary"]["bank"]["currencies"]["usd"]["unexplained"] == "0.00"


def test_without_a_statement_of_the_next_period_they_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An item of the bank is carried on like any other."""
    day = played(tmp_path, payout("po_1named", 4070, day=2, arrives=4))
    periods = tmp_path / "periods"
    periods.mkdir()
    path = camt(tmp_path / "s.xml", [NOTHING], balances=ENDS)
    options = ("--periods", str(periods), "--settle-days", "9999")
    closing = ("--bank", str(path), "--close", "--by", "Ada Lovelace", *options)
    reconciled(day, all_records(day), monkeypatch, capsys, *JANUARY, *closing, code=1)
    february = ("--from", "2026-02-01", "--to", "2026-03-01", *options)
    found = reconciled(day, all_records(day), monkeypatch, capsys, *february, code=1)
    (item,) = (item for item in found["items"] if item["differs"])
    assert (item["class"], item["event_id"]) == ("missing_in_bank", "po_1named")
    assert "carried on from the period 2026-01-01_2026-02-01" in item["detail"]


def test_the_text_and_a_wrong_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary says how much ties, and both balances; a wrong file is one sentence."""
    day = books(tmp_path)
    ends = ENDS + balance("CLBD", "115.70", "2026-01-31")
    path = camt(tmp_path / "s.xml", ALL, balances=ends)
    archive = str(day.archive(tmp_path / "archive.jsonl"))
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    command = ["reconcile", "--from-files", archive, *JANUARY]
    assert main([*command, "--bank", str(path), "--report", str(tmp_path / "p.html")]) == 0
    said = capsys.readouterr().out
    assert "bank, usd, 2026-01-01 to 2026-01-31: 5 of 5 entries tie" in said
    assert "115.70" in said
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "The bank" in page
    assert "115.70" in page
    path.write_text("no statement\n", encoding="utf-8")
    assert main([*command, "--bank", str(path)]) == 2
    assert "is no bank statement that is known" in capsys.readouterr().err


def test_the_summary_names_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With digests, because a closed period keeps them."""
    day = books(tmp_path)
    path = camt(tmp_path / "s.xml", ALL)
    options = (*JANUARY, "--bank", str(path))
    found = reconciled(day, all_records(day), monkeypatch, capsys, *options, code=0)
    (file,) = found["summary"]["bank"]["files"]
    assert (file["file"], file["entries"], len(file["sha256"])) == ("s.xml", 5, 64)
    json.dumps(file)
