"""A journal file's entries, read from CSV and checked against a rulebook, line by line.

    entry,account,key,currency,debit,credit,reason,requested_by,approved_by,date
    je_1,bank,,usd,100.00,,Opening balances,Ada Lovelace,Grace Hopper,2026-01-01
    je_1,customer_wallet,cus_ann,usd,,100.00,,,,

The lines of an entry are consecutive. Its reason, names and date are on its first line, and on
others only if they are the same.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from worker.core.account_ids import key_problem
from worker.core.event import CREATED_MAX
from worker.core.money import BadAmount, Currency, major_units, minor_units
from worker.core.rulebook import Rulebook, Side

COLUMNS: Final = (
    "entry", "account", "key", "currency", "debit", "credit", "reason", "requested_by",
    "approved_by", "date",
)  # fmt: skip
OF_THE_ENTRY: Final = ("reason", "requested_by", "approved_by", "date")
ID_BYTES_MAX: Final = 200
LINES_MAX: Final = 8_189
"""Lines of an entry: the ledger takes so many transfers in one request."""
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an entry.

    amount: minor units.
    number: of the line in the file.
    """

    number: int
    account: str
    key: str
    currency: Currency
    side: Side
    amount: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    created: seconds, the accounting date.
    number: of its first line in the file.
    """

    number: int
    id: str
    reason: str
    requested_by: str
    approved_by: str
    created: int
    lines: tuple[Line, ...]


@dataclass(slots=True)
class JournalFile:
    """What a file says.

    mistakes: line number and sentence of each; then nothing may be sent.
    """

    entries: list[Entry] = field(default_factory=list)
    mistakes: list[tuple[int, str]] = field(default_factory=list)


def read_journal(text: str, rulebook: Rulebook) -> JournalFile:
    """Every entry of a CSV text, and every mistake with its line."""
    found = JournalFile()
    rows = _rows(text, found)
    reader = _EntryReader(rulebook, found)
    seen: dict[str, int] = {}
    for group in _groups(rows):
        number, first = group[0]
        name = first["entry"]
        if name in seen:
            found.mistakes.append((number, f"entry {name!r} began on line {seen[name]} already"))
        seen.setdefault(name, number)
        entry = reader.entry(group)
        if entry is not None:
            found.entries.append(entry)
    if not rows and not found.mistakes:
        found.mistakes.append((1, "the file has no entries"))
    found.mistakes.sort()
    return found


def _rows(text: str, found: JournalFile) -> list[tuple[int, dict[str, str]]]:
    """The file's rows by column, each with the line that it begins on."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    header: list[str] = []
    begins = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                pass
            elif not header:
                header = stripped
                if problem := _header_problem(header):
                    found.mistakes.append((begins, problem))
                    return []
            elif len(stripped) != len(header):
                message = f"has {len(stripped)} cells, the first line has {len(header)}"
                found.mistakes.append((begins, message))
            else:
                rows.append((begins, dict(zip(header, stripped, strict=True))))
            begins = reader.line_num + 1
    except csv.Error as error:
        found.mistakes.append((begins, f"is no CSV: {error}"))
    return rows


def _header_problem(header: Sequence[str]) -> str:
    if len(header) == 1 and ";" in header[0]:
        return "the columns are parted by semicolons: write commas"
    for name in COLUMNS:
        if header.count(name) != 1:
            return f"the first line must name each column once: {','.join(COLUMNS)}; see {name!r}"
    unknown = [name for name in header if name not in COLUMNS]
    return f"there is no column {unknown[0]!r}, only {','.join(COLUMNS)}" if unknown else ""


def _groups(
    rows: Sequence[tuple[int, dict[str, str]]],
) -> Iterator[list[tuple[int, dict[str, str]]]]:
    """The consecutive rows of each entry."""
    group: list[tuple[int, dict[str, str]]] = []
    for row in rows:
        if group and group[0][1]["entry"] != row[1]["entry"]:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


class _EntryReader:
    """Makes entries of rows; notes what is wrong, and reads on."""

    def __init__(self, rulebook: Rulebook, found: JournalFile) -> None:
        self._rulebook = rulebook
        self._found = found

    def entry(self, group: Sequence[tuple[int, dict[str, str]]]) -> Entry | None:
        """One entry; None where something is wrong with it."""
        before = len(self._found.mistakes)
        number, first = group[0]
        lines = [line for at, row in group if (line := self._line(at, row)) is not None]
        said = {name: self._said(group, name) for name in OF_THE_ENTRY}
        created = self._seconds(number, said["date"])
        for problem in (_id_problem(first["entry"]), _names_problem(said)):
            if problem:
                self._wrong(number, problem)
        if len(group) == 1:
            self._wrong(number, "an entry has two lines at least")
        if len(group) > LINES_MAX:
            self._wrong(number, f"an entry has {LINES_MAX} lines at most: the ledger takes no more")
        if len(lines) == len(group):
            self._balance(number, lines)
        if len(self._found.mistakes) > before:
            return None
        return Entry(
            number, first["entry"], said["reason"], said["requested_by"], said["approved_by"],
            created, tuple(lines),
        )  # fmt: skip

    def _wrong(self, number: int, problem: str) -> None:
        self._found.mistakes.append((number, problem))

    def _said(self, group: Sequence[tuple[int, dict[str, str]]], name: str) -> str:
        """What the entry's first line says in a column; other lines may repeat it."""
        first = group[0][1][name]
        if not first:
            self._wrong(group[0][0], f"`{name}` is missing: the entry's first line says it")
        for number, row in group[1:]:
            if row[name] not in {"", first}:
                self._wrong(number, f"`{name}` is another than on the entry's first line")
        return first

    def _seconds(self, number: int, text: str) -> int:
        try:
            if DATE.fullmatch(text):
                found = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
                if 0 <= found <= CREATED_MAX:
                    return int(found)
        except ValueError:
            pass  # a date that the calendar does not have is told like any other
        if text:
            self._wrong(number, "`date` must be 2026-01-31 (UTC), or 2026-01-31T23:59:59Z")
        return 0

    def _line(self, number: int, row: dict[str, str]) -> Line | None:
        problem = self._account_problem(row["account"], row["key"])
        currency = self._rulebook.ledgers.get(row["currency"].lower())
        if problem:
            self._wrong(number, problem)
        if currency is None:
            self._wrong(number, f"`currency`: there is no ledger {row['currency']!r}")
            return None
        side, amount = self._money(number, row, currency)
        if problem or not amount:
            return None
        return Line(number, row["account"], row["key"], currency, side, amount)

    def _account_problem(self, name: str, key: str) -> str:
        account = self._rulebook.accounts.get(name)
        if account is None:
            return f"`account`: the rulebook declares no account {name!r}"
        if account.type == "memo":
            return f"`account`: {name} is a control account: no entry names it"
        if account.per and not key:
            return f"`key` is missing: {name} is a family, per {account.per}"
        if key and not account.per:
            return f"`key`: {name} is one account, without keys"
        return f"`key` {key_problem(key)}" if key and key_problem(key) else ""

    def _money(self, number: int, row: dict[str, str], currency: Currency) -> tuple[Side, int]:
        """Side and amount of a line; an amount of 0 where something is wrong."""
        given: list[Side] = [side for side in ("debit", "credit") if row[side]]
        if len(given) != 1:
            self._wrong(number, "a line has either a `debit` or a `credit`")
            return "debit", 0
        side = given[0]
        try:
            amount = minor_units(row[side], currency.scale)
        except BadAmount as problem:
            self._wrong(number, f"`{side}` {problem}")
            return side, 0
        if not amount:
            self._wrong(number, f"`{side}` is 0")
        return side, amount

    def _balance(self, number: int, lines: Sequence[Line]) -> None:
        """Debits equal credits in each currency."""
        for currency in {line.currency: None for line in lines}:
            debits, credits_ = (
                sum(each.amount for each in lines if (each.currency, each.side) == (currency, side))
                for side in ("debit", "credit")
            )
            if debits != credits_:
                shown = [major_units(each, currency.scale) for each in (debits, credits_)]
                message = f"debits {shown[0]}, credits {shown[1]}: they must be equal"
                self._wrong(number, f"the entry does not balance in {currency.name}: {message}")


def _id_problem(name: str) -> str:
    if not name:
        return "`entry` is missing: an entry has a name of its own, for ever"
    if problem := key_problem(name):
        return f"`entry` {problem}"
    return (
        f"`entry` takes more than {ID_BYTES_MAX} bytes" if len(name.encode()) > ID_BYTES_MAX else ""
    )


def _names_problem(said: dict[str, str]) -> str:
    names = [" ".join(said[name].split()).casefold() for name in ("requested_by", "approved_by")]
    if all(names) and names[0] == names[1]:
        return "`requested_by` and `approved_by` are one person: another must approve it"
    return ""
