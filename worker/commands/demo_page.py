"""The page that the demo ends with, read from ledger and topics, which are compared leg by leg."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TextIO

from worker.codecs.dead_letters import REASON_HEADER
from worker.codecs.headers import headers_of
from worker.commands.demo_stripe import StripeSide
from worker.core.account_ids import AccountRefs
from worker.core.errors import BrokenInvariant
from worker.core.money import major_units
from worker.core.plural import count_of
from worker.core.ports import Record
from worker.core.rulebook import Rulebook
from worker.core.wire import Account, Transfer
from worker.jobs.reconcile.stripe_side import UNSETTLED
from worker.jobs.text_tables import (
    BAD,
    GOOD,
    TITLE,
    Column,
    Styled,
    write_lines,
    write_table,
)

OPEN_SHOWN: Final = 3
MESSAGE_HEADER: Final = "__connect.errors.exception.message"
INDENT: Final = "  "
LISTED: Final = 10
"""Differences that the page names."""


@dataclass(frozen=True, slots=True)
class DemoResults:
    """What was read back.

    posted, rejected, dead: the records of those topics.
    """

    rulebook: Rulebook
    notes: Counter[str]
    outcomes: dict[str, int]
    accounts: list[Account]
    transfers: list[Transfer]
    posted: Sequence[Record]
    rejected: Sequence[Record]
    dead: Sequence[Record]
    stripe: StripeSide
    seconds: float

    @property
    def agrees(self) -> bool:
        """Debits equal credits, each transfer is announced once, clearing is Stripe's balance.

        The last where payments have an account of their own until they are settled.
        """
        sums = self.sums().values()
        balanced = all(debits == credits_ for debits, credits_ in sums)
        return balanced and not self.differences() and (self.stripe.agrees or not self.compares)

    @property
    def compares(self) -> bool:
        """Does the rulebook keep clearing at Stripe's balance?"""
        return UNSETTLED in self.rulebook.accounts

    def sums(self) -> dict[str, tuple[int, int]]:
        """Posted debits and credits by currency, in minor units."""
        found: dict[str, tuple[int, int]] = {}
        for account in self.accounts:
            name = self._currency(account.ledger)[0]
            debits, credits_ = found.get(name, (0, 0))
            found[name] = (debits + account.debits_posted, credits_ + account.credits_posted)
        return found

    def differences(self) -> list[str]:
        """Transfers that differ between ledger and outbox, one line each."""
        announced: Counter[tuple[str, str, str]] = Counter()
        for record in self.posted:
            leg = json.loads(record.value() or b"{}")
            announced[leg["transfer_id"], leg["amount"], leg["ledger_timestamp"]] += 1
        posted = Counter(
            (f"{each.id:032x}", str(each.amount), str(each.timestamp)) for each in self.transfers
        )
        missing = [f"not announced: {transfer_id}" for transfer_id, *_ in posted - announced]
        return missing + [
            f"announced, not in the ledger: {transfer_id}" for transfer_id, *_ in announced - posted
        ]

    def balances(self) -> list[tuple[str, str, int, int]]:
        """(account, currency, keys, balance in minor units), by account.

        A balance is positive on the side that the account grows by.
        """
        name_account = AccountRefs(self.rulebook.accounts.values()).name_account
        totals: dict[tuple[str, int], list[int]] = {}
        for account in self.accounts:
            name = name_account(account).name
            net = account.credits_posted - account.debits_posted
            entry = totals.setdefault((name, account.ledger), [0, 0])
            entry[0] += 1
            entry[1] += -net if self.rulebook.accounts[name].debit_normal else net
        return [
            (name, *self._currency(ledger)[:1], keys, balance)
            for (name, ledger), (keys, balance) in sorted(totals.items())
        ]

    def _currency(self, ledger: int) -> tuple[str, int]:
        for currency in self.rulebook.ledgers.values():
            if currency.ledger == ledger:
                return currency.name, currency.scale
        raise BrokenInvariant(f"ledger {ledger} is not in the rulebook")

    def figures(self) -> dict[str, Any]:
        """The page as plain data."""
        return {
            "events": dict(self.notes),
            "outcomes": self.outcomes,
            "transfers": len(self.transfers),
            "announced": len(self.posted),
            "rejected": len(self.rejected),
            "dead": len(self.dead),
            "debits_and_credits": self.sums(),
            "differences": self.differences(),
            "stripe_balance": dict(self.stripe.balance),
            "stripe_clearing": dict(self.stripe.booked),
            "open_items": [
                {"object": each.about, "currency": each.currency, "amount": each.amount}
                for each in self.stripe.open_items
            ],
            "agrees": self.agrees,
            "seconds": round(self.seconds, 1),
        }

    def write(self, out: TextIO) -> None:
        """The page, for a person."""
        total = sum(self.notes.values())
        what = f"ledger-worker demo: {count_of(total, 'record')} in {self.seconds:.1f} s"
        note = "(embedded broker and ledger in this process; nothing is left behind)"
        write_lines(out, [Styled(what, TITLE), note, "", Styled("What came in", TITLE)])
        rows = [(kind, f"{count:,}", "") for kind, count in self._kinds().most_common()]
        _write_rows(out, COUNTS, rows)
        write_lines(out, ["", Styled("What became of it", TITLE)])
        most = sorted(self.outcomes.items(), key=itemgetter(1), reverse=True)
        rows = [(_words(kind), f"{count:,}", _MEANING.get(kind, "")) for kind, count in most]
        _write_rows(out, COUNTS, rows)
        write_lines(out, ["", Styled("For example", TITLE)])
        _write_rows(out, EXAMPLES, self._examples())
        write_lines(out, ["", Styled("Balances", TITLE), BALANCES_NOTE])
        _write_rows(out, BALANCES, self._balance_rows())
        write_lines(out, ["", Styled("Reconciliation", TITLE)])
        write_lines(out, self._checks())

    def _balance_rows(self) -> Iterator[Row]:
        for name, currency, keys, balance in self.balances():
            amount = f"{major_units(balance, self._scale(currency))} {currency}"
            yield name, f"{keys:,}", amount

    def _kinds(self) -> Counter[str]:
        """The notes by kind: what came late or again, was bad or carries no money, and the feed."""
        kinds: Counter[str] = Counter()
        for note, count in self.notes.items():
            kind = note.partition(":")[0]
            kinds["settlement feed" if note.endswith(" settled") else kind] += count
        return kinds

    def _examples(self) -> Iterator[Row]:
        if self.rejected:
            event = json.loads(self.rejected[0].value() or b"{}")
            refused = f"{event['event_type']} refused at leg {event['leg']}: {event['reason']}"
            yield "overdraft", event["event_id"], f"{refused}; nothing of it was posted"
        if count := self.outcomes.get("redelivered"):
            found = "came again: found in the ledger, not posted"
            yield "duplicates", count_of(count, "event"), found
        if self.dead:
            headers = {name: (value or b"").decode() for name, value in headers_of(self.dead[0])}
            yield "poison", headers[REASON_HEADER], f"dead letter: {headers[MESSAGE_HEADER]}"

    def _checks(self) -> Iterator[str | Styled]:
        for currency, (debits, credits_) in sorted(self.sums().items()):
            scale = self._scale(currency)
            sign = "=" if debits == credits_ else "DIFFERS FROM"
            amounts = f"{major_units(debits, scale)} {sign} {major_units(credits_, scale)}"
            yield f"  debits = credits   {currency} {amounts}"
        posted, announced = len(self.transfers), len(self.posted)
        transfers = count_of(posted, "transfer")
        yield f"  ledger = outbox    {transfers} posted, {announced:,} announced"
        if self.compares:
            yield from self._stripe_lines()
        differences = self.differences()
        yield from (f"  DIFFERS            {each}" for each in differences[:LISTED])
        verdict = (
            "clean" if self.agrees else f"NOT CLEAN: {count_of(len(differences), 'difference')}"
        )
        yield Styled(f"  {verdict}", GOOD if self.agrees else BAD)

    def _stripe_lines(self) -> Iterator[str]:
        """Clearing beside Stripe's balance, and what payments or settlements alone reported."""
        for currency, at_stripe in sorted(self.stripe.balance.items()):
            booked, scale = self.stripe.booked.get(currency, 0), self._scale(currency)
            sign = "=" if booked == at_stripe else "DIFFERS FROM"
            amounts = f"{major_units(booked, scale)} {sign} {major_units(at_stripe, scale)}"
            yield f"  clearing = Stripe  {currency} {amounts}"
        items = self.stripe.open_items
        objects = count_of(len(items), "Stripe object")
        yield f"  not settled yet    {objects}, reported by one side so far:"
        for each in sorted(items, key=lambda each: -abs(each.amount))[:OPEN_SHOWN]:
            amount = major_units(abs(each.amount), self._scale(each.currency))
            yield f"    {each.about:<30}{amount:>14} {each.currency}"

    def _scale(self, name: str) -> int:
        return self.rulebook.ledgers[name].scale


Row = tuple[str, str, str]
COUNTS: Final = (
    Column("0", "", 30),
    Column("1", "", 9, right=True),
    Column("2", "", 0),
)
EXAMPLES: Final = (Column("0", "", 10), Column("1", "", 28), Column("2", "", 0))
BALANCES_NOTE: Final = "  assets and expenses: debits less credits; all others: credits less debits"
BALANCES: Final = (
    Column("0", "account", 28),
    Column("1", "keys", 8, right=True),
    Column("2", "balance", 24, right=True),
)


def _write_rows(out: TextIO, columns: Sequence[Column], rows: Iterable[Row]) -> None:
    write_table(
        out,
        columns,
        ({str(number): text for number, text in enumerate(row)} for row in rows),
        indent=INDENT,
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


_MEANING: Final = {
    "posted": "in the ledger, announced on the outbox",
    "redelivered": "came again: in the ledger once",
    "rejected": "refused by the ledger, announced",
    "parked": "waits for an event that must come first",
    "dead": "could not be posted, kept with its reason",
    "conflict": "same key with other money, kept for a person",
    "ignored": "the rulebook ignores it by name",
    "nothing_to_post": "every leg fell away",
}
