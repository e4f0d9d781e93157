"""The accounts that a chain takes from its origin: each way to one, and each way there is none."""

from __future__ import annotations

from typing import Any

import pytest

from worker.core.account_ids import AccountRefs
from worker.core.chain import AccountRef, Chain, Fill, Leg, Need, Needs, leg_spec
from worker.core.event import Dead, Event, Reason
from worker.core.ids import account_id
from worker.core.money import Currency
from worker.core.predecessors import fill, with_stored_accounts
from worker.core.rulebook import DeclaredAccount
from worker.core.wire import AccountFlags, Transfer

USD, EUR = 840, 978
LIMITED = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
CLOSED = int(AccountFlags.CLOSED)


def declared(name: str, code: int, *, per: str = "") -> DeclaredAccount:
    return DeclaredAccount(
        name=name, title=name, code=code, type="liability", per=per, flags=LIMITED
    )


WALLET, OWED, BANK = (
    declared("wallet", 5, per="customer"),
    declared("owed", 6, per="customer"),
    declared("bank", 7),
)
REFS = AccountRefs([WALLET, OWED, BANK])
HERE = AccountRef(99, "bank", "", USD, 7, 0)
THERE = AccountRef(97, "owed", "ann", USD, 6, LIMITED)
KNOWN = {THERE.id}
"""What the ledger has of those that are asked for."""

ELSE = AccountRef(98, "opening", "", USD, 8, 0)
SPEC = leg_spec(transaction="refund", leg="principal", code=1)


def wallet(ledger: int = USD, key: str = "ann", flags: int = LIMITED) -> AccountRef:
    """As the ledger holds it."""
    return AccountRef(
        account_id(ledger=ledger, name="wallet", key=key), "wallet", key, ledger, 5, flags
    )


def chain(*fills: Fill, credit: AccountRef = HERE) -> Chain:
    """One leg for each account that is taken, to the bank."""
    legs = tuple(
        Leg(SPEC, Currency("usd", USD, 2), 1000 + number, _open(-number - 1), credit, 5)
        for number in range(len(fills))
    )
    need = Need((), None, optional=True, text="origin")
    needs = Needs(need, None, fills)
    event = Event("e", "refund", 1, {})
    return Chain(event, "refund", "event/e", 7, 0, legs, sync=False, needs=needs)


def _open(number: int) -> AccountRef:
    return AccountRef(number, "origin.gross.credit", "", USD, 0, 0)


def wanted(**changes: Any) -> Fill:
    fields = {
        "leg": "gross", "side": "credit", "family": None, "ledger": USD, "otherwise": None,
        "text": "origin.gross.credit",
    }  # fmt: skip
    return Fill(**{**fields, **changes})


def member(account: DeclaredAccount, key: str, ledger: int = USD) -> AccountRef:
    number = account_id(ledger=ledger, name=account.name, key=key)
    return AccountRef(number, account.name, key, ledger, account.code, account.flags)


@pytest.mark.parametrize(
    ("fills", "found", "expected"),
    [
        ([wanted()],                             wallet(),             [wallet()]),
        ([wanted()],                             wallet(flags=LIMITED | CLOSED), [wallet()]),
        ([wanted()],                             wallet(key="#ff"),    [wallet(key="#ff")]),
        ([wanted(ledger=EUR)],                   wallet(),             [wallet(EUR)]),
        ([wanted(ledger=EUR)],                   wallet(key="#ff"),    Reason.BAD_KEY),
        ([wanted(ledger=EUR)],                   wallet()._replace(code=1234), Reason.CONFLICT),
        ([wanted(family=OWED)],                  wallet(),             [member(OWED, "ann")]),
        ([wanted(family=OWED, ledger=EUR)],      wallet(),             [member(OWED, "ann", EUR)]),
        ([wanted(family=OWED)],                  wallet(key="#ff"),    Reason.BAD_KEY),
        ([wanted(family=OWED)],                  HERE,                 Reason.MISSING_FIELD),
        ([wanted(family=OWED, otherwise=ELSE)],  HERE,                 [ELSE]),
        ([wanted(family=OWED, otherwise=ELSE)],  wallet(),             [member(OWED, "ann")]),
        ([wanted(otherwise=ELSE)],               wallet(),             [wallet()]),
        ([wanted()],                             None,                 Reason.MISSING_FIELD),
        ([wanted(otherwise=ELSE)],               None,                 [ELSE]),
        ([wanted(leg="net")],                    wallet(),             Reason.MISSING_FIELD),
        ([wanted(side="debit")],                 wallet(),             Reason.MISSING_FIELD),
        ([wanted(), wanted(family=OWED, otherwise=_open(-1))], wallet(),
            [wallet(), member(OWED, "ann")]),
        ([wanted(), wanted(leg="net", otherwise=_open(-1))],   wallet(), [wallet(), wallet()]),
        ([wanted(otherwise=ELSE), wanted(leg="net", otherwise=_open(-1))], None, [ELSE, ELSE]),
        ([wanted()],                             HERE,                 Reason.SAME_ACCOUNT),
        ([wanted()],                             HERE._replace(flags=LIMITED), Reason.SAME_ACCOUNT),
        ([wanted(known=THERE, account=THERE, otherwise=ELSE)], None,   [THERE]),
        ([wanted(known=THERE, account=wallet(), otherwise=ELSE)], None, [wallet()]),
        ([wanted(known=wallet(), account=THERE, otherwise=ELSE)], None, [ELSE]),
    ],
)  # fmt: skip
def test_each_way_to_an_account(
    fills: list[Fill], found: AccountRef | None, expected: list[AccountRef] | Reason
) -> None:
    """As it is, of a family, in another currency, after an `else`; or dead, with its reason."""
    made = fill(chain(*fills), {("gross", "credit"): found} if found else {}, REFS, KNOWN)
    if isinstance(expected, Reason):
        assert isinstance(made, Dead)
        assert made.reason is expected
        assert made.detail
    else:
        assert isinstance(made, Chain)
        assert [leg.debit for leg in made.legs] == expected
        assert all(leg.credit == HERE for leg in made.legs)


def test_a_chain_that_needs_nothing_is_as_it_was() -> None:
    """Nothing is filled in."""
    made = chain()._replace(needs=None)
    assert fill(made, {}, REFS, ()) is made


def test_stored_accounts_are_those_of_every_open_side() -> None:
    """Only where all of the chain is there; sides that the event names are not among them."""
    two = chain(wanted(), wanted(leg="net"))
    swapped = two.legs[1]._replace(debit=HERE, credit=_open(-2))
    two = two._replace(legs=(two.legs[0], swapped))
    stored = {1000: Transfer(1000, 41, 42), 1001: Transfer(1001, 43, 44)}
    assert with_stored_accounts(two, stored) == {-1: 41, -2: 44}
    for gone in stored:
        left = {number: one for number, one in stored.items() if number != gone}
        assert with_stored_accounts(two, left) is None
