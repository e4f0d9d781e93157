"""A period is closed, changed and found changed; what it left open is carried on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reconcile.by_hand import all_records, charge, event, played, reconciled, settlement
from tests.jobs.reports.played import Played
from worker.commands.cli import main
from worker.jobs.generate.scene import Generated
from worker.jobs.reconcile.periods import ClosedPeriod, digest_of

RULES = Path(__file__).with_name("settled.yaml")
DECEMBER = 1_765_368_000
"""10 December 2025; the ledger's clock begins on 1 January 2026."""

JANUARY = 1_767_312_000
TURN = "2025-12-31"
CLOSE = ("--to", TURN, "--close", "--by", "Ada Lovelace")
NEXT = ("--from", TURN, "--to", "2026-01-31")
GAP = ("--from", "2026-01-02", "--to", "2026-01-31", "--close", "--by", "Ada")
LATER = ("--from", TURN, "--to", "2999-01-01", "--close", "--by", "Ada")
FOLDER = "periods"


def paid(name: str, at: int) -> Generated:
    about = charge(f"ch_{name}", 700) | {"created": at}
    return event("charge.succeeded", about, number=f"evt_{name}", created=at)


def settled(name: str, at: int) -> Generated:
    made = settlement(f"txn_{name}", 700, 20, source=f"ch_{name}", created=at)
    assert isinstance(made.event, dict)
    return made._replace(event=made.event | {"created": at})


OLD = [
    paid("done", DECEMBER),
    settled("done", DECEMBER),
    paid("open", DECEMBER),
    event("charge.unheard_of", {"id": "ch_dead"}, number="evt_dead", created=DECEMBER),
]


class Books:
    """A ledger and topics that go on; periods are kept beside them."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.day = self.post([])
        (folder / FOLDER).mkdir()

    def post(self, more: list[Generated]) -> Played:
        """Everything of December again, which changes nothing, and more."""
        self.day = played(self.folder, [*OLD, *more], rules=RULES)
        return self.day

    def reconcile(self, *options: str, code: int) -> Any:
        where = ("--periods", str(self.folder / FOLDER))
        records = all_records(self.day)
        return reconciled(
            self.day, records, self.monkeypatch, self.capsys, *where, *options, code=code
        )

    def words(self, number: str, **words: str) -> None:
        """Fill in the columns of people for an item."""
        (path,) = (self.folder / FOLDER).glob("*.csv")
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                row | words if row["event_id"] == number else row for row in csv.DictReader(file)
            ]
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, list(rows[0]))
            out.writeheader()
            out.writerows(rows)


@pytest.fixture
def books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Books:
    """December is closed by Ada."""
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))
    made = Books(tmp_path, monkeypatch, capsys)
    made.reconcile(*CLOSE, code=1)
    return made


def found(document: Any) -> set[tuple[str, str, bool]]:
    return {(item["class"], item["event_id"], item["differs"]) for item in document["items"]}


def test_what_was_signed_is_kept(books: Books) -> None:
    """Who, up to when, what was read with its offsets and digests, balances, and what was open."""
    (path,) = (books.folder / FOLDER).glob("*.json")
    period = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == "beginning_2025-12-31.json"
    assert (period["closed_by"], period["rulebook"]) == (
        "Ada Lovelace",
        period["summary"]["rulebook"],
    )
    read = {name.rpartition("/")[0]: row[2] for name, row in period["read"].items()}
    assert read == {topic: len(records) for topic, records in books.day.records.items()}
    assert all(len(row[3]) == 32 for row in period["read"].values())
    assert period["accounts"]["stripe_clearing/usd"] == 680
    assert period["accounts"]["customer_wallet/usd"] == -1400
    opened = {(item["class"], item["event_id"], item["expected"]) for item in period["items"]}
    assert opened == {("dead", "evt_dead", None), ("told_by_payments_only", "ch_open", 700)}


def test_what_it_left_open_is_carried_on_with_peoples_words(books: Books) -> None:
    """Until somebody resolves it, or the other side comes."""
    books.words("ch_open", owner="Bob", comment="asked Stripe")
    document = books.reconcile(*NEXT, code=1)
    items = {item["event_id"]: item for item in document["items"]}
    assert found(document) - {one for one in found(document) if one[0] == "backdated"} == {
        ("told_by_payments_only", "ch_open", True),
        ("dead", "evt_dead", True),
    }
    assert items["ch_open"]["detail"].endswith("open for 51 days; owner: Bob; asked Stripe")
    assert "carried on from the period beginning_2025-12-31" in items["evt_dead"]["detail"]
    books.words("evt_dead", resolution="a test event")
    books.post([settled("open", JANUARY)])
    document = books.reconcile(*NEXT, code=0)
    assert {kind for kind, _, _ in found(document)} == {"backdated"}
    assert document["summary"]["period_before"] | {"closed_at": "", "digest": ""} == {
        "period": "beginning_2025-12-31",
        "closed_by": "Ada Lovelace",
        "closed_at": "",
        "digest": "",
        "items_left_open": 2,
        "settled_since": 1,
        "resolved": 1,
    }


def test_a_resolution_takes_the_difference_away(books: Books) -> None:
    """The money is still listed as open."""
    books.words("ch_open", resolution="written off")
    books.words("evt_dead", resolution="a test event")
    document = books.reconcile(*NEXT, code=0)
    assert ("told_by_payments_only", "ch_open", False) in found(document)


def test_what_comes_late_into_a_closed_period_is_a_difference(books: Books) -> None:
    """In the next period, and when the closed one is looked at again; the opening explains it."""
    books.words("evt_dead", resolution="a test event")
    books.words("ch_open", resolution="written off")
    books.post([paid("late", DECEMBER + 60), settled("late", DECEMBER + 60)])
    document = books.reconcile(*NEXT, code=1)
    late = [item for item in document["items"] if item["class"] == "late"]
    events = sorted(item["event_id"] for item in late)
    assert events == ["bt/txn_late", "bt/txn_late", "evt_late"]
    assert all(item["differs"] for item in late)
    assert "after the period beginning_2025-12-31 was closed" in late[0]["detail"]
    assert document["summary"]["differences"] == len(late)
    again = books.reconcile("--to", TURN, code=1)
    assert {kind for kind, _, differs in found(again) if differs} == {
        *("late", "dead", "told_by_payments_only"),
    }


def test_what_was_posted_before_the_closing_is_backdated(books: Books) -> None:
    """It was posted in January about December: listed, and no difference."""
    document = books.reconcile(*NEXT, code=1)
    backdated = [item for item in document["items"] if item["class"] == "backdated"]
    assert len(backdated) == 4
    assert not any(item["differs"] for item in backdated)


def test_an_opening_that_is_not_the_last_closing_is_a_difference(books: Books) -> None:
    """The ledger was exchanged, or transfers are gone."""
    (path,) = (books.folder / FOLDER).glob("*.json")
    period = ClosedPeriod(**json.loads(path.read_text(encoding="utf-8")))
    accounts = dict(period.accounts) | {"stripe_clearing/usd": 999}
    forged = asdict(period) | {"accounts": accounts}
    forged["digest"] = digest_of(ClosedPeriod(**forged))
    path.write_text(json.dumps(forged), encoding="utf-8")
    for options in (NEXT, ("--to", TURN)):
        document = books.reconcile(*options, code=1)
        (item,) = [one for one in document["items"] if one["class"] == "opening_mismatch"]
        assert (item["event_id"], item["expected_amount"], item["actual_amount"]) == (
            "stripe_clearing",
            "9.99",
            "6.80",
        )


def test_the_next_period_is_closed_after_it(books: Books) -> None:
    """Opening is the last closing; a change of the first is noticed by the second."""
    document = books.reconcile(*NEXT, "--close", "--by", "Ada", code=1)
    accounts = {line["account"]: line for line in document["summary"]["accounts"]}
    assert (accounts["stripe_clearing"]["opening"], accounts["stripe_clearing"]["closing"]) == (
        "6.80",
        "6.80",
    )
    first = books.folder / FOLDER / "beginning_2025-12-31.json"
    first.unlink()
    assert failed(books, *NEXT) == "is missing, or was closed anew"


def failed(books: Books, *options: str) -> str:
    """What the one sentence of a refusal ends with."""
    archive = str(books.day.ledger_file.with_name("archive.jsonl"))
    where = ("--from-files", archive, "--periods", str(books.folder / FOLDER))
    assert main(["reconcile", *where, *options]) == 2
    out, err = books.capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return next((text for text in SAID if text in err), err)


SAID = (
    "is missing, or was closed anew",
    "was changed since the period was closed",
    "is no closed period",
    "the next one begins --from there",
    "--close needs --to",
    "is not over",
    "--close needs --by NAME and --periods FOLDER",
    "has lost a column",
)


def tampered(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace("680", "690"), encoding="utf-8")


def torn(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")


def columns_gone(path: Path) -> None:
    path.with_name("beginning_2025-12-31.items.csv").write_text("a,b\n1,2\n", encoding="utf-8")


def untouched(path: Path) -> None:
    assert path.exists()


@pytest.mark.parametrize(
    ("spoil", "options", "said"),
    [
        (tampered,     NEXT,  "was changed since the period was closed"),
        (torn,         NEXT,  "is no closed period"),
        (columns_gone, NEXT,  "has lost a column"),
        (untouched,    CLOSE, "the next one begins --from there"),
        (untouched,    GAP, "the next one begins --from there"),
        (untouched,    ("--from", TURN, "--close", "--by", "Ada"), "--close needs --to"),
        (untouched,    LATER, "is not over"),
        (untouched,    (*NEXT, "--close"), "--close needs --by NAME and --periods FOLDER"),
    ],
)  # fmt: skip
def test_what_cannot_be_closed_or_was_tampered_with(
    spoil: Callable[[Path], None], options: tuple[str, ...], said: str, books: Books
) -> None:
    """Exit 2 and one sentence."""
    spoil(books.folder / FOLDER / "beginning_2025-12-31.json")
    assert failed(books, *options) == said
