"""The T-account picture of a rulebook: what each transaction debits and credits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from worker.core.leg_parts import leg_parts
from worker.core.rulebook import CONTROL, LegRule, Predecessor, Rulebook, Transaction


def draw(rulebook: Rulebook) -> str:
    """Every transaction: its events, its T-accounts, its legs."""
    return "\n\n".join("\n".join(_transaction(rule)) for rule in rulebook.transactions)


def _transaction(rule: Transaction) -> Iterator[str]:
    yield f"{rule.name}: {answered(rule)}"
    yield from (f"  {line}" for line in conditions(rule))
    yield from (f"    {line}" for line in _table(rule))
    for leg in rule.legs:
        yield f"  {leg.name}: {', '.join(leg_words(leg))}"


def answered(rule: Transaction) -> str:
    """The event types of a rule."""
    return ", ".join(rule.on) or "where more is told than another rule has booked"


def conditions(rule: Transaction) -> Iterator[str]:
    """What a rule asks of its events, a line each."""
    for let in rule.lets:
        yield f"let {let.name} be {' '.join(let.value.text.split())}"
    if rule.when:
        yield f"when {rule.when.text}"
    if rule.start is not None:
        yield f"from {_second(rule.start)}"
    if rule.end is not None:
        yield f"until {_second(rule.end)}"
    if rule.idempotency_key and rule.idempotency_time:
        yield f"once per {rule.idempotency_key.text} at {rule.idempotency_time.text}"
    if rule.origin:
        optional = ", if it is there" if rule.origin.optional else ""
        yield f"origin {rule.origin.text}{optional}{_in_vain(rule.origin)}"
    if rule.after:
        yield f"after {rule.after.text}{_in_vain(rule.after)}"
    for each in rule.require:
        yield f"require that {each.sentence}: {each.condition.text}"
    if rule.alert:
        yield f"alert: {rule.alert}"


def _in_vain(predecessor: Predecessor) -> str:
    return ", or nothing to post if it never comes" if predecessor.missing == "nothing" else ""


def _table(rule: Transaction) -> Iterator[str]:
    """One row per account: the legs that debit it left of the bar, those that credit it right."""
    rows = [
        (account, ", ".join(left), ", ".join(right)) for account, left, right in t_accounts(rule)
    ]
    wide = max(len(row[0]) for row in rows)
    middle = max(5, *(len(row[1]) for row in rows))
    yield f"{'':<{wide}}   {'debit':>{middle}} | credit"
    for account, left, right in rows:
        yield f"{account:<{wide}}   {left:>{middle}} | {right}".rstrip()


def t_accounts(rule: Transaction) -> list[tuple[str, list[str], list[str]]]:
    """Each account with the legs that debit it and those that credit it."""
    sides: dict[str, tuple[list[str], list[str]]] = {}
    for leg in rule.legs:
        for name, debit, credit in _entries(leg):
            sides.setdefault(debit, ([], []))[0].append(name)
            sides.setdefault(credit, ([], []))[1].append(name)
    return [(account, left, right) for account, (left, right) in sides.items()]


def _entries(leg: LegRule) -> Iterator[tuple[str, str, str]]:
    """Name, debited and credited account of each part; a post moves what a pending leg reserved."""
    if leg.pending:
        pending_leg = f"{leg.pending.transaction}.{leg.pending.leg}"
        yield (leg.name, f"{pending_leg}.debit", f"{pending_leg}.credit")
        return
    for part in leg_parts(leg):
        debit, credit = (use.text if use else CONTROL for use in (part.debit, part.credit))
        yield (".".join(filter(None, (leg.name, part.name))), debit, credit)


def leg_words(leg: LegRule) -> Iterator[str]:
    """What a leg says besides its accounts."""
    yield leg.amount.text if leg.amount else "all"
    if leg.currency:
        yield f"in {leg.currency.text}"
    if leg.pending:
        yield f"{leg.kind}s {leg.pending.transaction}.{leg.pending.leg}"
    if leg.kind == "pending":
        yield f"pending for {leg.timeout} s" if leg.timeout else "pending"
    for loop in leg.loops:
        yield f"for each {loop.name} of {loop.items.text}"
    if leg.when:
        yield f"when {leg.when.text}"
    if leg.signed:
        yield "sides swapped when negative"
    if leg.total:
        yield f"what is more than {leg.total.noted.text} notes"
    if leg.suspense:
        yield f"{leg.suspense.use.text} where the {leg.suspense.side} is closed"
    if leg.code:
        yield f"code {leg.code}"


def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
