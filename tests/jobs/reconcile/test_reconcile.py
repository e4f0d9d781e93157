"""Seeded corruptions of every class are found, each in its class, and nothing on the clean run."""

from __future__ import annotations

import csv
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.jobs.reconcile.spoiled import DEAD, OUTBOX, Spoiled, assert_all_found, spoil
from tests.jobs.reconcile.stripe import Row, write_report
from tests.jobs.reports.played import Played
from worker.commands.cli import main


def reconciled(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> Any:
    assert main(["reconcile", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_the_clean_run_has_no_alarm(
    day: Played, stripe_rows: list[Row], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Redeliveries and rejections are listed, and nothing differs but the dead letters."""
    archive = day.archive(here / "all.jsonl")
    report = write_report(here / "stripe.csv", stripe_rows)
    found = reconciled(capsys, "--from-files", str(archive), "--stripe-report", str(report), code=1)
    summary = found["summary"]
    assert summary["dead_letters"] == summary["differences"] == len(day.records[DEAD])
    classes = {item["class"] for item in found["items"]} - {"told_by_payments_only"}
    assert classes == {"dead", "rejected", "duplicate"}
    assert all(item["differs"] == (item["class"] == "dead") for item in found["items"])
    counted = [entry["classes"] for entry in summary["currencies"].values()]
    matched = sum(entry["matched"]["items"] for entry in counted if "matched" in entry)
    assert matched == len(day.records[OUTBOX])
    dead = [item for item in found["items"] if item["class"] == "dead"]
    assert len(dead) == len(day.records[DEAD])
    rejected = {item["event_id"] for item in found["items"] if item["class"] == "rejected"}
    assert rejected == {
        json.loads(record.value() or b"")["event_id"]
        for record in day.records["ledger.events.rejected"]
    }
    assert summary["payouts"]["payouts_that_tie"] > 3
    assert summary["payouts"]["payouts_that_do_not"] == 0


@pytest.fixture
def spoiled(
    day: Played,
    stripe_rows: list[Row],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Spoiled:
    """Everything that can be wrong, once."""
    file = here / "spoiled.ledger"
    shutil.copy(day.ledger_file, file)
    made = Spoiled(day, stripe_rows, here, f"embedded:{file}")
    spoil(made)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", made.ledger)
    return made


def test_every_corruption_is_found_in_its_class(
    spoiled: Spoiled, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All corruptions at once: each is listed in its class, and nothing else differs."""
    report = write_report(here / "stripe.csv", spoiled.rows)
    files = [here / f"out.{suffix}" for suffix in ("html", "csv", "parquet", "json")]
    asked = [part for path in files for part in ("--report", str(path))]
    found = reconciled(
        capsys,
        *("--from-files", str(spoiled.archive()), "--stripe-report", str(report)),
        *("--settle-days", "9999", *asked),
        code=1,
    )
    assert_all_found(found, spoiled)
    # By when the facts happened, though the strangers were posted today.
    assert max(item["day"] for item in found["items"]) < "2026-02"
    assert_same_everywhere(files, found)


def assert_same_everywhere(files: list[Path], found: Any) -> None:
    """CSV, Parquet, JSON and HTML hold the same items."""
    page, table, parquet, document = files
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["detail"] for row in rows] == [item["detail"] for item in found["items"]]
    query = duckdb.execute("SELECT class, transfer_id FROM read_parquet($1)", [str(parquet)])
    assert query.fetchall() == [(i["class"], i["transfer_id"]) for i in found["items"]]
    assert json.loads(document.read_text(encoding="utf-8")) == found
    html = page.read_text(encoding="utf-8")
    reader = Page()
    reader.feed(html)
    assert reader.rows == len(found["items"]) + reader.other_rows
    assert "http" not in html
    assert "<script" not in html
    assert "<svg" in html


class Page(HTMLParser):
    """Counts the rows of the page's tables, and notices what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.other_rows = 0
        self._items = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div" and ("class", "wide") in attrs:
            self._items = True
            self.other_rows += 1  # its heading
        if tag == "tr" and self._items:
            self.rows += 1


def test_a_range_looks_at_its_facts_only(
    day: Played, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two halves have the matched items of the whole, and their clearing balances meet."""
    archive = day.archive(here / "all.jsonl")
    times = sorted(json.loads(one.value() or b"")["event_created"] for one in day.records[OUTBOX])
    middle = times[len(times) // 2]
    found = [
        reconciled(capsys, "--from-files", str(archive), *limits, code=1)["summary"]
        for limits in ((), ("--to", middle), ("--from", middle))
    ]
    assert all(part["differences"] == part["dead_letters"] for part in found)
    assert found[0]["dead_letters"] == found[1]["dead_letters"] + found[2]["dead_letters"]
    whole, first, second = (part["currencies"] for part in found)
    for currency, entry in whole.items():
        if currency:
            parts = [
                half[currency]["classes"]["matched"]["items"]
                for half in (first, second)
                if currency in half
            ]
            assert sum(parts) == entry["classes"]["matched"]["items"]
            assert len(parts) == 2
            assert first[currency]["clearing_closing"] == second[currency]["clearing_opening"]
            assert second[currency]["clearing_closing"] == entry["clearing_closing"]


def test_stripes_balance_is_compared(
    day: Played, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stripe's own balance agrees to the cent, or that is one more difference."""
    archive = str(day.archive(here / "all.jsonl"))
    clean = reconciled(capsys, "--from-files", archive, code=1)["summary"]
    closing = clean["currencies"]["usd"]["clearing_closing"]
    asked = ("--from-files", archive, "--stripe-balance")
    same = reconciled(capsys, *asked, f"usd={closing}", code=1)["summary"]
    assert same["differences"] == clean["differences"] == len(day.records[DEAD])
    off = reconciled(capsys, *asked, "usd=1.00", code=1)["summary"]
    assert off["differences"] == clean["differences"] + 1
    assert main(["reconcile", *asked, f"usd={closing}"]) == 1
    said = capsys.readouterr().out
    dead = len(day.records[DEAD])
    assert f"{dead} differences; {dead} dead letters need a person" in said
    assert "everything agrees" not in said
