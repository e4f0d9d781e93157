"""A rulebook in ADR-0015's text form as the tree that its YAML would have, with notes.

A `ledger` is an account on TigerBeetle ledger `ledger_id`, a `transaction` answers events of its
name, and a path starts at the event's object: `sale.amount` is `data.object.sale.amount`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.rulebooks.adr_accounts import AdrAccount, AdrAccounts
from worker.rulebooks.adr_fields import (
    RESOLVES,
    AdrFields,
    AdrFindings,
    AdrNote,
    YamlPath,
    new_block,
    new_listing,
    snake_case,
    text_scalar,
    whole_scalar,
)
from worker.rulebooks.adr_lines import AdrBlock, AdrValue, is_adr_text, read_blocks
from worker.rulebooks.fields import near
from worker.rulebooks.legs import LEG_FLAGS
from worker.rulebooks.sections import CODE_MAX
from worker.rulebooks.yaml_source import Block, Mistakes, Node, Scalar, read_text

TRANSACTION_KEYS: Final = (
    "execution", "priority", "idempotency_key", "intent", "timeout", "validation",
)  # fmt: skip
TRANSFER_REQUIRED: Final = ("debit", "credit", "amount", "code")
TRANSFER_OPTIONAL: Final = ("flags", "pending_id", "user_data")
PENDING: Final = "pending"
CRITICAL: Final = "critical"
PRIORITIES: Final = ("normal", "high", "low", CRITICAL)
EXECUTIONS: Final = ("async", "sync")


@dataclass(frozen=True, slots=True)
class AdrRulebook:
    """A text read as a rulebook.

    tree: as the YAML would have it.
    notes: in the order of the text.
    """

    tree: Block
    notes: list[AdrNote]


def read_adr(text: str, mistakes: Mistakes) -> AdrRulebook:
    """The rulebook that a text in this form says.

    Raises:
        UsageError: with all its mistakes, by file and line.
    """
    blocks = read_blocks(text, mistakes)
    findings = AdrFindings(mistakes)
    ledgers = [block for block in blocks if block.kind == "ledger"]
    rules = [block for block in blocks if block.kind == "transaction"]
    for kind, those in (("ledger", ledgers), ("transaction", rules)):
        if not those:
            mistakes.add(1, f"at least one {kind} is needed")
    accounts = AdrAccounts(findings)
    tree: dict[str, Node] = {"version": whole_scalar(1, 1)}
    declared = _named(ledgers, mistakes, accounts.read)
    tree["ledgers"] = new_block(1, accounts.ledgers())
    tree["accounts"] = new_block(1, declared)
    reader = _TransactionReader(accounts.by_name, findings)
    tree["transactions"] = new_block(1, _named(rules, mistakes, reader.read))
    mistakes.stop_if_any()
    return AdrRulebook(new_block(1, tree), sorted(findings.notes, key=lambda note: note.line))


def open_decisions(path: Path) -> list[AdrNote]:
    """What a person must decide about a file in this form; nothing where it is YAML."""
    mistakes = Mistakes(path)
    text = read_text(mistakes)
    notes = read_adr(text, mistakes).notes if is_adr_text(text) else []
    return [note for note in notes if note.decide]


def _named(
    blocks: list[AdrBlock], mistakes: Mistakes, read: Callable[[AdrBlock], Node]
) -> dict[str, Node]:
    """Blocks under their names in snake case, each name once."""
    found: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for block in blocks:
        name = snake_case(block.name)
        if name in lines:
            first = f"the name of {block.kind} {block.name} is taken, {name}, since line"
            mistakes.add(block.line, f"{first} {lines[name]}")
            continue
        lines[name] = block.line
        found[name] = read(block)
    return found


class _TransactionReader:
    """Reads transactions and their transfers.

    accounts: by the text's names.
    """

    def __init__(self, accounts: dict[str, AdrAccount], findings: AdrFindings) -> None:
        self._accounts = accounts
        self._findings = findings

    def read(self, block: AdrBlock) -> Node:
        """One block as its entry of `transactions:`."""
        path = ("transactions", snake_case(block.name))
        fields = AdrFields(block, path, self._findings, required=(), optional=TRANSACTION_KEYS)
        if block.title:
            fields.remark(block.title, block.line)
        if fields.text("intent"):
            fields.remark(fields.text("intent"), fields.line("intent"))
        if not block.transfers:
            fields.wrong(block.line, f"transaction {block.name} has no transfer")
        entries: dict[str, Node] = {"on": text_scalar(block.line, block.name)}
        if "validation" in block.entries:
            entries["when"] = _condition(fields, block.entries["validation"])
        if fields.value("execution"):
            entries["execution"] = fields.choice("execution", EXECUTIONS)
        if fields.value("priority"):
            entries["priority"] = _priority(fields)
        entries |= _identity(fields)
        currencies = {self._currency(transfer) for transfer in block.transfers}
        if len(currencies) == 1:
            entries["currency"] = text_scalar(block.line, *currencies)
        entries["transfers"] = self._transfers(block, path, shared=len(currencies) == 1)
        return new_block(block.line, entries)

    def _transfers(self, block: AdrBlock, path: YamlPath, *, shared: bool) -> Node:
        def read(transfer: AdrBlock) -> Node:
            at = (*path, "transfers", snake_case(transfer.name))
            return self._transfer(transfer, at, shared=shared)

        return new_block(block.line, _named(block.transfers, self._findings.mistakes, read))

    def _transfer(self, block: AdrBlock, path: YamlPath, *, shared: bool) -> Node:
        """shared: the transaction has one currency for all."""
        fields = AdrFields(
            block, path, self._findings, required=TRANSFER_REQUIRED, optional=TRANSFER_OPTIONAL
        )
        if "pending_id" in block.entries:
            fields.wrong(fields.line("pending_id"), f"`pending_id`: {RESOLVES}")
        self._check_ledgers(fields)
        entries: dict[str, Node] = {
            side: self._side(side, fields) for side in ("debit", "credit") if fields.value(side)
        }
        if not shared:
            entries["currency"] = text_scalar(block.line, self._currency(block))
        if amount := fields.value("amount"):
            entries["amount"] = fields.expression("amount", amount)
        if code := fields.number("code", CODE_MAX):
            entries["code"] = code
        flags = fields.flags((*LEG_FLAGS, PENDING))
        if any(flag.text == PENDING for flag in flags):
            entries["pending"] = Scalar(fields.line("flags"), value=True, text="true")
        if others := [flag for flag in flags if flag.text != PENDING]:
            entries["flags"] = new_listing(others)
        return new_block(block.line, entries)

    def _side(self, side: str, fields: AdrFields) -> Node:
        name, line = fields.text(side), fields.line(side)
        account = self._accounts.get(name)
        if account is None:
            hint = near(name, self._accounts)
            fields.wrong(line, f"`{side}`: there is no ledger {name!r}{hint}")
        return text_scalar(line, account.name if account else "")

    def _sides(self, block: AdrBlock) -> list[AdrAccount]:
        """The accounts of a transfer that are known."""
        names = [block.entries.get(side, AdrValue(0, "")).text for side in ("debit", "credit")]
        return [self._accounts[name] for name in names if name in self._accounts]

    def _currency(self, transfer: AdrBlock) -> str:
        return next((side.currency for side in self._sides(transfer)), "")

    def _check_ledgers(self, fields: AdrFields) -> None:
        ledgers = {side.ledger for side in self._sides(fields.block)}
        if len(ledgers) > 1 and 0 not in ledgers:
            message = f"{fields.text('debit')} and {fields.text('credit')} are on two ledgers"
            fields.wrong(fields.line("credit"), f"{message}: a transfer has one")


def _identity(fields: AdrFields) -> dict[str, Node]:
    value = fields.value("idempotency_key")
    if value is None:
        message = "without an idempotency_key each event is a fact of its own"
        fields.decide(message, fields.block.line)
        return {}
    key = fields.expression("idempotency_key", value)
    message = "`created` is the event's second; where several events tell one fact, name a second"
    fields.decide(f"{message} of the fact, which never changes", value.line, "idempotency_time")
    return {"idempotency_key": key, "idempotency_time": text_scalar(value.line, "created")}


def _condition(fields: AdrFields, value: AdrValue) -> Scalar:
    """All rules of `validation` at once."""
    lines = value.lines or [(value.line, value.text)]
    rules = [AdrValue(line, text.removeprefix("-").strip()) for line, text in lines]
    parts = [fields.expression("when", rule).text for rule in rules if rule.text]
    if not parts:
        fields.wrong(value.line, "`validation` has no rule: write `- condition` below it")
    fields.decide("an event that fails this is a dead letter, `no_rule`", value.line, "when")
    together = parts if len(parts) == 1 else [f"({part})" for part in parts]
    return text_scalar(value.line, " and ".join(together))


def _priority(fields: AdrFields) -> Scalar:
    found = fields.choice("priority", PRIORITIES)
    if found.text != CRITICAL:
        return found
    fields.decide("`critical` is high here: nothing comes before that", found.line, "priority")
    return text_scalar(found.line, "high")
