"""Bank statements as rows of minor units, understood whole or refused: CAMT.053 and CSV.

CAMT.053 is ISO 20022's BankToCustomerStatement; every version from 001.02 on has the elements that
are read here. An entry's sign is its `CdtDbtInd`, for a reversal too: `RvslInd` only says that it
undoes an earlier entry. Entries that are not booked (`Sts`) are left out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from worker.core.errors import UsageError
from worker.core.money import major_units
from worker.core.optional import optional_packages
from worker.core.rulebook import Rulebook
from worker.jobs.reconcile.stripe_report import reported_amount

OTHER_MESSAGES: Final[Mapping[str, str]] = {
    "BkToCstmrAcctRpt": "an intraday report (camt.052)",
    "BkToCstmrDbtCdtNtfctn": "a notification (camt.054)",
}
NOT_PROVIDED: Final = "NOTPROVIDED"
"""What banks write where a reference must be and none is."""

OPENING: Final = ("OPBD", "PRCD")
CLOSING: Final = "CLBD"
BOOKED: Final = "BOOK"
CSV_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "day": ("date", "booking_date", "value_date"),
    "amount": ("amount",),
    "currency": ("currency",),
    "reference": ("reference", "id", "transaction_id"),
    "text": ("description", "text", "details"),
    "account": ("account", "iban"),
}
"""What a CSV statement has, and what its columns may be called; the first that it has counts."""

OPTIONAL: Final = frozenset({"reference", "text", "account"})


class BankEntry(NamedTuple):
    """One booked entry of a bank statement.

    statement: which of a file, from 1. number: the entry in its file, from 1.
    amount: minor units, positive where money came in.
    day: booked, ISO 8601.
    reference: the bank's own of the entry; empty where it gives none.
    text: every reference and remark of the entry, spaces between.
    is_reversal: it undoes an earlier entry.
    """

    file: str
    statement: int
    number: int
    account: str
    currency: str
    amount: int
    day: str
    reference: str
    text: str
    is_reversal: bool


class StatementHead(NamedTuple):
    """What a statement says of itself; amounts in minor units.

    first, last: the days that it covers, ISO 8601.
    opening, closing: None where it does not say.
    """

    file: str
    statement: int
    account: str
    currency: str
    first: str
    last: str
    opening: int | None
    closing: int | None


class BankFile(NamedTuple):
    """A file's statements and its booked entries; pending: how many others it has."""

    heads: list[StatementHead]
    entries: list[BankEntry]
    pending: int


def read_bank(path: Path, rulebook: Rulebook) -> BankFile:
    """The booked entries of a CAMT.053 or CSV file.

    Raises:
        UsageError: the file cannot be read, is no statement, or its sums do not add up.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--bank {path} cannot be read: {error.strerror}") from None
    if content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return _Camt(path, rulebook).read(content)
    return _read_csv(path, content, rulebook)


class _Camt:
    """One CAMT.053 file being read."""

    def __init__(self, path: Path, rulebook: Rulebook) -> None:
        self._path = path
        self._rulebook = rulebook
        self._found = BankFile([], [], 0)
        self._pending = 0
        self._numbers = count(1)

    def read(self, content: bytes) -> BankFile:
        """Every statement of the file; declarations of types and entities are refused."""
        with optional_packages("a bank statement in XML", extra="reconcile"):
            from defusedxml import DefusedXmlException  # noqa: PLC0415 - optional
            from defusedxml.ElementTree import iterparse  # noqa: PLC0415 - optional
        try:
            for _, element in iterparse(io.BytesIO(content), events=("end",), forbid_dtd=True):
                self._element(element)
        except DefusedXmlException:
            raise self._refused("it declares entities or a document type") from None
        except ParseError as error:
            raise self._refused(f"it is no whole XML ({error}); is it cut short?") from None
        if not self._found.heads:
            raise self._refused("it has no statement: it is no CAMT.053")
        return self._found._replace(pending=self._pending)

    def _element(self, element: Element) -> None:
        name = element.tag.rpartition("}")[2]
        if other := OTHER_MESSAGES.get(name):
            raise self._refused(f"it is {other}, and no statement (camt.053)")
        if name == "Stmt":
            self._statement(element)
            element.clear()

    def _statement(self, statement: Element) -> None:
        number = len(self._found.heads) + 1
        account = _text(statement, "Acct/Id/IBAN") or _text(statement, "Acct/Id/Othr/Id")
        currency = _text(statement, "Acct/Ccy").lower()
        balances = dict(self._balances(statement))
        entries = []
        for element in statement.iterfind("{*}Ntry"):
            entry = self._entry(element, number, account)
            if entry is None:
                self._pending += 1
                continue
            entries.append(entry)
        currencies = {entry.currency for entry in entries} | {
            name for _, name, _ in balances.values()
        }
        if len(currencies | ({currency} - {""})) > 1:
            raise self._refused(
                f"statement {number} has several currencies: {', '.join(sorted(currencies))}"
            )
        currency = currency or next(iter(currencies), "")
        opening = next((balances[kind][0] for kind in OPENING if kind in balances), None)
        closing = balances[CLOSING][0] if CLOSING in balances else None
        self._require_sum(number, currency, opening, closing, sum(one.amount for one in entries))
        days = [one.day for one in entries] + [day for _, _, day in balances.values()]
        first = _text(statement, "FrToDt/FrDtTm")[:10] or min(days, default="")
        last = _text(statement, "FrToDt/ToDtTm")[:10] or max(days, default="")
        self._found.heads.append(
            StatementHead(self._path.name, number, account, currency, first, last, opening, closing)
        )
        self._found.entries.extend(entries)

    def _require_sum(
        self, number: int, currency: str, opening: int | None, closing: int | None, moved: int
    ) -> None:
        if opening is None or closing is None or opening + moved == closing:
            return
        scale = self._rulebook.ledgers[currency].scale
        shown = [major_units(amount, scale) for amount in (opening, moved, closing)]
        raise self._refused(
            f"statement {number} opens with {shown[0]}, its entries come to {shown[1]}, and it"
            f" closes with {shown[2]}; is it cut short?"
        )

    def _balances(self, statement: Element) -> Iterator[tuple[str, tuple[int, str, str]]]:
        """Kind of balance to amount, currency and day."""
        for element in statement.iterfind("{*}Bal"):
            kind = _text(element, "Tp/CdOrPrtry/Cd")
            amount, currency = self._amount(element, f"the balance {kind}")
            yield kind, (amount, currency, _day(element, "Dt"))

    def _entry(self, element: Element, statement: int, account: str) -> BankEntry | None:
        """An entry; None where it is not booked."""
        number = next(self._numbers)
        status = _text(element, "Sts/Cd") or _text(element, "Sts")
        if status and status != BOOKED:
            return None
        amount, currency = self._amount(element, f"entry {number}")
        day = _day(element, "BookgDt") or _day(element, "ValDt")
        if not _is_day(day):
            raise self._refused(f"entry {number} has no booking date")
        reference = _text(element, "AcctSvcrRef") or _text(element, "NtryRef")
        return BankEntry(
            file=self._path.name,
            statement=statement,
            number=number,
            account=account,
            currency=currency,
            amount=amount,
            day=day,
            reference=reference,
            text=" ".join(" ".join(_texts(element)).split()),
            is_reversal=_text(element, "RvslInd") in {"true", "1"},
        )

    def _amount(self, element: Element, what: str) -> tuple[int, str]:
        found = element.find("{*}Amt")
        currency = "" if found is None else found.get("Ccy", "").lower()
        declared = self._rulebook.ledgers.get(currency)
        if declared is None:
            raise self._refused(f"{what}: the rulebook has no currency {currency.upper()!r}")
        amount = reported_amount(
            ((found.text if found is not None else "") or "").strip(), declared.scale
        )
        side = _text(element, "CdtDbtInd")
        if amount is None or amount < 0 or side not in {"CRDT", "DBIT"}:
            raise self._refused(f"{what} is no amount of {currency} with CRDT or DBIT")
        return (amount if side == "CRDT" else -amount), currency

    def _refused(self, why: str) -> UsageError:
        return UsageError(f"--bank {self._path}: {why}")


REFERENCES: Final = frozenset(
    {"NtryRef", "AcctSvcrRef", "EndToEndId", "InstrId", "TxId", "MsgId", "PmtInfId", "UETR"}
    | {"Ustrd", "Ref", "AddtlTxInf", "AddtlNtryInf", "AddtlRmtInf", "Prtry", "ChqNb"}
)
"""The elements of an entry that may name a payout."""


def _texts(entry: Element) -> Iterator[str]:
    for element in entry.iter():
        if element.tag.rpartition("}")[2] in REFERENCES and element.text not in {
            None,
            NOT_PROVIDED,
        }:
            yield element.text or ""


def _text(element: Element, path: str) -> str:
    """The text at a path, in whatever version's namespace; empty where there is none."""
    found = element.findtext("/".join(f"{{*}}{name}" for name in path.split("/")))
    return (found or "").strip()


def _day(element: Element, name: str) -> str:
    return _text(element, f"{name}/Dt") or _text(element, f"{name}/DtTm")[:10]


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text))


def _read_csv(path: Path, content: bytes, rulebook: Rulebook) -> BankFile:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"--bank {path} is no statement: it is neither XML nor UTF-8") from None
    if not text.endswith("\n"):
        raise UsageError(f"--bank {path} does not end with a whole line: is it cut short?")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = _csv_columns(path, next(rows, []))
        entries = [
            _csv_entry(path, number, rows.line_num, fields, columns, rulebook)
            for number, fields in enumerate(rows, 1)
        ]
    except csv.Error as error:
        raise UsageError(f"--bank {path}, line {rows.line_num}: {error}") from None
    if not entries:
        raise UsageError(f"--bank {path} has a heading and no entries")
    return BankFile(_csv_heads(path, entries), entries, 0)


def _csv_columns(path: Path, heading: list[str]) -> dict[str, int]:
    titles = [title.strip().lower().replace(" ", "_") for title in heading]
    columns = {"": len(heading)}
    for name, known in CSV_COLUMNS.items():
        found = next((title for title in known if title in titles), None)
        if found is not None:
            columns[name] = titles.index(found)
        elif name not in OPTIONAL:
            raise UsageError(
                f"--bank {path} is no bank statement that is known: it is no CAMT.053, and has no"
                f" column {' or '.join(known)}"
            )
    return columns


def _csv_entry(  # noqa: PLR0913, PLR0917 - where it is, and what it says
    path: Path,
    number: int,
    line: int,
    fields: list[str],
    columns: Mapping[str, int],
    rulebook: Rulebook,
) -> BankEntry:
    if len(fields) != columns[""]:
        raise UsageError(
            f"--bank {path}, line {line}: {len(fields)} fields where the heading has {columns['']}"
        )
    found: dict[str, Any] = {name: fields[at].strip() for name, at in columns.items() if name}
    declared = rulebook.ledgers.get(found["currency"].lower())
    if declared is None:
        raise UsageError(
            f"--bank {path}, line {line}: the rulebook has no currency {found['currency']!r}"
        )
    amount = reported_amount(found["amount"], declared.scale)
    if amount is None:
        raise UsageError(
            f"--bank {path}, line {line}: {found['amount']!r} is no amount of {declared.name}, as"
            " -1234.56"
        )
    if not _is_day(found["day"]):
        raise UsageError(f"--bank {path}, line {line}: {found['day']!r} is no date like 2026-01-31")
    reference = found.get("reference", "")
    return BankEntry(
        file=path.name,
        statement=1,
        number=number,
        account=found.get("account", ""),
        currency=declared.name,
        amount=amount,
        day=found["day"],
        reference=reference,
        text=f"{reference} {found.get('text', '')}".strip(),
        is_reversal=False,
    )


def _csv_heads(path: Path, entries: list[BankEntry]) -> list[StatementHead]:
    """One for each account and currency; a CSV file says no balances."""
    days: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        days.setdefault((entry.account, entry.currency), []).append(entry.day)
    return [
        StatementHead(path.name, 1, account, currency, min(of_it), max(of_it), None, None)
        for (account, currency), of_it in sorted(days.items())
    ]
