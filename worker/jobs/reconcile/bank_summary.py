"""The bank in a summary: how much of its statements ties, and what lies between the balances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from worker.core.money import major_units
from worker.core.rulebook import Rulebook
from worker.jobs.reconcile.bank_side import (
    DAY_MS,
    NO_AMOUNT,
    BankSide,
    BankSpan,
    BookedMovement,
    day_of,
    iso_day,
)
from worker.jobs.reconcile.bank_statement import BankFile, StatementHead
from worker.jobs.reconcile.bank_ties import Tie
from worker.jobs.reconcile.roll_forward import Lines
from worker.jobs.reconcile.stripe_side import BANK

PAIR: Final = 2


def file_summary(path: Path, digest: str, found: BankFile) -> dict[str, Any]:
    """A file for the summary."""
    return {
        "file": path.name,
        "sha256": digest,
        "statements": len(found.heads),
        "entries": len(found.entries),
        "not_booked": found.pending,
        "accounts": sorted({head.account for head in found.heads if head.account}),
    }


def by_currency(  # noqa: PLR0913, PLR0917 - both sides and what came of them
    rulebook: Rulebook,
    side: BankSide,
    tied: tuple[Sequence[Tie], Mapping[str, BookedMovement]],
    rows: Sequence[tuple[object, ...]],
    lines: Lines,
    span: BankSpan,
) -> dict[str, Any]:
    """By currency: how much ties, and both balances with what lies between them."""
    found: dict[str, Any] = {}
    ties, booked = tied
    heads = [head for _, _, file in side.files for head in file.heads]
    for currency in sorted({head.currency for head in heads if head.currency}):
        declared = rulebook.ledgers[currency]
        ours = [head for head in heads if head.currency == currency]
        mine = [tie for tie in ties if tie.equal and _ledger_of(tie) == declared.ledger]
        found[currency] = {
            "first_day": min(head.first for head in ours),
            "last_day": max(head.last for head in ours),
            "entries": sum(entry.currency == currency for entry in side.entries),
            "tied": sum(len(tie.entries) for tie in mine),
            "in_groups": sum(
                len(tie.entries) for tie in mine if len(tie.entries) + len(tie.movements) > PAIR
            ),
            "came_and_went": sum(not tie.movements for tie in mine),
        }
        closing = _closing(ours, span)
        if closing is not None:
            books = sum(
                line["closing"]
                for line in lines
                if (line["account"], line["ledger"]) == (BANK, declared.ledger)
            )
            between = sum(_between(row) for row in rows if row[2] == declared.ledger)
            between += sum(_ahead(tie, booked, span) for tie in mine)
            figures = {
                "statement_closing": closing,
                "books_closing": books,
                "items_between": between,
                "unexplained": closing - books - between,
            }
            shown = {name: major_units(net, declared.scale) for name, net in figures.items()}
            found[currency] |= shown
    return found


def _ledger_of(tie: Tie) -> int:
    return (tie.entries or tie.movements)[0].ledger


def _between(row: tuple[Any, ...]) -> int:
    """By how much an item makes the bank's balance larger than the books'."""
    kind, _, _, expected, actual, *_ = row
    if kind == "duplicate":
        return 0
    return sum(
        sign * amount for sign, amount in ((-1, expected), (1, actual)) if amount != NO_AMOUNT
    )


def _ahead(tie: Tie, booked: Mapping[str, BookedMovement], span: BankSpan) -> int:
    """What one side of a tie has within the range, and the other after it."""
    at_bank = sum(one.amount for one in tie.entries if one.day * DAY_MS < span.end_ms)
    in_books = sum(one.amount for one in tie.movements if booked[one.key].time_ms < span.end_ms)
    return at_bank - in_books


def _closing(heads: Sequence[StatementHead], span: BankSpan) -> int | None:
    """The bank's balance at the range's end, over all accounts; None where one does not say it."""
    if not span.end_ms:
        return None
    last_day = (span.end_ms - 1) // DAY_MS
    total = 0
    for account in {head.account for head in heads}:
        found = [
            head.closing
            for head in heads
            if head.account == account and day_of(head.last) == last_day
        ]
        if not found or found[0] is None:
            return None
        total += found[0]
    return total


def payout_days(ties: Iterable[Tie], booked: Mapping[str, BookedMovement]) -> dict[str, str]:
    """By payout or other object the day on which the bank had it."""
    days = {}
    for tie in ties:
        for movement in tie.movements if tie.equal and tie.entries else ():
            day = max(entry.day for entry in tie.entries)
            shown = iso_day(day)
            if about := booked[movement.key].about:
                days[about] = shown
    return days


def unexplained(bank: Mapping[str, Any] | None) -> int:
    """In how many currencies the items do not explain what lies between the balances."""
    currencies = bank["currencies"].values() if bank else ()
    return sum(found.get("unexplained", "0").strip("-0.") != "" for found in currencies)
