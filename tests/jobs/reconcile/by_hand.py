"""A few events by hand, played and reconciled."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.reports.played import Played, line_of, play
from worker.commands.cli import main
from worker.config.settings import PACKAGED_RULEBOOK
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.generate.scene import PAYMENTS, SETTLEMENTS, Generated

CREATED = 1_767_225_600


def event(kind: str, about: dict[str, Any], *, number: str, created: int = CREATED) -> Generated:
    """A Stripe event of the payments topic."""
    made = {
        "id": number,
        "object": "event",
        "type": kind,
        "created": created,
        "livemode": False,
        "data": {"object": {"created": created, "currency": "usd"} | about},
    }
    return Generated(PAYMENTS, b"cus_1", made, "")


def charge(number: str, amount: int, **other: Any) -> dict[str, Any]:
    return {
        "id": number,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "paid": True,
        "captured": True,
        "status": "succeeded",
        "customer": "cus_1",
    } | other


def settlement(txn: str, gross: int, fee: int, **other: Any) -> Generated:
    """A row of the settlement feed."""
    about = {
        "id": txn,
        "object": "balance_transaction",
        "amount": gross,
        "fee": fee,
        "net": gross - fee,
        "fee_details": [],
        "reporting_category": "charge",
        "source": None,
    }
    made = event("balance_transaction.created", about | other, number=f"bt/{txn}")
    return made._replace(role=SETTLEMENTS)


def played(folder: Path, events: Iterable[Generated], *, rules: Path = PACKAGED_RULEBOOK) -> Played:
    """Post and announce the events."""
    day = play(0, seed=1, folder=folder, also=lambda _: events, rules=rules)
    day.ledger.close()
    return day


def reconciled(
    day: Played,
    records: Iterable[ArchivedRecord],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *options: str,
    code: int,
) -> Any:
    """Summary and items, of these records and the day's ledger."""
    monkeypatch.setenv("LEDGER_WORKER_LEDGER__ADDRESSES", f"embedded:{day.ledger_file}")
    path = day.ledger_file.with_name("archive.jsonl")
    path.write_text("".join(json.dumps(line_of(one)) + "\n" for one in records), encoding="utf-8")
    capsys.readouterr()
    assert main(["reconcile", "--from-files", str(path), "--json", *options]) == code
    return json.loads(capsys.readouterr().out)


def all_records(day: Played) -> list[ArchivedRecord]:
    return [record for records in day.records.values() for record in records]
