"""The bank's statements against the account `bank`: what is on one side only becomes an item.

A movement of the books is due when Stripe expects the payout at the bank, else on the day of its
fact. What the statements end too soon to show, or the books may still be told, is listed and is no
difference yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from worker.core.rulebook import Rulebook
from worker.core.wire import TransferFlags
from worker.jobs.duckdb_rows import Database, columns_sql, stage_rows
from worker.jobs.reconcile.bank_side import (
    DAY_MS,
    NO_AMOUNT,
    BankSide,
    BankSpan,
    BookedMovement,
    day_of,
    iso_day,
)
from worker.jobs.reconcile.bank_statement import BankEntry, StatementHead
from worker.jobs.reconcile.bank_summary import by_currency, file_summary, payout_days
from worker.jobs.reconcile.bank_ties import Movement, Tie, tie_bank
from worker.jobs.reconcile.roll_forward import Lines
from worker.jobs.reconcile.stripe_side import BANK

BANK_CLASSES: Final = ("missing_in_bank", "bank_only")
TEXT_MAX: Final = 120
"""Characters of an entry's text that an item shows."""

_WORD: Final = re.compile(r"[A-Za-z0-9_]{6,}")
_DIGIT: Final = re.compile(r"[0-9]")

TIED: Final = {"name": "VARCHAR"}
FOUND: Final = {
    "class": "VARCHAR",
    "differs": "BOOLEAN",
    "ledger": "BIGINT",
    "expected": "HUGEINT",
    "actual": "HUGEINT",
    **dict.fromkeys(("event_id", "event_type", "leg", "transfer_id", "position"), "VARCHAR"),
    "time_ms": "BIGINT",
    "detail": "VARCHAR",
}

MOVEMENTS: Final = """
WITH banks AS (SELECT account_id FROM all_accounts WHERE name = $bank),
told AS (
  SELECT transfer_id, min(about) AS about, min(names) AS names, max(due_ms) AS due_ms,
    min(event_id) AS event_id FROM banked GROUP BY transfer_id),
legged AS (SELECT transfer_id, min(leg_name) AS leg FROM legs GROUP BY transfer_id)
SELECT a.transfer_id, a.ledger,
  CAST(CASE WHEN a.debit IN (SELECT * FROM banks) THEN a.amount ELSE -a.amount END AS VARCHAR),
  CAST('0x' || left(a.transfer_id, 12) AS BIGINT), coalesce(t.due_ms, 0), coalesce(t.about, ''),
  coalesce(t.names, ''), coalesce(t.event_id, ''), coalesce(l.leg, ''), a.position, a.in_range
FROM actual a LEFT JOIN told t USING (transfer_id) LEFT JOIN legged l USING (transfer_id)
WHERE a.flags & $resting = 0 AND NOT a.in_transit AND a.amount <> 0
  AND (a.debit IN (SELECT * FROM banks)) <> (a.credit IN (SELECT * FROM banks))
ORDER BY a.transfer_id
"""
LISTED: Final = """
INSERT INTO items BY NAME
SELECT class, differs, ledger, CASE WHEN expected = $none THEN NULL ELSE expected END
    AS expected_amount, CASE WHEN actual = $none THEN NULL ELSE actual END AS actual_amount,
  event_id, event_type, leg, transfer_id, position, time_ms, detail FROM bank_items
"""


def compare_bank(  # noqa: PLR0913, PLR0917 - both sides and what they are held against
    database: Database,
    side: BankSide,
    rulebook: Rulebook,
    lines: Lines,
    carried: Sequence[Mapping[str, Any]],
    span: BankSpan,
) -> dict[str, Any]:
    """Add the bank's items; what a summary says of the statements.

    lines: the roll-forward. carried: the items that the last closed period left open.
    """
    ledgers = {name: declared.ledger for name, declared in rulebook.ledgers.items()}
    heads = [head for _, _, found in side.files for head in found.heads]
    covered = _covered(heads, ledgers)
    booked = {one.movement.key: one for one in _booked(database, span, covered, carried)}
    entries = {_name(entry): entry for entry in _with_carried(side, carried, rulebook)}
    ties = tie_bank(
        (_movement(entry, ledgers) for entry in entries.values()),
        (one.movement for one in booked.values()),
        days=span.days,
    )
    tied = {one.key for tie in ties for one in (*tie.entries, *tie.movements)}
    rows = [_unequal(tie, booked, entries) for tie in ties if not tie.equal]
    still = (one for key, one in booked.items() if key not in tied and one.listed)
    rows += [_missing(one, covered, span) for one in still]
    was_open = {item["position"] for item in carried if item["class"] == "bank_only"}
    rows += [
        _only(key, entry, ledgers, span)
        for key, entry in entries.items()
        if key not in tied and (span.holds(day_of(entry.day)) or key in was_open)
    ]
    rows += [_twice(entry, ledgers) for entry in side.twice]
    stage_rows(database, "bank_items", FOUND, rows)
    stage_rows(database, "bank_tied", TIED, ((key,) for key in tied))
    database.execute(LISTED, {"none": NO_AMOUNT})
    return {
        "files": [file_summary(path, digest, found) for path, digest, found in side.files],
        "days": span.days,
        "currencies": by_currency(rulebook, side, (ties, booked), rows, lines, span),
        "payouts": payout_days(ties, booked),
    }


def create_bank_tables(database: Database) -> None:
    """Empty tables, for where no statement is given."""
    database.execute(f"CREATE TABLE bank_items ({columns_sql(FOUND)})")
    database.execute(f"CREATE TABLE bank_tied ({columns_sql(TIED)})")


def _name(entry: BankEntry) -> str:
    return f"{entry.file}, entry {entry.number}" if entry.number else entry.file


def _movement(entry: BankEntry, ledgers: Mapping[str, int]) -> Movement:
    """An entry to be tied; a name in its text has a digit in it, as ids have."""
    words = frozenset(word for word in _WORD.findall(entry.text) if _DIGIT.search(word))
    return Movement(
        _name(entry),
        ledgers[entry.currency],
        entry.amount,
        day_of(entry.day),
        words,
        entry.is_reversal,
    )


def _covered(
    heads: Iterable[StatementHead], ledgers: Mapping[str, int]
) -> dict[int, tuple[int, int]]:
    """The first and the last day that statements of a currency cover."""
    found: dict[int, tuple[int, int]] = {}
    for head in heads:
        if head.currency and head.first:
            ledger, first, last = ledgers[head.currency], day_of(head.first), day_of(head.last)
            known = found.get(ledger, (first, last))
            found[ledger] = (min(first, known[0]), max(last, known[1]))
    return found


def _booked(
    database: Database,
    span: BankSpan,
    covered: Mapping[int, tuple[int, int]],
    carried: Iterable[Mapping[str, Any]],
) -> Iterator[BookedMovement]:
    """Movements of the ledger, and those of the period before that the bank did not have."""
    resting = TransferFlags.PENDING | TransferFlags.VOID_PENDING_TRANSFER
    seen = set()
    was_open = {item["transfer_id"]: item for item in carried if item["class"] == "missing_in_bank"}
    found = database.execute(MOVEMENTS, {"bank": BANK, "resting": int(resting)}).fetchall()
    for (
        key,
        ledger,
        amount,
        fact_ms,
        due_ms,
        about,
        names,
        event_id,
        leg,
        position,
        in_range,
    ) in found:
        seen.add(key)
        day = (due_ms or fact_ms) // DAY_MS
        first = covered.get(ledger, (1 << 31, 0))[0]
        listed = (in_range or span.holds(day)) and day >= first
        movement = Movement(key, ledger, int(amount), day, frozenset(names.split()))
        shown = (fact_ms, about, event_id, leg, position, listed or key in was_open)
        yield BookedMovement(movement, *shown)
    for key, item in was_open.items():
        if key not in seen:
            time_ms = item["time_ms"] or 0
            names = frozenset({item["event_id"]} - {""})
            day = time_ms // DAY_MS
            movement = Movement(key, item["ledger"], item["expected"] or 0, day, names)
            words = (item["event_id"], "", item["leg"], item["position"])
            yield BookedMovement(movement, time_ms, *words, listed=True)


def _with_carried(
    side: BankSide, carried: Iterable[Mapping[str, Any]], rulebook: Rulebook
) -> Iterator[BankEntry]:
    """The entries, and those of the period before that the books did not have.

    An entry that an overlapping statement has again is the carried one.
    """
    names = {declared.ledger: name for name, declared in rulebook.ledgers.items()}
    was_open = {
        (names[item["ledger"]], item["day"], item["actual"], item["event_id"]): item
        for item in carried
        if item["class"] == "bank_only" and item["ledger"] in names
    }
    for entry in side.entries:
        item = was_open.pop((entry.currency, entry.day, entry.amount, _shown(entry)), None)
        yield entry if item is None else entry._replace(file=item["position"], number=0)
    for (currency, day, amount, shown), item in was_open.items():
        yield BankEntry(
            item["position"], 1, 0, "", currency, amount, day, shown, shown, is_reversal=False
        )


def _shown(entry: BankEntry) -> str:
    return (entry.reference or entry.text)[:TEXT_MAX]


def _row(  # noqa: PLR0913 - the columns of an item
    kind: str,
    ledger: int,
    expected: int | None,
    actual: int | None,
    *,
    time_ms: int,
    detail: str,
    differs: bool = True,
    event_id: str = "",
    leg: str = "",
    transfer_id: str = "",
    position: str = "",
) -> tuple[object, ...]:
    amounts = [NO_AMOUNT if amount is None else amount for amount in (expected, actual)]
    names = (event_id, "bank statement", leg, transfer_id, position)
    return (kind, differs, ledger, *amounts, *names, time_ms, detail)


def _missing(
    one: BookedMovement, covered: Mapping[int, tuple[int, int]], span: BankSpan
) -> tuple[object, ...]:
    movement = one.movement
    _, last = covered.get(movement.ledger, (0, -1))
    late = last >= 0 and movement.day + span.days < last + 1
    why = "and the bank’s statement does not" if late else "and the bank’s statements end too soon"
    return _row(
        "missing_in_bank",
        movement.ledger,
        movement.amount,
        None,
        differs=late,
        event_id=one.about or one.event_id,
        leg=one.leg,
        transfer_id=movement.key,
        position=one.position,
        time_ms=one.time_ms,
        detail=f"the books have it, {why}; due on {iso_day(movement.day)}",
    )


def _only(
    key: str, entry: BankEntry, ledgers: Mapping[str, int], span: BankSpan
) -> tuple[object, ...]:
    day = day_of(entry.day)
    late = (day + span.days + 1) * DAY_MS <= span.as_of_ms
    return _row(
        "bank_only",
        ledgers[entry.currency],
        None,
        entry.amount,
        differs=late,
        event_id=_shown(entry),
        position=key,
        time_ms=day * DAY_MS,
        detail=f"the bank’s statement has it, and the books do not: {entry.text[:TEXT_MAX]}",
    )


def _twice(entry: BankEntry, ledgers: Mapping[str, int]) -> tuple[object, ...]:
    return _row(
        "duplicate",
        ledgers[entry.currency],
        None,
        entry.amount,
        event_id=_shown(entry),
        position=_name(entry),
        time_ms=day_of(entry.day) * DAY_MS,
        detail="the bank’s statement has this reference twice, with the same day and amount; it"
        " counts once",
    )


def _unequal(
    tie: Tie, booked: Mapping[str, BookedMovement], entries: Mapping[str, BankEntry]
) -> tuple[object, ...]:
    """Entries that name a payout and come to another amount."""
    first = booked[tie.movements[0].key]
    texts = "; ".join(entries[one.key].text[:TEXT_MAX] for one in tie.entries)
    return _row(
        "amount_mismatch",
        tie.movements[0].ledger,
        sum(one.amount for one in tie.movements),
        sum(one.amount for one in tie.entries),
        event_id=first.about or first.event_id,
        leg=first.leg,
        transfer_id=first.movement.key,
        position=" ".join(one.key for one in tie.entries),
        time_ms=first.time_ms,
        detail=f"the bank names it and has another amount: {texts}",
    )
