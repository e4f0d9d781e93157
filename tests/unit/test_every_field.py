"""Comparisons see every field: each test changes one field at a time and asks who notices."""

from __future__ import annotations

from typing import Any

import pytest

from worker.core.chain import AccountRef, Chain, Leg, LegSpec, Sought, leg_spec
from worker.core.event import ATTEMPT_MAX, Event
from worker.core.ids import FAMILY_KEY_BYTES, account_key, account_user_data, field
from worker.core.money import Currency
from worker.core.outcome import account_conflict, same_chain, same_money
from worker.core.packing import flaw, pack_chain
from worker.core.predecessors import candidate_ids, recomputes, with_stored_accounts
from worker.core.rulebook import OriginLeg
from worker.core.wire import (
    AMOUNT_MAX,
    Account,
    AccountFlags,
    Transfer,
    TransferFlags,
    unpack_accounts,
    unpack_transfers,
)

USD, JPY = Currency("usd", 840, 2), Currency("jpy", 392, 0)
WALLET, OTHER, BANK = (
    AccountRef(number, name, key, 840, code, 2)
    for number, name, key, code in (
        (1, "wallet", "a", 5),
        (2, "wallet", "b", 5),
        (3, "bank", "", 6),
    )
)
YEN = AccountRef(4, "bank", "", 392, 6, 0)
RESERVED = 99
POST = int(TransferFlags.POST_PENDING_TRANSFER)
VOID = int(TransferFlags.VOID_PENDING_TRANSFER)
SPECS: dict[str, LegSpec] = {
    "plain": leg_spec(transaction="t", leg="plain", code=7),
    "pending": leg_spec(
        transaction="t",
        leg="pending",
        kind="pending",
        code=8,
        flags=int(TransferFlags.PENDING),
        timeout=60,
    ),
    "balancing": leg_spec(
        transaction="t", leg="balancing", code=9, flags=int(TransferFlags.BALANCING_DEBIT)
    ),
    "post": leg_spec(
        transaction="t",
        leg="post",
        kind="post",
        code=0,
        flags=POST,
    ),
    "void": leg_spec(
        transaction="t",
        leg="void",
        kind="void",
        code=0,
        flags=VOID,
    ),
}
RESERVATION = Transfer(RESERVED, WALLET.id, BANK.id, 50, 0, 0, 0, 0, 60, 840, 8, 2, 1)


def leg(kind: str, **changes: Any) -> Leg:
    """A leg of this kind."""
    settles = kind in {"post", "void"}
    made = Leg(
        SPECS[kind],
        USD,
        1000,
        None if settles else WALLET,
        None if settles else BANK,
        50,
        (RESERVED,) if settles else (),
    )
    return made._replace(**changes)


def chain(*legs: Leg) -> Chain:
    """These legs as one event's."""
    numbered = tuple(each._replace(id=1000 + number) for number, each in enumerate(legs))
    return Chain(Event("e", "t", 1, {}), "t", "event/e", 77, 0, numbered, sync=False)


def stored_legs(of: Chain) -> list[Transfer]:
    """What a ledger holds of a chain, made from the rows that it was sent."""
    pending = {number: RESERVED for number, one in enumerate(of.legs) if one.pending_ids}
    return unpack_transfers(pack_chain(of, position=5, pending=pending))


def is_same(of: Chain, number: int, transfer: Transfer) -> bool:
    """Is this stored transfer what the chain's leg asks for?"""
    return same_money(
        of.legs[number],
        transfer,
        number=number,
        count=len(of.legs),
        tag=of.tag,
        reserved=RESERVATION if of.legs[number].pending_ids else None,
    )


COMPARED = {
    "plain": "debit_account_id credit_account_id amount user_data_128 user_data_32 timeout ledger"
    " code flags",
    "pending": "debit_account_id credit_account_id amount user_data_128 user_data_32 timeout ledger"
    " code flags",
    "balancing": "debit_account_id credit_account_id user_data_128 user_data_32 timeout ledger code"
    " flags",
    "post": "pending_id amount user_data_128 user_data_32 timeout flags",
    "void": "pending_id amount user_data_128 user_data_32 timeout flags",
}


@pytest.mark.parametrize("last", [True, False], ids=["last", "linked"])
@pytest.mark.parametrize("kind", COMPARED)
def test_the_same_money_is_the_same_in_every_field(kind: str, *, last: bool) -> None:
    """A stored leg equals the one that was packed, and no longer when any one field differs."""
    of = chain(leg(kind)) if last else chain(leg(kind), leg("plain"))
    stored = stored_legs(of)[0]
    assert is_same(of, 0, stored)
    for name in COMPARED[kind].split():
        assert not is_same(of, 0, stored._replace(**{name: getattr(stored, name) + 1})), name
    assert is_same(of, 0, stored._replace(user_data_64=6, timestamp=9))


def test_a_balancing_leg_may_hold_less_and_never_more() -> None:
    """What it took depended on the balance then; more than was asked for is other money."""
    of = chain(leg("balancing"))
    (stored,) = stored_legs(of)
    assert [is_same(of, 0, stored._replace(amount=amount)) for amount in (0, 49, 50, 51)] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("kind", "asked", "holds"),
    [("post", AMOUNT_MAX, 50), ("post", 20, 20), ("void", 0, 50), ("void", 50, 50)],
)
def test_what_settles_a_reservation_holds_what_was_asked_of_it(
    kind: str, asked: int, holds: int
) -> None:
    """All of it where the leg says all; without the reservation nothing can be the same."""
    of = chain(leg(kind, amount=asked))
    (stored,) = stored_legs(of)
    assert is_same(of, 0, stored._replace(amount=holds))
    assert not is_same(of, 0, stored._replace(amount=holds + 1))
    assert not same_money(
        of.legs[0], stored._replace(amount=holds), number=0, count=1, tag=of.tag, reserved=None
    )


def test_a_chain_is_the_same_when_each_of_its_legs_is() -> None:
    """All legs, each as asked, and what a post settles among what was looked up."""
    of = chain(leg("plain"), leg("post"))
    stored = stored_legs(of)
    found = {RESERVED: RESERVATION}
    stored[1] = stored[1]._replace(amount=RESERVATION.amount)
    assert same_chain(of, stored, found)
    assert not same_chain(of, stored, {})
    assert not same_chain(of, stored[:1], found)
    assert not same_chain(of, [stored[0]._replace(code=9), stored[1]], found)
    shorter = stored_legs(chain(leg("plain")))
    assert not same_chain(of, shorter, found)  # posted when the rule had one leg


def test_an_account_conflicts_in_every_field_but_closed() -> None:
    """An account that the ledger holds otherwise than declared is found by each of its fields."""
    (stored,) = unpack_accounts(AccountRef(9, "wallet", "k" * FAMILY_KEY_BYTES, 840, 5, 2).row())
    assert not account_conflict(stored, stored)
    assert not account_conflict(stored._replace(flags=stored.flags | AccountFlags.CLOSED), stored)
    for name in ("user_data_128", "user_data_64", "user_data_32", "ledger", "code"):
        other = stored._replace(**{name: getattr(stored, name) + 1})
        assert account_conflict(stored, other), name
    assert account_conflict(stored, stored._replace(flags=stored.flags | AccountFlags.HISTORY))
    changing = {"debits_posted", "credits_posted", "debits_pending", "credits_pending", "timestamp"}
    assert changing < set(Account._fields)
    for name in changing:
        assert not account_conflict(stored._replace(**{name: 1}), stored), name


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"amount": AMOUNT_MAX}, ""),
        ({"amount": AMOUNT_MAX + 1}, "amount out of range"),
        ({"amount": -1}, "amount out of range"),
        ({"debit": None}, "no accounts"),
        ({"credit": None}, "no accounts"),
        ({"credit": WALLET}, "debits and credits one account"),
        ({"debit": WALLET._replace(id=-1)}, "was not filled in"),
        ({"credit": BANK._replace(id=-2)}, "was not filled in"),
        ({"debit": YEN}, "spans two ledgers"),
        ({"credit": YEN}, "spans two ledgers"),
        ({"currency": JPY}, "spans two ledgers"),
        ({"debit": YEN._replace(id=8), "credit": YEN}, "spans two ledgers"),
    ],
)
def test_the_last_check_before_packing(changes: dict[str, Any], says: str) -> None:
    """A leg that translation should never have made is not sent, wherever in the chain it is."""
    broken = leg("plain", **changes)
    for of in (chain(broken), chain(leg("plain"), broken), chain(broken, leg("plain"))):
        assert says in flaw(of)
        assert bool(flaw(of)) == bool(says)
    assert flaw(chain()) == "no legs"


@pytest.mark.parametrize(
    "length", [1, FAMILY_KEY_BYTES - 1, FAMILY_KEY_BYTES, FAMILY_KEY_BYTES + 1]
)
def test_a_key_is_held_up_to_28_bytes_and_hashed_beyond(length: int) -> None:
    """The ledger gives back the key itself for as long as it fits."""
    key = "ü" * (length // 2) + "k" * (length % 2)
    assert len(key.encode()) == length
    read = account_key(*account_user_data(key))
    assert (read == key) == (length <= FAMILY_KEY_BYTES)
    assert read.startswith("#") == (length > FAMILY_KEY_BYTES)


def test_a_family_member_is_told_by_each_byte_of_its_key() -> None:
    """Two keys that differ in one byte, the last one too, never share their user data."""
    key = "k" * FAMILY_KEY_BYTES
    others = [f"{key[:at]}x{key[at + 1 :]}" for at in range(FAMILY_KEY_BYTES)]
    assert len({account_user_data(one) for one in (key, *others)}) == FAMILY_KEY_BYTES + 1


def test_an_origin_is_found_at_every_attempt() -> None:
    """The earlier chain may have been posted under any of its eight attempts, the last included."""
    sought = Sought("charge", 1, field("charge/ch_1"), (OriginLeg("gross", "", ("credit",)),))
    ids = list(candidate_ids(sought, 1_000))
    assert len(set(ids)) == ATTEMPT_MAX + 1
    for number in ids:
        transfer = RESERVATION._replace(id=number)
        assert recomputes(sought, [transfer]) == {("gross", "credit"): BANK.id}
        assert recomputes(sought, [transfer._replace(id=number + 1)]) == {}


def test_only_open_sides_are_taken_from_a_stored_chain() -> None:
    """A chain that is in the ledger fills the sides that its origin gave, and no other."""
    of = chain(leg("plain", debit=WALLET._replace(id=-1)), leg("plain"))
    stored = {each.id: each for each in stored_legs(chain(leg("plain"), leg("plain")))}
    assert with_stored_accounts(of, stored) == {-1: WALLET.id}
    assert with_stored_accounts(of, {1000: stored[1000]}) is None
