"""Ledgers, topics, ignored types and accounts, read from a rulebook file."""

from __future__ import annotations

import re
from typing import Final, cast, get_args

from worker.core.money import Currency
from worker.core.rulebook import AccountType, DeclaredAccount, Ignore
from worker.core.topic_rule import Priority, TopicRule
from worker.core.wire import AccountFlags
from worker.rulebooks.envelopes import read_encoding, read_envelope
from worker.rulebooks.fields import GLOB, YamlMapping, check_name
from worker.rulebooks.yaml_source import Block, Listing, Mistakes, Scalar

CODE_MAX: Final = (1 << 16) - 1
LEDGER_MAX: Final = (1 << 32) - 1
SCALE_MAX: Final = 18
PRIORITIES: Final = ("normal", "high", "low")

LEDGER_KEYS: Final = ("id", "scale")
TOPIC_KEYS: Final = ("types", "priority", "envelope", "lenient", "encoding")
IGNORE_KEYS: Final = ("type", "when")
ACCOUNT_KEYS: Final = ("title", "code", "type", "per", "flags", "sync_to", "reserved", "clearing")
PASSES_THROUGH: Final = re.compile(r"(?<![a-z])(clearing|transit)(?![a-z])")
"""Words in an account's name or title that say, unless `clearing:` does, what it is for."""
ACCOUNT_FLAGS: Final = {
    "debits_must_not_exceed_credits": AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS,
    "credits_must_not_exceed_debits": AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS,
    "history": AccountFlags.HISTORY,
}
LIMITS: Final = int(
    AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS
)


def read_ledgers(book: YamlMapping) -> dict[str, Currency]:
    """`ledgers:`, by currency."""
    found: dict[str, Currency] = {}
    owners: dict[int, str] = {}
    for name, node, line in book.blocks("ledgers"):
        fields = YamlMapping(node, f"ledger {name}", book.mistakes, known=LEDGER_KEYS, line=line)
        check_name(name, line, "ledger", book.mistakes)
        fields.require(*LEDGER_KEYS)
        number = fields.whole("id", 1, LEDGER_MAX)
        if fields.has("id") and owners.setdefault(number, name) != name:
            fields.wrong("id", f"id {number} is already ledger {owners[number]}'s")
        found[name] = Currency(name, number, fields.whole("scale", 0, SCALE_MAX))
    if not found:
        book.wrong("ledgers", "at least one ledger is needed")
    return found


def read_topics(book: YamlMapping) -> dict[str, TopicRule]:
    """`topics:`, by role."""
    found = {}
    for role, node, line in book.blocks("topics"):
        fields = YamlMapping(node, f"topic {role}", book.mistakes, known=TOPIC_KEYS, line=line)
        types = fields.globs("types", exclusions=True) if fields.require("types") else ()
        if types and all(each.startswith("!") for each in types):
            fields.wrong("types", "something must be taken in before `!` takes it out")
        priority = cast("Priority", fields.choice("priority", PRIORITIES))
        shape = (read_envelope(fields), fields.flag("lenient"), read_encoding(fields))
        found[role] = TopicRule(role, types, priority, line, *shape)
    return found


def read_ignore(book: YamlMapping) -> tuple[Ignore, ...]:
    """`ignore:`, in file order."""
    node = book.node("ignore")
    if node is None:
        return ()
    if not isinstance(node, Listing):
        book.wrong("ignore", "`ignore` must be a list")
        return ()
    found = []
    for item in node.items:
        if isinstance(item, Block):
            fields = YamlMapping(item, "ignore", book.mistakes, known=IGNORE_KEYS)
            fields.require("type")
            pattern = fields.text("type")
            when = fields.expression("when", condition=True)
        else:
            pattern = item.text if isinstance(item, Scalar) else ""
            when = None
        if not GLOB.fullmatch(pattern):
            book.mistakes.add(item.line, f"ignore: {pattern!r} is no event type or glob")
        found.append(Ignore(pattern, when, item.line))
    return tuple(found)


def read_accounts(book: YamlMapping) -> dict[str, DeclaredAccount]:
    """`accounts:`, by name."""
    found: dict[str, DeclaredAccount] = {}
    owners: dict[int, str] = {}
    for name, node, line in book.blocks("accounts"):
        fields = YamlMapping(node, f"account {name}", book.mistakes, known=ACCOUNT_KEYS, line=line)
        check_name(name, line, "account", book.mistakes)
        account = _account(name, fields)
        if fields.has("code") and owners.setdefault(account.code, name) != name:
            fields.wrong("code", f"code {account.code} is already account {owners[account.code]}'s")
        found[name] = account
    if not found:
        book.wrong("accounts", "at least one account is needed")
    return found


def _account(name: str, fields: YamlMapping) -> DeclaredAccount:
    fields.require("code", "type")
    flags = 0
    for word in fields.names("flags", tuple(ACCOUNT_FLAGS)):
        flags |= int(ACCOUNT_FLAGS[word])
    if flags & LIMITS == LIMITS:
        fields.wrong("flags", "an account cannot be limited on both sides")
    return DeclaredAccount(
        name=name,
        title=fields.text("title") or name,
        code=fields.whole("code", 1, CODE_MAX),
        type=_type(fields),
        per=fields.text("per"),
        flags=flags,
        sync_to=_sync_to(fields),
        reserved=fields.flag("reserved"),
        clearing=_clearing(name, fields),
        line=fields.here,
    )


def _type(fields: YamlMapping) -> AccountType:
    if fields.text("type") == "income":
        fields.wrong("type", "`type: income` is not a word of the rulebook: write `type: revenue`")
        return "revenue"
    return cast("AccountType", fields.choice("type", get_args(AccountType)))


def _clearing(name: str, fields: YamlMapping) -> bool:
    if fields.has("clearing"):
        return fields.flag("clearing")
    words = f"{name} {fields.text('title')}".lower()
    return PASSES_THROUGH.search(words) is not None


def _sync_to(fields: YamlMapping) -> str:
    target = fields.text("sync_to")
    if target and target.count(".") != 1:
        fields.wrong("sync_to", "`sync_to` is a table and a column: customers.balance_cache")
    return target


def new_fields(tree: Block, mistakes: Mistakes) -> YamlMapping:
    """The top of the file."""
    known = ("version", "ledgers", "topics", "ignore", "accounts", "transactions")
    book = YamlMapping(tree, "rulebook", mistakes, known=known)
    book.require("version")
    version = tree.entries.get("version")
    if version is not None and not (isinstance(version, Scalar) and version.value == 1):
        book.wrong("version", "this worker reads version 1")
    return book
