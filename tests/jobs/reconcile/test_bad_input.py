"""Bad input is one sentence and an exit code, and never a report that looks clean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from re import sub

import pytest

from tests.jobs.reconcile.stripe import Row, write_report
from worker.commands.cli import main
from worker.config.settings import PACKAGED_RULEBOOK
from worker.jobs.reconcile.stripe_report import read_report, reported_amount
from worker.rulebooks.load import load


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[:-20],                             "does not end with a whole line"),
        (lambda text: text[: text.rindex(",usd,")] + "\n",     "is the report cut short?"),
        (lambda text: text.replace("gross,", "groß,", 1),     "it has no column gross or Amount"),
        (lambda text: text.splitlines()[0] + "\n",            "has a heading and no rows"),
        (lambda _: "",                                        "it has no column balance_trans"),
        (lambda text: text.replace(",usd,", ",zzz,", 1),      "has no currency 'zzz'"),
        (lambda text: sub(",usd,(-?)", r",usd,\g<1>1", text, count=1), "gross less fee is not net"),
        (lambda text: text.replace(",usd,", ",usd,x", 1),     "gross is no amount of usd"),
        (lambda text: text + text.splitlines()[1] + "\n",     "comes again"),
    ],
    ids=["cut", "cut row", "unknown", "empty", "nothing", "currency", "sum", "amount", "twice"],
)  # fmt: skip
def test_a_bad_stripe_report(
    spoil: Callable[[str], str],
    says: str,
    stripe_rows: list[Row],
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A report that is cut short or unknown ends with 2, and nothing is written."""
    archive = here / "none.jsonl"
    archive.write_text("")
    rows = [one for one in stripe_rows if one["currency"] == "usd"]
    report = write_report(here / "stripe.csv", rows)
    report.write_text(spoil(report.read_text(encoding="utf-8")), encoding="utf-8")
    asked = ["--from-files", str(archive), "--stripe-report", str(report), "--report", "out.html"]
    assert main(["reconcile", *asked]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (here / "out.html").exists()


HISTORY = """id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Transfer
txn_1,charge,ch_1,"12,34",0.34,12.00,usd,2026-01-01 10:00,po_1
txn_2,payout,po_1,-12.00,0.00,-12.00,usd,2026-01-02 10:00,po_1
txn_3,charge,ch_2,1000.00,30.00,970.00,JPY,2026-01-02 10:00,
"""


def test_the_dashboards_export_is_read_too(tmp_path: Path) -> None:
    """The balance history has its own column names, and means the same."""
    path = tmp_path / "history.csv"
    path.write_text("\ufeff" + HISTORY, encoding="utf-8")
    rows = list(read_report(path, load(PACKAGED_RULEBOOK)))
    assert [(one.txn, one.payout, one.gross, one.fee, one.net) for one in rows] == [
        ("txn_1", "po_1", 1234, 34, 1200),
        ("txn_2", "po_1", -1200, 0, -1200),
        ("txn_3", "", 1000, 30, 970),
    ]


@pytest.mark.parametrize(
    ("text", "scale", "amount"),
    [
        ("12.34",    2, 1234),
        ("-0.05",    2, -5),
        ("12",       2, 1200),
        ("12.3",     2, 1230),
        ("12,34",    2, 1234),
        ("1000",     0, 1000),
        ("1000.00",  0, 1000),
        ("1000.50",  0, None),
        ("1.234",    3, 1234),
        ("1.234",    2, None),
        ("1,234.00", 2, None),
        ("",         2, None),
        ("1e3",      2, None),
        ("\u0661",        0, None),
        (".50",      2, None),
        ("--1",      2, None),
    ],
)  # fmt: skip
def test_major_units(text: str, scale: int, amount: int | None) -> None:
    """Stripe's major units are exact minor units, or refused."""
    assert reported_amount(text, scale) == amount


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from-files", "none.jsonl"],                      "there is no event to compare with"),
        (["--from-files", "absent.jsonl"],                    "absent.jsonl cannot be read"),
        (["--from-files", "none.jsonl", "--report", "a.pdf"], "must end in csv, html, json, parq"),
        (["--from-files", "none.jsonl", "--report", "x/a.csv"], "there is no folder x"),
        (["--from", "2026-02-01", "--to", "2026-01-01"],      "is not later than"),
        (["--from-files", "none.jsonl", "--stripe-balance", "usd"], "is not like usd=1234.56"),
    ],
)  # fmt: skip
def test_bad_usage(
    arguments: list[str], says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake is one sentence and exit code 2."""
    (here / "none.jsonl").write_text("")
    assert main(["reconcile", *arguments]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_servers_that_are_down(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broker that does not answer ends with 3."""
    monkeypatch.setenv("LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert main(["reconcile", "--report", "out.html"]) == 3
    assert "Kafka could not be reached" in capsys.readouterr().err
    assert not (here / "out.html").exists()
