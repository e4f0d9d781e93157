"""What is odd about a valid rulebook: warnings for `check`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from worker.core.compiled_rules import FOREVER
from worker.core.matching import carries, matches
from worker.core.rulebook import (
    CONTROL,
    AccountUse,
    KnownUse,
    LegRule,
    OriginUse,
    Rulebook,
    Transaction,
    Use,
)
from worker.rulebooks.clearing import never_balanced


class RuleWarning(NamedTuple):
    """One warning.

    line: in the rulebook's file.
    """

    line: int
    message: str


def find_warnings(rulebook: Rulebook) -> list[RuleWarning]:
    """Every warning, in the file's order."""
    found = [
        *_overlaps(rulebook),
        *_not_carried(rulebook),
        *_ignored_in_vain(rulebook),
        *_accounts(rulebook),
        *(RuleWarning(line, message) for line, message in never_balanced(rulebook)),
    ]
    return sorted(found)


def _overlaps(rulebook: Rulebook) -> Iterator[RuleWarning]:
    for first, second in combinations(rulebook.transactions, 2):
        shared = _shared(first.on, second.on)
        if not shared or not _same_time(first, second):
            continue
        if _covers(first, second):
            message = f"{second.name} is never reached: {first.name} takes all its events before it"
            yield RuleWarning(second.line, f"transaction {message}")
        elif first.when is None:
            message = f"takes {shared} before {second.name}, whatever that asks for"
            yield RuleWarning(first.line, f"transaction {first.name} {message}: it has no `when`")


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> str:
    """A type or glob that both lists name; empty when there is none to be seen."""
    for glob in first:
        for other in second:
            if matches(other, (glob,)) or matches(glob, (other,)):
                return other if matches(other, (glob,)) else glob
    return ""


def _same_time(first: Transaction, second: Transaction) -> bool:
    return _start(first) < _end(second) and _start(second) < _end(first)


def _covers(first: Transaction, second: Transaction) -> bool:
    """Whether the first takes everything that the second would."""
    same_when = second.when is not None and (
        first.when is not None
        and first.when.text.split() == second.when.text.split()
        and _let_words(first) == _let_words(second)
    )
    return (
        (first.when is None or same_when)
        and all(matches(each, first.on) for each in second.on)
        and _start(first) <= _start(second)
        and _end(first) >= _end(second)
    )


def _let_words(rule: Transaction) -> list[list[str]]:
    return [[let.name, *let.value.text.split()] for let in rule.lets]


def _start(rule: Transaction) -> int:
    return -1 if rule.start is None else rule.start


def _end(rule: Transaction) -> int:
    return FOREVER if rule.end is None else rule.end


def _not_carried(rulebook: Rulebook) -> Iterator[RuleWarning]:
    topics = rulebook.topics.values()
    for rule in rulebook.transactions:
        for pattern in rule.on:
            if topics and "*" not in pattern and not any(carries(each, pattern) for each in topics):
                message = f"transaction {rule.name}: no listed topic may carry {pattern}"
                yield RuleWarning(rule.line, message)


def _ignored_in_vain(rulebook: Rulebook) -> Iterator[RuleWarning]:
    whole = [rule for rule in rulebook.transactions if rule.when is None and _start(rule) < 0]
    for number, entry in enumerate(rulebook.ignore):
        for rule in whole:
            if _end(rule) == FOREVER and matches(entry.pattern, rule.on):
                message = f"ignore {entry.pattern} is never reached: {rule.name} takes it before"
                yield RuleWarning(entry.line, message)
        for earlier in rulebook.ignore[:number]:
            if earlier.when is None and matches(entry.pattern, (earlier.pattern,)):
                message = f"ignore {entry.pattern}: {earlier.pattern} already ignores it"
                yield RuleWarning(entry.line, message)


def _accounts(rulebook: Rulebook) -> Iterator[RuleWarning]:
    used = {name for rule in rulebook.transactions for leg in rule.legs for name in _used_by(leg)}
    for account in rulebook.accounts.values():
        if account.name not in used and not account.reserved:
            yield RuleWarning(account.line, f"account {account.name} is never used")
        if account.name in used and account.reserved:
            yield RuleWarning(account.line, f"account {account.name} is used, though `reserved`")


def _used_by(leg: LegRule) -> Iterator[str]:
    for use in (leg.debit, leg.credit, leg.shortfall, leg.repay_first):
        yield from _named(use)
    if leg.suspense:
        yield leg.suspense.use.account.name
    if leg.total:
        yield leg.total.noted.account.name
    if leg.shortfall or leg.repay_first or leg.total:
        yield CONTROL


def _named(use: Use | None) -> Iterator[str]:
    if isinstance(use, AccountUse):
        yield use.account.name
        yield from _named(use.if_null)
    elif isinstance(use, KnownUse):
        for each in use.accounts:
            yield from _named(each)
    elif isinstance(use, OriginUse):
        yield from (each.name for each in (use.family,) if each)
        yield from _named(use.otherwise)
