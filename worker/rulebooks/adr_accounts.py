"""The `ledger` blocks of ADR-0015's text form: accounts, and the currencies that they are in."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from worker.rulebooks.adr_fields import (
    AdrFields,
    AdrFindings,
    AdrNote,
    new_block,
    new_listing,
    snake_case,
    text_scalar,
    whole_scalar,
)
from worker.rulebooks.adr_lines import AdrBlock
from worker.rulebooks.sections import ACCOUNT_FLAGS, CODE_MAX, LEDGER_MAX
from worker.rulebooks.yaml_source import Node, Scalar

REQUIRED: Final = ("account_code", "ledger_id", "account_type", "currency")
OPTIONAL: Final = ("flags", "sync_to", "intent", "tenant_scoped", "metadata_mapping")
TYPES: Final = ("asset", "liability", "equity", "revenue", "expense", "income")

ZERO_DECIMAL: Final = (
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
)  # fmt: skip
THREE_DECIMAL: Final = ("bhd", "jod", "kwd", "omr", "tnd")
"""Stripe's scale, as in the packaged rulebook; every other currency has two digits."""

CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
SYNC_TO: Final = re.compile(r"([A-Za-z]\w*)\.([A-Za-z]\w*)", re.ASCII)


class AdrAccount(NamedTuple):
    """An account as transfers find it.

    ledger: its ledger_id, 0 where that is a mistake.
    """

    name: str
    currency: str
    ledger: int
    line: int


class AdrAccounts:
    """All accounts by the name that the text gives them."""

    def __init__(self, findings: AdrFindings) -> None:
        self.by_name: dict[str, AdrAccount] = {}
        self._findings = findings
        self._ledgers: dict[str, AdrAccount] = {}
        self._owners: dict[int, AdrAccount] = {}
        self._codes: dict[int, str] = {}

    def read(self, block: AdrBlock) -> Node:
        """One block as its entry of `accounts:`."""
        path = ("accounts", snake_case(block.name))
        fields = AdrFields(block, path, self._findings, required=REQUIRED, optional=OPTIONAL)
        if fields.text("intent"):
            fields.remark(fields.text("intent"), fields.line("intent"))
        self._declare(fields)
        entries: dict[str, Node] = {}
        if block.title:
            entries["title"] = text_scalar(block.line, block.title)
        entries["code"] = self._code(fields)
        entries["type"] = _type(fields)
        if flags := fields.flags(tuple(ACCOUNT_FLAGS)):
            entries["flags"] = new_listing(flags)
        if fields.value("sync_to"):
            entries["sync_to"] = _sync_to(fields)
        return new_block(block.line, entries)

    def ledgers(self) -> dict[str, Node]:
        """The entries of `ledgers:`, one per currency."""
        found: dict[str, Node] = {}
        for currency, account in self._ledgers.items():
            scale = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
            numbers = {"id": account.ledger, "scale": scale}
            found[currency] = new_block(
                account.line,
                {key: whole_scalar(account.line, number) for key, number in numbers.items()},
            )
            message = f"scale {scale} (digits after the point) is what {currency} has at Stripe"
            path = ("ledgers", currency)
            self._findings.notes.append(AdrNote(path, account.line, message, decide=True))
        return found

    def _code(self, fields: AdrFields) -> Scalar:
        code = fields.number("account_code", CODE_MAX) or whole_scalar(fields.block.line, 0)
        number = int(code.text)
        owner = self._codes.setdefault(number, fields.block.name)
        if number and owner != fields.block.name:
            message = f"account_code {number} is already {owner}'s, and says which account this is"
            fields.wrong(code.line, message)
        return code

    def _declare(self, fields: AdrFields) -> None:
        """One currency for a ledger_id, and one ledger_id for a currency."""
        currency, line = fields.text("currency").lower(), fields.line("currency")
        if currency and not CURRENCY.fullmatch(currency):
            fields.wrong(line, "`currency` is three letters, as in ISO 4217: GBP")
            currency = ""
        number = fields.number("ledger_id", LEDGER_MAX)
        ledger = int(number.text) if number else 0
        account = AdrAccount(fields.path[-1], currency, ledger, line)
        self.by_name[fields.block.name] = account
        if not currency or not ledger:
            return
        owner = self._owners.setdefault(ledger, account)
        if owner.currency != currency:
            fields.wrong(line, f"ledger {ledger} is in {owner.currency}, since line {owner.line}")
            return
        known = self._ledgers.setdefault(currency, account)
        if known.ledger != ledger:
            message = f"{currency} is on ledger {known.ledger}, since line {known.line}: this"
            fields.wrong(fields.line("ledger_id"), f"{message} worker has one ledger per currency")


def _type(fields: AdrFields) -> Scalar:
    found = fields.choice("account_type", TYPES)
    if found.text != "income":
        return found
    fields.remark("`income` is called revenue here", found.line, "type")
    return text_scalar(found.line, "revenue")


def _sync_to(fields: AdrFields) -> Scalar:
    line = fields.line("sync_to")
    found = SYNC_TO.fullmatch(fields.text("sync_to"))
    if found is None:
        fields.wrong(line, "`sync_to` is an entity and a field: Customer.balance_cache")
        return text_scalar(line, "")
    table, column = snake_case(found[1]), snake_case(found[2])
    fields.decide(f"is the table called {table}, and its column {column}?", line, "sync_to")
    fields.decide("one account; with `per:` and keys in its transfers, one per customer", line)
    return text_scalar(line, f"{table}.{column}")
