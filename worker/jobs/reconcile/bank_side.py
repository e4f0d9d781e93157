"""The bank's side: statements as read, and movements of the books on the account `bank`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from worker.core.errors import UsageError
from worker.core.rulebook import Rulebook
from worker.jobs.reconcile.bank_statement import BankEntry, BankFile, read_bank
from worker.jobs.reconcile.bank_ties import Movement
from worker.jobs.reconcile.stripe_side import BANK

DAY_MS: Final = 86_400_000
EPOCH: Final = date(1970, 1, 1).toordinal()
NO_AMOUNT: Final = -(1 << 126)
"""Stands for an amount that an item does not have."""


class BankSpan(NamedTuple):
    """What is looked at; milliseconds, 0 is open.

    as_of_ms: to when the books were told. days: how far apart both sides may be.
    """

    start_ms: int
    end_ms: int
    as_of_ms: int
    days: int

    def holds(self, day: int) -> bool:
        """Is this day, counted from 1970, within the range?"""
        time_ms = day * DAY_MS
        first = self.start_ms // DAY_MS * DAY_MS
        return time_ms >= first and (not self.end_ms or time_ms < self.end_ms)


class BookedMovement(NamedTuple):
    """A movement of the books with what an item says of it."""

    movement: Movement
    time_ms: int
    about: str
    event_id: str
    leg: str
    position: str
    listed: bool


class BankSide(NamedTuple):
    """The statements as read. twice: entries that a statement has again; they count once."""

    files: Sequence[tuple[Path, str, BankFile]]
    entries: Sequence[BankEntry]
    twice: Sequence[BankEntry]


def read_statements(paths: Iterable[Path], rulebook: Rulebook) -> BankSide:
    """All files; an entry that statements have in common counts once.

    Without a reference of the bank's, a statement may have equal entries of one day: as many count
    as the statement with the most of them has. An entry of nothing is a remark of the bank's.

    Raises:
        UsageError: a file is no statement, or the rulebook has no account `bank`.
    """
    if BANK not in rulebook.accounts:
        raise UsageError(f"--bank needs books with an account {BANK}: the rulebook has none")
    files = [
        (path, sha256(path.read_bytes()).hexdigest(), found)
        for path in paths
        for found in [read_bank(path, rulebook)]
    ]
    kept: dict[tuple[object, ...], BankEntry] = {}
    twice = []
    for number, (_, _, found) in enumerate(files):
        nth: dict[tuple[object, ...], int] = {}
        for entry in found.entries:
            if not entry.amount:
                continue
            same = (entry.account, entry.currency, entry.day, entry.amount)
            words = (entry.reference or entry.text, entry.is_reversal)
            here = (number, entry.statement, *same, *words)
            nth[here] = nth.get(here, 0) + 1
            if entry.reference and nth[here] > 1:
                twice.append(entry)
                continue
            kept.setdefault((*same, *words, nth[here]), entry)
    return BankSide(files, list(kept.values()), twice)


def day_of(text: str) -> int:
    """An ISO date as days since 1970."""
    return date.fromisoformat(text).toordinal() - EPOCH


def iso_day(day: int) -> str:
    """A day counted from 1970 as ISO 8601."""
    return date.fromordinal(EPOCH + day).isoformat()
