"""A rule in an accountant's sentences: when it books, what moves, and under which conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from worker.core.rulebook import (
    AccountUse,
    DeclaredAccount,
    KnownUse,
    LegRule,
    NamedUse,
    OriginUse,
    Transaction,
    Use,
)
from worker.rulebooks.words import (
    condition_in_words,
    either,
    event_in_words,
    expression_in_words,
    plain,
)
from worker.rulebooks.worked_example import ExampleMovement, WorkedExample

KEY_SHOWN_MAX: Final = 16
MEMO: Final = "memo"


def title_of(name: str, accounts: Mapping[str, DeclaredAccount]) -> str:
    """An account's title, and its name where it is not declared."""
    account = accounts.get(name)
    return account.title if account and account.title != name else plain(name).capitalize()


def when_it_books(rule: Transaction, example: WorkedExample | None) -> str:
    """`When a charge succeeds or a charge is captured`; of the example where it books one only."""
    if not rule.on:
        return "When more of the same is told than was booked"
    kinds = [kind for kind in rule.on if example is None or kind == example.kind] or list(rule.on)
    return f"When {either([event_in_words(kind) for kind in kinds])}"


def sentence(
    rule: Transaction, example: WorkedExample | None, accounts: Mapping[str, DeclaredAccount]
) -> str:
    """What the rule does: with the numbers of its example, else with what it reads."""
    if example is None:
        moves = [_leg_moves(leg, accounts) for leg in rule.legs]
    else:
        moved = direct(example.movements, accounts)
        moves = [_moves(each, accounts) for each in moved if _counts(each)]
    return f"{when_it_books(rule, example)}, {'; and '.join(moves)}."


def direct(
    movements: Sequence[ExampleMovement], accounts: Mapping[str, DeclaredAccount]
) -> Iterator[ExampleMovement]:
    """The movements past the control accounts: each from where it came to where it went.

    | movements | told as |
    |---|---|
    | control to bank 5, wallet to control 3, loss to control 2 | wallet to bank 3, loss to bank 2 |
    | bank to control 5, control to debt 2, control to wallet 3 | bank to debt 2, bank to wallet 3 |
    """
    control = {name for name, account in accounts.items() if account.type == MEMO}
    to_control = [each for each in movements if each.credit.name in control]
    from_control = [each for each in movements if each.debit.name in control]
    yield from (each for each in movements if not control & {each.debit.name, each.credit.name})
    if len(from_control) == 1:
        yield from (replace(each, credit=from_control[0].credit) for each in to_control)
    elif len(to_control) == 1:
        yield from (replace(each, debit=to_control[0].debit) for each in from_control)
    else:
        for source, target in zip(to_control, from_control, strict=False):
            yield replace(source, credit=target.credit)


def _counts(movement: ExampleMovement) -> bool:
    """A void moves nothing, but says what it gives back; other zeros say nothing."""
    return movement.kind == "void" or movement.amount.strip("0.") != ""


def _moves(movement: ExampleMovement, accounts: Mapping[str, DeclaredAccount]) -> str:
    debit, credit = (
        title_of(side.name, accounts) + (f" of {short(side.key)}" if side.key else "")
        for side in (movement.debit, movement.credit)
    )
    verb = {"pending": "is reserved", "void": "is no longer reserved"}.get(movement.kind, "moves")
    return f"{movement.amount} {movement.currency} {verb} from {debit} (debit) to {credit} (credit)"


def _leg_moves(leg: LegRule, accounts: Mapping[str, DeclaredAccount]) -> str:
    amount = amount_words(leg)
    if leg.pending is not None:
        done = "moves as reserved" if leg.kind == "post" else "is no longer reserved"
        return f"{amount} {done} by {plain(leg.pending.transaction)}"
    debit, credit = account_words(leg.debit, accounts), account_words(leg.credit, accounts)
    verb = "is reserved" if leg.kind == "pending" else "moves"
    return f"{amount} {verb} from {debit} (debit) to {credit} (credit)"


def amount_words(leg: LegRule) -> str:
    """What moves, in words."""
    amount = expression_in_words(leg.amount.text) if leg.amount else "all that was reserved"
    return f"what is more than before of the total, {amount}," if leg.total else amount


def account_words(use: Use | None, accounts: Mapping[str, DeclaredAccount]) -> str:
    """An account as a leg names it, in words."""
    if isinstance(use, OriginUse):
        found = f"the account that {plain(use.leg)} of the earlier booking {use.side}ed"
        if use.family:
            found = f"{use.family.title}, of whom {found.removeprefix('the account that ')}"
        if use.otherwise:
            found += f" (where there is none, {account_words(use.otherwise, accounts)})"
        return found
    if isinstance(use, KnownUse):
        account, known, otherwise = (account_words(each, accounts) for each in use.accounts)
        return f"{account} where there is a {known}, else {otherwise}"
    if isinstance(use, NamedUse):
        return f"the account that {expression_in_words(use.name.text)} names"
    if isinstance(use, AccountUse):
        title = title_of(use.account.name, accounts)
        found = f"{title} of {expression_in_words(use.key.text)}" if use.key else title
        if use.if_null:
            found += f" (where there is none, {account_words(use.if_null, accounts)})"
        return found
    return "the account that was reserved"


def conditions_in_words(rule: Transaction) -> Iterator[str]:
    """What the rule's names mean, and what must be so for it to book, a sentence each."""
    for let in rule.lets:
        yield f"“{plain(let.name)}” means {expression_in_words(let.value.text)}."
    if rule.when:
        yield f"Only where {condition_in_words(rule.when.text)}."
    for each in rule.require:
        yield f"Refused unless {each.sentence}."
    for second, word in ((rule.start, "from"), (rule.end, "until")):
        if second is not None:
            yield f"Only {word} {datetime.fromtimestamp(second, UTC):%-d %B %Y}."
    if rule.origin:
        earlier = either([plain(each.transaction) for each in rule.origin.sources])
        optional = (
            ", where it was booked" if rule.origin.optional else ", which must be booked first"
        )
        yield f"Follows the {earlier} that it is about{optional}."
    if rule.after:
        earlier = either([plain(each.transaction) for each in rule.after.sources])
        yield f"Waits until the {earlier} that it is about is booked."
    if rule.idempotency_key:
        key = expression_in_words(rule.idempotency_key.text)
        yield f"Booked once for each {key}, however many events tell it."
    if rule.alert:
        yield f"Somebody is told: {rule.alert}."


def leg_in_words(leg: LegRule, accounts: Mapping[str, DeclaredAccount]) -> Iterator[str]:
    """What moves by a leg, and what is special about it."""
    yield amount_words(leg)
    for loop in leg.loops:
        yield f"for each of the {expression_in_words(loop.items.text)}"
    if leg.when:
        yield f"only where {condition_in_words(leg.when.text)}"
    if leg.signed:
        yield "the other way round when negative"
    if leg.shortfall:
        yield f"what the account lacks is taken from {account_words(leg.shortfall, accounts)}"
    if leg.repay_first:
        yield f"{account_words(leg.repay_first, accounts)} is repaid first"
    if leg.suspense:
        name = account_words(leg.suspense.use, accounts)
        yield f"{name} takes it where an account is closed"
    if leg.timeout:
        yield f"given back after {leg.timeout} seconds"


def short(key: str) -> str:
    """A long id, with its middle left out."""
    return f"{key[:5]}…{key[-4:]}" if len(key) > KEY_SHOWN_MAX else key
