"""A copy of a played day, damaged in every known way, and what must be found for each.

The ledger is changed by hand too; everything else is a copy.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.jobs.reconcile.stripe import Row
from tests.jobs.reports.played import Played, line_of
from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.wire import CreateTransferStatus, Transfer, pack_transfer
from worker.jobs.archive.records import ArchivedRecord
from worker.ledger.open import open_ledger
from worker.ledger.scan import all_transfers
from worker.rulebooks.load import load

OUTBOX = "ledger.transfers.posted"
DEAD = "ledger.events.dead"
EVENTS_OF = ("stripe.payments", "stripe.settlements", "wallet.commands")


class Spoiled:
    """A copy of the day, to be damaged in known ways. expected: class to what it must name.

    ledger: its address, of a ledger that may be changed.
    """

    def __init__(self, day: Played, rows: list[Row], folder: Path, ledger: str) -> None:
        self.records = {topic: list(some) for topic, some in day.records.items()}
        self.rows = [dict(one) for one in rows]
        self.folder = folder
        self.ledger = ledger
        self.expected: set[tuple[str, str]] = set()
        self._used: set[str] = set()
        self._times = Counter(self.ids())
        self.reported = {one["source_id"] for one in rows}
        self.objects = dict(self._objects())
        self.settled = "stripe_unsettled" in load(PACKAGED_RULEBOOK).accounts
        self.posted: list[dict[str, Any]] = [
            json.loads(one.value() or b"") for one in self.records[OUTBOX]
        ]

    def legs(self, kind: Callable[[dict[str, Any]], bool], *, again: int = 1) -> dict[str, Any]:
        """A posted leg of an event that is nowhere else spoiled, and whose record came once."""
        for told in self.posted:
            number = told["event_id"]
            if number not in self._used and kind(told) and self._times[number] == again:
                self._used.add(number)
                return told
        raise AssertionError("the day has no such leg")

    def ids(self) -> Iterator[str]:
        """The event of every record of the inputs; empty where there is none."""
        return (event_id(one) for topic in EVENTS_OF for one in self.records[topic])

    def _objects(self) -> Iterator[tuple[str, str]]:
        for record in self.records["stripe.payments"]:
            if number := event_id(record):
                event = json.loads(record.value() or b"")
                yield number, event.get("data", {}).get("object", {}).get("id", "")

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
        ledger = open_ledger(addresses=self.ledger, cluster_id=0, deadline_seconds=60)
        like = [
            one
            for one in all_transfers(ledger)
            if one.flags == 0 and not one.pending_id and one.code == 1
        ][-1]
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
    return spoiled.objects[told["event_id"]] in spoiled.reported


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

    paid = spoiled.legs(lambda told: told["transaction"] == "p2p")
    spoiled.change(paid["event_id"], lambda about: more(about, "amount"))
    spoiled.expected.add(("amount_mismatch", paid["transfer_id"]))

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

    fee = spoiled.legs(
        lambda told: told["transaction"] in {"fees", "settled"} and told["leg"] == "processing"
    )
    spoiled.change(fee["event_id"], fee_off_by_one)
    spoiled.expected.add(("fee_mismatch", fee["transfer_id"]))
    if spoiled.settled:  # then the report's row tells another fee than the feed, too
        spoiled.expected.add(("fee_mismatch", fee["fact"].partition("/")[2]))

    records = spoiled.records["wallet.commands"]
    like = json.loads(next(one.value() or b"" for one in records if b"wallet.p2p" in one.value()))  # type: ignore[operator] # they have values
    lost = json.dumps(like | {"id": "evt_lost"}).encode()
    records.append(ArchivedRecord("wallet.commands", 0, 10**6, b"k", lost))
    spoiled.expected.add(("missing_in_ledger", "evt_lost"))


def more(about: dict[str, Any], name: str) -> None:
    about[name] += 100
    if "amount_captured" in about:
        about["amount_captured"] = about[name]


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
    """A row is missing from two payouts, from one its own too; a fee is off by one in another."""
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
    more = next(
        one
        for one in inside[2]
        if one["reporting_category"] == "charge" and sources.count(one["source_id"]) == 1
    )
    spoiled.rows.remove(own)
    spoiled.rows.remove(more)
    spoiled.expected |= {
        ("missing_in_report", payouts[0]),
        ("fee_mismatch", charged["balance_transaction_id"]),
        ("missing_in_report", payouts[2]),
        ("amount_mismatch", payouts[1]),  # the books have what was paid, the report one cent less
    }


def spoil(spoiled: Spoiled) -> None:
    """Everything that can be wrong, once."""
    spoil_events(spoiled)
    spoil_announcements(spoiled)
    spoil_ledger(spoiled)
    spoil_report(spoiled)


def assert_all_found(found: Any, spoiled: Spoiled) -> None:
    """Each corruption is listed in its class, and nothing else differs but the dead letters."""
    names = ("transfer_id", "event_id", "position")
    every = [item for item in found["items"] if item["differs"]]
    differing = [item for item in every if item["class"] != "dead"]
    dead = {item["position"] for item in every if item["class"] == "dead"}
    assert len(dead) == found["summary"]["dead_letters"] == len(spoiled.records[DEAD])
    told = [{(item["class"], item[name]) for name in names} for item in differing]
    pairs = zip(differing, told, strict=True)
    alarms = [item for item, about in pairs if not about & spoiled.expected]
    assert not alarms, f"{len(alarms)} false alarms: {alarms[:3]}"
    missed = spoiled.expected - set().union(*told)
    assert not missed, f"not found: {missed}"
    assert len(differing) == len(spoiled.expected)
    currencies = found["summary"]["currencies"].values()
    off = [one.get("settlement_difference", "0") for one in currencies]
    assert found["summary"]["differences"] == len(every) + sum(map(bool, map(float, off)))
    assert any(map(float, off)) is spoiled.settled  # the fee that the feed tells otherwise
