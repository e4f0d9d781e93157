"""Stripe's payout reconciliation report, made from the settlement events of a played day."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.jobs.reports.played import Played
from worker.config.settings import Settings
from worker.core.money import major_units
from worker.jobs.generate.scene import PAYMENTS, SETTLEMENTS, Generated
from worker.jobs.generate.stripe_objects import payout
from worker.jobs.generate.traffic import generate

HEADING = [
    "automatic_payout_id",
    "automatic_payout_effective_at_utc",
    "balance_transaction_id",
    "created_utc",
    "available_on_utc",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
]
ROWS_OF_A_PAYOUT = 25
REST = 3000  # events after the end of a day in which its stories come to theirs
PAID_AT = 1_767_600_000  # seconds: the day of the report's rows
Row = dict[str, Any]


def report_rows(day: Played) -> list[Row]:
    """Every balance transaction once, in payouts of so many rows; the last of each are waiting."""
    rows: dict[str, list[Row]] = defaultdict(list)
    seen: set[str] = set()
    for record in day.records["stripe.settlements"]:
        about = json.loads(record.value() or b"")["data"]["object"]
        if about["id"] in seen or about["reporting_category"] == "payout":
            continue
        seen.add(about["id"])
        rows[about["currency"]].append(
            row(about["id"], about["reporting_category"], about, about["amount"], about["fee"])
        )
    return [one for currency, some in rows.items() for one in paid_out(currency, some)]


def row(txn: str, category: str, about: Row, gross: int, fee: int) -> Row:
    return {
        "automatic_payout_id": "",
        "balance_transaction_id": txn,
        "created_utc": "2026-01-05 10:00:00",
        "currency": about["currency"],
        "gross": gross,
        "fee": fee,
        "net": gross - fee,
        "reporting_category": category,
        "source_id": source_of(about),
    }


def source_of(about: Row) -> str:
    """What a balance transaction is about: expanded, by its id, or nothing."""
    source = about.get("source")
    return str(source["id"]) if isinstance(source, dict) else source or ""


def rest_of_stories(day: Played, events: int, seed: int) -> Iterable[Generated]:
    """What comes after so many events and is about an object that Stripe's report tells of.

    Without it a dispute or a capture would be half told, and rightly be a difference.
    """
    told = {
        source_of(json.loads(record.value() or b"")["data"]["object"])
        for record in day.records["stripe.settlements"]
    }
    for number, one in enumerate(generate(events + REST, seed, roles=Settings().topics.inputs)):
        if number >= events and isinstance(one.event, dict):
            about = one.event.get("data", {}).get("object", {})
            if told & {about.get("id"), source_of(about), about.get("charge")} - {None, ""}:
                yield one


def payouts(day: Played) -> Iterable[Generated]:
    """The events of the payouts that the report tells of."""
    for one in report_rows(day):
        if one["reporting_category"] == "payout":
            number, amount = one["source_id"], -one["gross"]
            about = payout(
                payout_id=number, amount=amount, currency=one["currency"], created=PAID_AT
            )
            event = {
                "id": f"evt_{number}",
                "object": "event",
                "type": "payout.created",
                "created": PAID_AT,
                "livemode": False,
                "data": {"object": about},
            }
            yield Generated(PAYMENTS, number.encode(), event, "payout")
            settled = {
                "id": one["balance_transaction_id"],
                "object": "balance_transaction",
                "amount": one["gross"],
                "fee": 0,
                "net": one["net"],
                "fee_details": [],
                "currency": one["currency"],
                "created": PAID_AT,
                "reporting_category": "payout",
                "source": number,
            }
            feed = {"id": f"bt/{number}", "type": "balance_transaction.created"}
            told = event | feed | {"data": {"object": settled}}
            yield Generated(SETTLEMENTS, number.encode(), told, "payout")


def paid_out(currency: str, rows: list[Row]) -> Iterable[Row]:
    whole = len(rows) // ROWS_OF_A_PAYOUT * ROWS_OF_A_PAYOUT
    for start in range(0, whole, ROWS_OF_A_PAYOUT):
        number = f"po_{currency}_{start}"
        part = rows[start : start + ROWS_OF_A_PAYOUT]
        for one in part:
            yield one | {"automatic_payout_id": number}
        about = {"currency": currency, "source": number}
        total = -sum(one["net"] for one in part)
        own = row(f"txn_{number}", "payout", about, total, 0)
        yield own | {"automatic_payout_id": number}
    yield from rows[whole:]


def write_report(path: Path, rows: Iterable[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, HEADING, restval="")
        out.writeheader()
        for one in rows:
            scale = 0 if one["currency"] == "jpy" else 2
            amounts = {name: major_units(one[name], scale) for name in ("gross", "fee", "net")}
            out.writerow(one | amounts)
    return path
