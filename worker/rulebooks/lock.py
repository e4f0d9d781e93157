"""`rulebook.lock`: what was in force, since when, and who approved it.

A rulebook that passes books every past event as the locked one did: the same ids, the same money.
A rule may end, and its successor begin, only from a day after the lock's date on, so that a rolling
deploy is over before the old and the new rule could book one event differently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from worker.core.errors import UsageError
from worker.core.matching import matches
from worker.core.rulebook import DeclaredAccount, Predecessor, Rulebook, Transaction

LOCK: Final = "rulebook.lock"
VERSION: Final = 2
UNSEALED: Final = 1
"""The version before locks had a checksum."""
NO_MONEY: Final = frozenset({"line", "alert", "missing"})
"""What a rule says that changes neither ids nor money: no part of its digest."""
NOTICE_SECONDS: Final = 24 * 3600
"""How long after the lock's date a change may begin."""


ADDED: Final = frozenset({"require", "lets", "if_null", "total", "more"})
"""Parts that rules did not always have: not said where they are empty, so that old locks fit."""


class Changed(NamedTuple):
    """One change that the lock does not allow.

    line: in the rulebook's file.
    """

    line: int
    message: str


class Lock(NamedTuple):
    """A lock as it was written.

    date: whole seconds since 1970.
    """

    digest: str
    date: int
    approver: str
    ledgers: Mapping[str, Any]
    accounts: Mapping[str, Any]
    ignore: tuple[str, ...]
    transactions: Mapping[str, Any]
    """By name, in matching order."""


def lock_path(rulebook: Path) -> Path:
    """The path of a rulebook's lock: beside it."""
    return rulebook.with_name(LOCK)


def read_lock(path: Path) -> Lock | None:
    """The lock, None where there is none.

    Raises:
        UsageError: the file cannot be read, or was changed by hand.
    """
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        checksum = document.pop("checksum", "")
        date = int(datetime.fromisoformat(document["date"]).timestamp())
        ignore = tuple(document["ignore"])
        parts = (document["ledgers"], document["accounts"], ignore, document["transactions"])
        lock = Lock(document["digest"], date, document["approver"], *parts)
        version = document["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: this is no rulebook lock: {error!r}") from error
    if version not in (UNSEALED, VERSION):
        raise UsageError(f"{path}: version {version} is not one that this worker reads")
    if (checksum or version == VERSION) and checksum != _checksum(document):
        message = "was changed after it was written: bring back what was approved"
        raise UsageError(f"{path}: {message}, or approve it anew with check --lock")
    return lock


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def lock_text(rulebook: Rulebook, *, date: int, approver: str) -> str:
    """The lock of a rulebook, as its file holds it. date: whole seconds since 1970."""
    content: dict[str, Any] = {
        "version": VERSION,
        "digest": rulebook.digest,
        "date": datetime.fromtimestamp(date, UTC).isoformat().replace("+00:00", "Z"),
        "approver": approver,
        "ledgers": {each.name: [each.ledger, each.scale] for each in rulebook.ledgers.values()},
        "accounts": {each.name: _account(each) for each in rulebook.accounts.values()},
        "ignore": [_ignored(each.pattern, each.when) for each in rulebook.ignore],
        "transactions": {rule.name: _rule(rule) for rule in rulebook.transactions},
    }
    content["checksum"] = _checksum(content)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def approved(path: Path, rulebook: Rulebook, *, accept_unlocked: bool) -> Lock | None:
    """The lock beside a rulebook that may be run; None where there is none.

    accept_unlocked: also what changed since the lock was written, as long as it books the past as
    it was booked.

    Raises:
        UsageError: the lock does not allow the rulebook, or is of another.
    """
    lock = read_lock(lock_path(path))
    if lock is None:
        return None
    found = changes(rulebook, lock)
    if found:
        raise UsageError("\n".join(f"{path}:{line}: locked: {text}" for line, text in found))
    if rulebook.digest != lock.digest and not accept_unlocked:
        raise UsageError(
            f"{path} is not what {lock.approver} approved: write its lock anew"
            " (ledger-worker check --lock --approver NAME), or run with --accept-unlocked"
        )
    return lock


def _account(account: DeclaredAccount) -> list[int | str]:
    return [account.code, account.per, account.flags]


def _ignored(pattern: str, when: Any) -> str:  # noqa: ANN401 - an expression or None
    return f"{pattern} when {when.text}" if when else pattern


def _rule(rule: Transaction) -> dict[str, Any]:
    return {
        "on": list(rule.on),
        "from": rule.start,
        "until": rule.end,
        "digest": rule_digest(rule),
        "legs": [leg.name for leg in rule.legs],
        "origin": _sources(rule.origin),
        "after": _sources(rule.after),
    }


def _sources(predecessor: Predecessor | None) -> list[str]:
    return [each.transaction for each in predecessor.sources] if predecessor else []


def rule_digest(rule: Transaction) -> str:
    """SHA-256 of all that a rule says of ids and money, but for its end and its predecessors.

    Predecessors are compared by name, so that their successors may be added.
    """
    origin = rule.origin and replace(rule.origin, sources=())
    after = rule.after and replace(rule.after, sources=())
    spared = replace(rule, origin=origin, after=after)
    said = _said(replace(spared, end=None, priority="normal", sync=False))
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _said(value: Any) -> Any:  # noqa: ANN401 - any part of a rule
    """A part of a rule as plain values: accounts by name, expressions by their words."""
    if isinstance(value, DeclaredAccount):
        return value.name
    if hasattr(value, "precise"):
        return " ".join(value.text.split())
    if hasattr(value, "_asdict"):
        return {key: _said(each) for key, each in value._asdict().items()}
    if hasattr(value, "__dataclass_fields__"):
        names = (key for key in value.__dataclass_fields__ if key not in NO_MONEY)
        found = {key: getattr(value, key) for key in names}
        return {key: _said(each) for key, each in found.items() if each or key not in ADDED}
    if isinstance(value, list | tuple):
        return [_said(each) for each in value]
    return value


def changes(rulebook: Rulebook, lock: Lock) -> list[Changed]:
    """Everything that would book a past event otherwise; empty when nothing would."""
    if rulebook.digest == lock.digest:
        return []
    return sorted(
        {
            *_names(rulebook, lock),
            *_rules(rulebook, lock),
            *_newcomers(rulebook, lock),
            *_order(rulebook, lock),
        }
    )


def _names(rulebook: Rulebook, lock: Lock) -> Iterator[Changed]:
    for name, (number, scale) in lock.ledgers.items():
        ledger = rulebook.ledgers.get(name)
        if ledger is None or (ledger.ledger, ledger.scale) != (number, scale):
            yield Changed(1, f"ledger {name} was {{id: {number}, scale: {scale}}}: it stays that")
    for name, locked in lock.accounts.items():
        account = rulebook.accounts.get(name)
        if account is None:
            yield Changed(1, f"account {name} is gone or renamed: its name is in every id of it")
        elif _account(account) != locked:
            message = "had another code, per or flags: the ledger keeps those for ever"
            yield Changed(account.line, f"account {name} {message}")


def _rules(rulebook: Rulebook, lock: Lock) -> Iterator[Changed]:
    now = {rule.name: rule for rule in rulebook.transactions}
    first = _day(lock.date + NOTICE_SECONDS)
    for name, locked in lock.transactions.items():
        rule = now.get(name)
        if rule is None:
            yield Changed(
                1, f"transaction {name} is gone or renamed: keep it, with `until: {first}`"
            )
            continue
        if rule_digest(rule) != locked["digest"]:
            hint = f"keep it with `until: {first}`, and add the new one with `from: {first}`"
            if [leg.name for leg in rule.legs] != locked["legs"]:
                hint = f"its legs were {', '.join(locked['legs'])}, whose names are in ids; {hint}"
            yield Changed(rule.line, f"transaction {name} would book past events otherwise: {hint}")
        elif rule.end != locked["until"] and not _late(rule.end, lock):
            yield Changed(rule.line, f"transaction {name}: `until` must be {first} or later")
        for key, predecessor in (("origin", rule.origin), ("after", rule.after)):
            before = locked.get(key, [])
            if _sources(predecessor)[: len(before)] != before:
                listed = ", ".join(before)
                message = f"its {key} was {listed}: others may only be added behind"
                yield Changed(rule.line, f"transaction {name}: {message}")


def _newcomers(rulebook: Rulebook, lock: Lock) -> Iterator[Changed]:
    """A new rule may not take past events from an old one, nor book what was ignored."""
    first = _day(lock.date + NOTICE_SECONDS)
    for index, rule in enumerate(rulebook.transactions):
        if rule.name in lock.transactions or _late(rule.start, lock):
            continue
        after = {each.name for each in rulebook.transactions[index:]}
        taken = [
            name
            for name, locked in lock.transactions.items()
            if name in after and _share(rule.on, locked["on"])
        ]
        ignored = [each for each in lock.ignore if _share(rule.on, [each.split(" ")[0]])]
        for other in (*taken, *(f"ignore {each}" for each in ignored)):
            message = f"takes events that were {other}'s: it needs `from: {first}` or later"
            yield Changed(rule.line, f"transaction {rule.name} {message}")


def _order(rulebook: Rulebook, lock: Lock) -> Iterator[Changed]:
    """The first match wins: rules that share types keep their order."""
    index_of = {name: index for index, name in enumerate(lock.transactions)}
    kept = [rule for rule in rulebook.transactions if rule.name in index_of]
    for number, rule in enumerate(kept):
        for later in kept[number + 1 :]:
            if index_of[later.name] < index_of[rule.name] and _share(rule.on, later.on):
                yield Changed(rule.line, f"transaction {rule.name} stood after {later.name}")


def _share(some: Any, others: Any) -> bool:  # noqa: ANN401 - globs, from the file or the lock
    return any(
        matches(pattern, (other,)) or matches(other, (pattern,))
        for pattern in some
        for other in others
    )


def _late(second: int | None, lock: Lock) -> bool:
    return second is not None and second >= lock.date + NOTICE_SECONDS


def _day(second: int) -> str:
    """The first UTC midnight that is not before a second."""
    days = -(-second // 86_400)
    return datetime.fromtimestamp(days * 86_400, UTC).date().isoformat()
