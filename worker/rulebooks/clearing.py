"""Clearing accounts that can never return to zero: a warning for `check`.

A leg is reported when no leg in its currency, in force at the same time or later, moves the account
back. A `signed` leg moves both ways; a reservation moves money when it is posted; an origin's
account is every account that its leg may name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from worker.core.compiled_rules import FOREVER
from worker.core.rulebook import (
    CONTROL,
    AccountUse,
    DeclaredAccount,
    KnownUse,
    LegRule,
    NamedUse,
    Rulebook,
    Side,
    Transaction,
    Use,
)


class AccountMove(NamedTuple):
    """One way in which a leg moves a clearing account.

    currency: empty when the event says it.
    """

    rule: Transaction
    leg: LegRule
    account: str
    side: Side
    currency: str


def never_balanced(rulebook: Rulebook) -> Iterator[tuple[int, str]]:
    """Line and message of every leg that nothing can ever balance."""
    moves = list(_moves(rulebook))
    for move in moves:
        if not any(_balances(other, move) for other in moves):
            leg = f"leg {move.rule.name}.{move.leg.name}"
            back = "credits" if move.side == "debit" else "debits"
            it = f"it in {move.currency}" if move.currency else "it"
            message = f"{move.side}s {move.account}, and nothing in force then or later {back} {it}"
            yield move.leg.line, f"{leg} {message}: it can never be cleared"


def _balances(other: AccountMove, move: AccountMove) -> bool:
    same_money = not (other.currency and move.currency) or other.currency == move.currency
    return (
        other.account == move.account
        and other.side != move.side
        and same_money
        and (FOREVER if other.rule.end is None else other.rule.end) > (move.rule.start or 0)
    )


def _moves(rulebook: Rulebook) -> Iterator[AccountMove]:
    """Each way in which a leg moves a clearing account, once."""
    found = {
        move: None
        for rule in rulebook.transactions
        for leg in rule.legs
        for account, side in _sides(rulebook, rule, leg)
        if account.clearing
        for move in (AccountMove(rule, leg, account.name, side, _currency(rule, leg)),)
    }
    return iter(found)


def _currency(rule: Transaction, leg: LegRule) -> str:
    expression = leg.currency or rule.currency
    constant = expression is not None and expression.constant and not leg.loops
    return str(expression.precise(None)) if expression is not None and constant else ""


def _sides(
    rulebook: Rulebook, rule: Transaction, leg: LegRule
) -> Iterator[tuple[DeclaredAccount, Side]]:
    """What a leg debits and credits, in every form that it may take."""
    if leg.kind in ("pending", "void"):
        return
    by_name = {each.name: each for each in rulebook.transactions}
    if leg.pending is not None:
        rule = by_name[leg.pending.transaction]
        leg = next(each for each in rule.legs if each.name == leg.pending.leg)
    both: list[tuple[Use | None, Side]] = [(leg.debit, "debit"), (leg.credit, "credit")]
    both += [(leg.shortfall, "debit"), (leg.repay_first, "credit")]
    if leg.suspense:
        both.append((leg.suspense.use, leg.suspense.side))
    for use, side in both:
        for account in _accounts(by_name, rule, use):
            yield account, side
            if leg.signed:
                yield account, "credit" if side == "debit" else "debit"
    if leg.shortfall or leg.repay_first or leg.total:
        yield rulebook.accounts[CONTROL], "debit"
        yield rulebook.accounts[CONTROL], "credit"


def _accounts(
    by_name: dict[str, Transaction], rule: Transaction, use: Use | None, deep: int = 0
) -> Iterator[DeclaredAccount]:
    """Every account that a side may be; an origin's leg may take its own from an origin."""
    if use is None or deep > len(by_name):
        return
    if isinstance(use, NamedUse):  # a journal can clear any account by hand: that is no rule for it
        return
    if isinstance(use, AccountUse | KnownUse):
        yield from _declared(use)
        return
    if use.otherwise is not None:
        yield from _accounts(by_name, rule, use.otherwise, deep + 1)
    if use.family is not None:
        yield use.family
        return
    for source in rule.origin.sources if rule.origin else ():
        earlier = by_name[source.transaction]
        for leg in earlier.legs:
            if leg.name == use.leg:
                named = leg.debit if use.side == "debit" else leg.credit
                yield from _accounts(by_name, earlier, named, deep + 1)
                if leg.suspense and leg.suspense.side == use.side:
                    yield leg.suspense.use.account


def _declared(use: AccountUse | KnownUse) -> Iterator[DeclaredAccount]:
    """Every account that a side which names no origin may be."""
    if isinstance(use, KnownUse):
        yield from _declared(use.account)
        yield from _declared(use.otherwise)
        return
    yield use.account
    if use.if_null is not None:
        yield from _declared(use.if_null)
