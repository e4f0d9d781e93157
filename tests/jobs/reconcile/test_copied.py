"""A copy in a real PostgreSQL: its trial balance against the ledger's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.jobs.reconcile.by_hand import all_records, charge, event, played, reconciled, settlement
from tests.jobs.reports.played import Played
from worker.commands.cli import main

RULES = Path(__file__).with_name("settled.yaml")
COLUMNS = (
    "transfer_id",
    "kind",
    "ledger",
    "debit_account",
    "credit_account",
    "amount",
    "ledger_timestamp",
)
TABLE = """
CREATE SCHEMA ledger;
CREATE TABLE ledger.transfers (transfer_id varchar(32), kind varchar(16), ledger bigint,
  debit_account varchar(128), credit_account varchar(128), amount numeric(38, 0),
  ledger_timestamp bigint);
"""
NEWEST = "WHERE ledger_timestamp = (SELECT max(ledger_timestamp) FROM ledger.transfers)"
OLDEST = NEWEST.replace("max", "min")


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setenv("LEDGER_WORKER_RULEBOOK", str(RULES))
    events = [
        event("charge.succeeded", charge("ch_1", 700), number="e1"),
        settlement("txn_1", 700, 20, source="ch_1"),
    ]
    return played(tmp_path, events, rules=RULES)


@pytest.fixture
def copy(day: Played, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a database with every announced transfer."""
    monkeypatch.setenv("LEDGER_WORKER_RECONCILE__COPY_DSN", database)
    told = [json.loads(one.value() or b"") for one in day.records["ledger.transfers.posted"]]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLE.encode())
        for one in told:
            row = [one[name] for name in COLUMNS]
            connection.execute("INSERT INTO ledger.transfers VALUES (%s,%s,%s,%s,%s,%s,%s)", row)
    return database


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("edit", "differing"),
    [
        ("SELECT 1", {}),
        ("DELETE FROM ledger.transfers NEWEST", {}),
        (
            "INSERT INTO ledger.transfers SELECT * FROM ledger.transfers NEWEST",
            {"processor_fees": ("0.20", "0.40"), "stripe_clearing": ("6.80", "6.60")},
        ),
        (
            "DELETE FROM ledger.transfers OLDEST",
            {"customer_wallet": ("-7.00", "0.00"), "stripe_unsettled": ("0.00", "-7.00")},
        ),
        (
            "UPDATE ledger.transfers SET kind = 'pending' WHERE debit_account = 'processor_fees'",
            {"processor_fees": ("0.20", "0.00"), "stripe_clearing": ("6.80", "7.00")},
        ),
    ],
    ids=["same", "not loaded yet", "doubled", "lost", "other kind"],
)
def test_each_account_whose_sums_differ_is_named(  # noqa: PLR0913, PLR0917 - a row of the table
    edit: str,
    differing: dict[str, tuple[str, str]],
    day: Played,
    copy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With both balances; what is newer than the copy is left out on both sides."""
    with psycopg.connect(copy, autocommit=True) as connection:
        connection.execute(edit.replace("NEWEST", NEWEST).replace("OLDEST", OLDEST).encode())
    code = int(bool(differing))
    found = reconciled(day, all_records(day), monkeypatch, capsys, "--copy", code=code)
    assert {
        item["event_id"]: (item["expected_amount"], item["actual_amount"])
        for item in found["items"]
        if item["class"] == "copy_mismatch"
    } == differing
    about: dict[str, Any] = found["summary"]["copy"]
    assert about["accounts_that_differ"] == len(differing) < about["accounts"]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TABLE ledger.transfers", 'relation "ledger.transfers" does not exist'),
        ("DELETE FROM ledger.transfers", "has no transfer of this ledger's time"),
    ],
)
def test_a_copy_that_is_not_there_is_bad_usage(  # noqa: PLR0913, PLR0917 - a row of the table
    statement: str,
    said: str,
    day: Played,
    copy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Never a report that compared nothing."""
    with psycopg.connect(copy, autocommit=True) as connection:
        connection.execute(statement.encode())
    assert failed(day, monkeypatch, capsys) == (2, said)


@pytest.mark.parametrize(
    ("dsn", "code", "said"),
    [
        ("", 2, "--copy needs reconcile.copy_dsn"),
        ("postgresql://app:hunter2@127.0.0.1:1/app", 3, "could not be reached"),
        ("hunter2 nonsense", 2, "the copy cannot be read"),
    ],
)
def test_an_address_that_is_wrong_is_never_shown(  # noqa: PLR0913, PLR0917 - a row of the table
    dsn: str,
    code: int,
    said: str,
    day: Played,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It may hold a password."""
    monkeypatch.setenv("LEDGER_WORKER_RECONCILE__COPY_DSN", dsn)
    assert failed(day, monkeypatch, capsys, part=said) == (code, said)


def failed(
    day: Played,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    part: str = "",
) -> tuple[int, str]:
    """Exit code, and the part of the one sentence that is looked for."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    archive = day.archive(day.ledger_file.with_name("archive.jsonl"))
    code = main(["reconcile", "--from-files", str(archive), "--copy"])
    out, err = capsys.readouterr()
    assert "hunter2" not in err
    assert (out, err.count("\n")) == ("", 1)
    known = ('relation "ledger.transfers" does not exist', "has no transfer of this ledger's time")
    return code, next(text for text in (part, *known) if text and text in err)
