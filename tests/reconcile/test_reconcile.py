"""Seeded corruptions of every class are found, each in its class, and nothing on the clean run."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.reads.played import Played, line_of
from tests.reconcile.stripe import Row, write_report
from worker.archive.records import ArchivedRecord
from worker.cli import main
from worker.core.wire import CreateTransferStatus, QueryFilter, Transfer, pack_transfer
from worker.ledger.embedded import EmbeddedLedger

OUTBOX = "ledger.transfers.posted"
DEAD = "ledger.events.dead"
NOT_DIFFERENT = {"matched", "rejected", "dead", "parked", "in_transit", "duplicate"}


def reconciled(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> Any:
    assert main(["reconcile", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_the_clean_run_has_no_alarm(
    day: Played, stripe_rows: list[Row], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Redeliveries, rejections and dead letters are listed, and nothing differs."""
    archive = day.archive(here / "all.jsonl")
    report = write_report(here / "stripe.csv", stripe_rows)
    found = reconciled(capsys, "--from-files", str(archive), "--stripe-report", str(report), code=0)
    summary = found["summary"]
    assert summary["differences"] == 0
    assert {item["class"] for item in found["items"]} == {"dead", "rejected", "duplicate"}
    assert not any(item["differs"] for item in found["items"])
    classes = [entry["classes"] for entry in summary["currencies"].values()]
    matched = sum(entry["matched"]["items"] for entry in classes if "matched" in entry)
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


class Spoiled:
    """A copy of the day, to be damaged in known ways. expected: class to what it must name."""

    def __init__(self, day: Played, rows: list[Row], folder: Path) -> None:
        self.records = {topic: list(some) for topic, some in day.records.items()}
        self.rows = [dict(one) for one in rows]
        self.folder = folder
        self.file = folder / "spoiled.ledger"
        shutil.copy(day.ledger_file, self.file)
        self.expected: set[tuple[str, str]] = set()
        self._used: set[str] = set()
        self.posted: list[dict[str, Any]] = [
            json.loads(one.value() or b"") for one in self.records[OUTBOX]
        ]

    def legs(self, kind: Callable[[dict[str, Any]], bool], *, again: int = 1) -> dict[str, Any]:
        """A posted leg of an event that is nowhere else spoiled, and whose record came once."""
        events = [event_id for event_id in self.ids() if event_id]
        for told in self.posted:
            number = told["event_id"]
            if number not in self._used and kind(told) and events.count(number) == again:
                self._used.add(number)
                return told
        raise AssertionError("the day has no such leg")

    def ids(self) -> list[str]:
        return [
            event_id(record)
            for topic in ("stripe.payments", "stripe.settlements", "wallet.commands")
            for record in self.records[topic]
        ]

    def change(self, number: str, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edit the object of an event in its topic, all deliveries of it."""
        for topic, records in self.records.items():
            for at, record in enumerate(records):
                if topic.startswith(("stripe.", "wallet.")) and event_id(record) == number:
                    event = json.loads(record.value() or b"")
                    edit(event["data"]["object"])
                    records[at] = replace(record, value_bytes=json.dumps(event).encode())

    def drop(self, number: str) -> None:
        """Take an event out of its topic."""
        for topic, records in self.records.items():
            if topic.startswith(("stripe.", "wallet.")):
                self.records[topic] = [one for one in records if event_id(one) != number]

    def announcement(self, transfer: str) -> int:
        return next(at for at, one in enumerate(self.posted) if one["transfer_id"] == transfer)

    def post(self, edit: Callable[[Transfer], Transfer]) -> Transfer:
        """Post a transfer of nobody's, made from one that is there."""
        ledger = EmbeddedLedger(path=self.file)
        like = next(
            one
            for one in ledger.query_transfers(QueryFilter(reversed=True, limit=500))
            if one.flags == 0 and not one.pending_id and one.code == 2
        )
        made = edit(like)._replace(timestamp=0)
        (result,) = ledger.create_transfers(pack_transfer(made))
        ledger.close()
        assert result.status == CreateTransferStatus.CREATED
        return made

    def archive(self) -> Path:
        path = self.folder / "spoiled.jsonl"
        lines = [line_of(record) for records in self.records.values() for record in records]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path


def event_id(record: ArchivedRecord) -> str:
    try:
        found = json.loads(record.value() or b"")
    except ValueError:
        return ""
    return str(found.get("id", "")) if isinstance(found, dict) else ""


def in_payout(spoiled: Spoiled, told: dict[str, Any]) -> bool:
    """Is the leg's charge in Stripe's report?"""
    sources = {one["source_id"] for one in spoiled.rows}
    record = next(
        one for one in spoiled.records["stripe.payments"] if event_id(one) == told["event_id"]
    )
    return json.loads(record.value() or b"")["data"]["object"]["id"] in sources


def spoil_events(spoiled: Spoiled) -> None:
    """Every way in which an event can ask for something else than the ledger holds."""
    p2p = spoiled.legs(lambda told: told["transaction"] == "p2p")
    spoiled.drop(p2p["event_id"])
    spoiled.expected.add(("not_in_any_topic", p2p["transfer_id"]))

    split = spoiled.legs(
        lambda told: told["transaction"] == "split_bill" and told["leg_number"] == 1
    )
    last = [one for one in spoiled.posted if one["event_id"] == split["event_id"]][-1]
    spoiled.change(split["event_id"], lambda about: about["shares"].pop())
    spoiled.expected.add(("not_in_any_topic", last["transfer_id"]))

    charge = spoiled.legs(
        lambda told: told["transaction"] == "charge" and told["event_type"] == "charge.succeeded"
    )
    spoiled.change(charge["event_id"], lambda about: more(about, "amount"))
    spoiled.expected.add(("amount_mismatch", charge["transfer_id"]))

    other = spoiled.legs(lambda told: told["transaction"] == "charge")
    spoiled.change(other["event_id"], lambda about: about.update(customer="cus_somebody_else"))
    spoiled.expected.add(("account_mismatch", other["transfer_id"]))

    foreign = spoiled.legs(
        lambda told: (
            told["event_type"] == "charge.succeeded"
            and told["currency"] == "usd"
            and not in_payout(spoiled, told)
        )
    )
    spoiled.change(foreign["event_id"], lambda about: about.update(currency="eur"))
    spoiled.expected.add(("currency_mismatch", foreign["transfer_id"]))

    fee = spoiled.legs(lambda told: told["transaction"] == "fees" and told["leg"] == "processing")
    spoiled.change(fee["event_id"], fee_off_by_one)
    spoiled.expected.add(("fee_mismatch", fee["transfer_id"]))

    records = spoiled.records["wallet.commands"]
    like = json.loads(next(one.value() or b"" for one in records if b"wallet.p2p" in one.value()))  # type: ignore[operator] # they have values
    lost = json.dumps(like | {"id": "evt_lost"}).encode()
    records.append(ArchivedRecord("wallet.commands", 0, 10**6, b"k", lost))
    spoiled.expected.add(("missing_in_ledger", "evt_lost"))


def more(about: dict[str, Any], name: str) -> None:
    about[name] += 100


def fee_off_by_one(about: dict[str, Any]) -> None:
    detail = next(one for one in about["fee_details"] if one["type"] != "tax")
    detail["amount"] += 1
    about["fee"] += 1
    about["net"] -= 1


def spoil_announcements(spoiled: Spoiled) -> None:
    """Announcements that are missing, doubled, or say something else."""
    wanted = [spoiled.legs(lambda told: told["transaction"] == "p2p") for _ in range(3)]
    missing, doubled, wrong = (one["transfer_id"] for one in wanted)
    records = spoiled.records[OUTBOX]
    again = replace(records[spoiled.announcement(doubled)], offset_number=10**6)
    at = spoiled.announcement(wrong)
    told = spoiled.posted[at] | {"amount": "1"}
    records[at] = replace(records[at], value_bytes=json.dumps(told).encode())
    records.append(again)
    del records[spoiled.announcement(missing)]
    spoiled.expected |= {
        ("not_announced", missing),
        ("duplicate", doubled),
        ("amount_mismatch", wrong),
    }
    letter = spoiled.records[DEAD].pop()
    headers = {name: (value or b"").decode() for name, value in letter.headers() or ()}
    place = [headers[f"__connect.errors.{name}"] for name in ("topic", "partition", "offset")]
    spoiled.expected.add(("not_announced", f"{place[0]}/{place[1]}@{place[2]}"))


def spoil_ledger(spoiled: Spoiled) -> None:
    """Transfers that nobody asked for: a stranger, and one key under two ids."""
    twice = spoiled.post(lambda like: like._replace(id=like.id + (1 << 70)))
    stranger = spoiled.post(lambda like: like._replace(id=like.id + 1, user_data_128=12345))
    spoiled.expected |= {
        ("not_in_any_topic", f"{stranger.id:032x}"),
        ("duplicate", f"{twice.id:032x}"),
    }


def spoil_report(spoiled: Spoiled) -> None:
    """A row is missing from one payout, a fee is off by one in another, a payout has no row."""
    rows = [one for one in spoiled.rows if one["automatic_payout_id"]]
    payouts = sorted({one["automatic_payout_id"] for one in rows})
    inside = [[one for one in rows if one["automatic_payout_id"] == name] for name in payouts[:3]]
    sources = [one["source_id"] for one in rows]
    gone = next(one for one in inside[0] if sources.count(one["source_id"]) == 1)
    spoiled.rows.remove(gone)
    charged = next(
        one
        for one in inside[1]
        if one["reporting_category"] == "charge" and sources.count(one["source_id"]) == 1
    )
    balancing = next(one for one in inside[1] if one["reporting_category"] == "payout")
    charged["fee"] += 1
    charged["net"] -= 1
    balancing["gross"] += 1
    balancing["net"] += 1
    own = next(one for one in inside[2] if one["reporting_category"] == "payout")
    spoiled.rows.remove(own)
    spoiled.expected |= {
        ("missing_in_report", payouts[0]),
        ("fee_mismatch", charged["balance_transaction_id"]),
        ("missing_in_report", payouts[2]),
        ("amount_mismatch", payouts[1]),  # the books have what was paid, the report one cent less
    }


@pytest.fixture
def spoiled(
    day: Played,
    stripe_rows: list[Row],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Spoiled:
    """Everything that can be wrong, once."""
    made = Spoiled(day, stripe_rows, here)
    spoil_events(made)
    spoil_announcements(made)
    spoil_ledger(made)
    spoil_report(made)
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{made.file}")
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
        *asked,
        code=1,
    )
    differing = [item for item in found["items"] if item["differs"]]
    named = {
        (item["class"], name)
        for item in differing
        for name in (item["transfer_id"], item["event_id"], item["place"])
        if (item["class"], name) in spoiled.expected
    }
    assert named == spoiled.expected
    unexpected = [
        item
        for item in differing
        if not {(item["class"], item[name]) for name in ("transfer_id", "event_id", "place")}
        & spoiled.expected
    ]
    assert unexpected == []
    assert found["summary"]["differences"] == len(differing) == len(spoiled.expected)
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
    whole, first, second = (
        reconciled(capsys, "--from-files", str(archive), *limits, code=0)["summary"]["currencies"]
        for limits in ((), ("--to", middle), ("--from", middle))
    )
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
    """Stripe's own balance agrees to the cent, or the run ends with 1."""
    archive = str(day.archive(here / "all.jsonl"))
    clean = reconciled(capsys, "--from-files", archive, code=0)["summary"]["currencies"]["usd"]
    closing = clean["clearing_closing"]
    asked = ("--from-files", archive, "--stripe-balance")
    reconciled(capsys, *asked, f"usd={closing}", code=0)
    off = reconciled(capsys, *asked, "usd=1.00", code=1)["summary"]
    assert off["differences"] == 1
    assert main(["reconcile", *asked, f"usd={closing}"]) == 0
    assert "everything agrees" in capsys.readouterr().out
