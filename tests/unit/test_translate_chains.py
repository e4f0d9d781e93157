"""The chains that rules make: legs, loops, signs, shortfalls and two-phase transfers."""

from __future__ import annotations

import pytest

from tests.unit.translating import (
    MOVE,
    ONE,
    SECONDS,
    chain_of,
    changed,
    event,
    legs_of,
    new_translator,
)
from worker.core.event import Skipped
from worker.core.ids import (
    account_id,
    event_key,
    fact_key,
    fact_tag,
    field,
    leg_suffix,
    transfer_id,
)
from worker.core.packing import pack_chain
from worker.core.translate import Translator
from worker.core.wire import (
    AMOUNT_MAX,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
    pack_transfer,
)
from worker.ledger.embedded import EmbeddedLedger


@pytest.fixture(scope="module")
def translator() -> Translator:
    """One translator for the module: translation keeps nothing but caches."""
    return new_translator()


def test_plain_chain(translator: Translator) -> None:
    """A fact's key, time and names make its ids; the accounts come from the rulebook."""
    chain = chain_of(translator, event("pay.one", ONE))
    key = fact_key("one", "p1")
    assert (chain.transaction, chain.key, chain.tag) == ("one", "one/p1", fact_tag(key))
    assert (chain.sync, chain.attempt) == (False, 0)
    assert legs_of(chain) == [("gross", "clearing", "wallet:c1", 250)]
    leg = chain.legs[0]
    suffix = leg_suffix("gross", "", "", 0)
    assert leg.id == transfer_id(time_ms=5000, key_field=field(key), suffix=suffix)
    assert leg.credit is not None
    assert leg.credit.id == account_id(ledger=840, name="wallet", key="c1")
    assert (leg.credit.code, leg.credit.flags, leg.currency.name) == (2001, 2, "usd")
    assert (leg.spec.code, leg.spec.flags, leg.spec.timeout) == (1, 0, 0)


def test_whole_number_as_fact(translator: Translator) -> None:
    """An `idempotency_key` may be a whole number."""
    assert chain_of(translator, event("pay.one", changed(ONE, id=42))).key == "one/42"


AMOUNTS = [
    # amount        fee         legs
    (100, None, [("moved", "wallet:c1", "wallet:c2", 100)]),
    (100, 3, [("moved", "wallet:c1", "wallet:c2", 100), ("fee", "wallet:c1", "clearing", 3)]),
    (100, -3, [("moved", "wallet:c1", "wallet:c2", 100), ("fee", "clearing", "wallet:c1", 3)]),
    (0, 3, [("fee", "wallet:c1", "clearing", 3)]),
    (2**63 - 1, 0, [("moved", "wallet:c1", "wallet:c2", 2**63 - 1)]),
]


@pytest.mark.parametrize(("amount", "fee", "legs"), AMOUNTS)
def test_conditions_signs_and_zero(
    translator: Translator, amount: int, fee: int | None, legs: list[tuple[str, str, str, int]]
) -> None:
    """Legs of 0 and legs whose condition is false are left out; a negative one swaps its sides."""
    chain = chain_of(translator, event("pay.move", changed(MOVE, amount=amount, fee=fee)))
    assert legs_of(chain) == legs
    assert chain.sync is True
    assert chain.key == event_key("evt_1")


def test_nothing_to_post(translator: Translator) -> None:
    """When every leg is left out, the outcome says so."""
    for asked in (
        event("pay.move", changed(MOVE, amount=0)),
        event("pay.grid", {"rows": []}),
        event("pay.grid", {"rows": [{"customer": "c", "cells": [{"amount": 7}]}]}),
        event("pay.take", {"customer": "c", "amount": 0}),
    ):
        assert translator.translate(asked, role="other") == Skipped("nothing_to_post")


def test_balancing_leg_of_zero_stays(translator: Translator) -> None:
    """A leg with a balancing flag is kept at 0: the ledger decides what it holds."""
    chain = chain_of(translator, event("pay.sweep", {"customer": "c", "amount": 0}))
    assert legs_of(chain) == [("swept", "wallet:c", "clearing", 0)]
    assert chain.legs[0].spec.flags == TransferFlags.BALANCING_DEBIT


def test_nested_for_each(translator: Translator) -> None:
    """Ids hold the place in the lists, whatever `when` leaves out."""
    rows = [
        {"customer": "a", "cells": [{"amount": 1}, {"amount": 7}, {"amount": 2}]},
        {"customer": "b", "cells": [{"amount": 3}]},
    ]
    chain = chain_of(translator, event("pay.grid", {"rows": rows}))
    assert [leg[2:] for leg in legs_of(chain)] == [
        ("wallet:a", 1),
        ("wallet:a", 2),
        ("wallet:b", 3),
    ]
    key_field = field(event_key("evt_1"))
    for leg, index in zip(chain.legs, ("0.0", "0.2", "1.0"), strict=True):
        suffix = leg_suffix("cell", index, "", 0)
        made = transfer_id(time_ms=SECONDS * 1000, key_field=key_field, suffix=suffix)
        assert leg.id == made


def test_attempts_differ_in_ids_only(translator: Translator) -> None:
    """Each attempt has ids of its own and the same money."""
    first, second = (chain_of(translator, event("pay.one", ONE), attempt=n) for n in (0, 3))
    assert legs_of(first) == legs_of(second)
    assert (first.key, first.tag) == (second.key, second.tag)
    suffix = leg_suffix("gross", "", "", 3)
    key_field = field("one/p1")
    assert second.legs[0].id == transfer_id(time_ms=5000, key_field=key_field, suffix=suffix)
    with pytest.raises(ValueError, match="attempt 8"):
        translator.translate(event("pay.one", ONE), role="other", attempt=8)


def test_shortfall_parts(translator: Translator) -> None:
    """The wallet gives what it has, the receivable the rest; the control account ends at zero."""
    chain = chain_of(translator, event("pay.take", {"customer": "c", "amount": 30}))
    assert legs_of(chain) == [
        ("taken", "shortfall_control", "clearing", 30),
        ("taken.account", "wallet:c", "shortfall_control", 30),
        ("taken.shortfall", "owed:c", "shortfall_control", 30),
    ]
    flags = [leg.spec.flags for leg in chain.legs]
    assert flags == [0, TransferFlags.BALANCING_DEBIT, TransferFlags.BALANCING_CREDIT]
    assert {leg.spec.code for leg in chain.legs} == {5}
    suffix = leg_suffix("taken", "", "shortfall", 0)
    key_field = field("event/evt_1")
    made = transfer_id(time_ms=SECONDS * 1000, key_field=key_field, suffix=suffix)
    assert chain.legs[2].id == made


def test_every_part_is_in_the_leg_s_own_currency(translator: Translator) -> None:
    """A leg may be of another currency than its transaction: then all its transfers are."""
    asked = {"customer": "c", "amount": 30, "currency": "jpy"}
    chain = chain_of(translator, event("pay.take_other", asked))
    assert [leg.currency.name for leg in chain.legs] == ["jpy"] * 3
    assert {ref.ledger for ref in chain.accounts()} == {392}


def test_repay_first_parts(translator: Translator) -> None:
    """The receivable is repaid as far as it is open, the wallet gets the rest."""
    chain = chain_of(translator, event("pay.give", {"customer": "c", "amount": 30}))
    assert legs_of(chain) == [
        ("given", "clearing", "shortfall_control", 30),
        ("given.shortfall", "shortfall_control", "owed:c", 30),
        ("given.account", "shortfall_control", "wallet:c", 30),
    ]
    flags = [leg.spec.flags for leg in chain.legs]
    assert flags == [0, TransferFlags.BALANCING_CREDIT, TransferFlags.BALANCING_DEBIT]


BALANCES = [
    # type       wallet  owed  amount  then the wallet, and what is owed
    ("pay.take", 60, 0, 100, (0, 40)),
    ("pay.take", 60, 0, 60, (0, 0)),
    ("pay.take", 0, 5, 30, (0, 35)),
    ("pay.give", 10, 40, 100, (70, 0)),
    ("pay.give", 0, 40, 30, (0, 10)),
    ("pay.give", 5, 0, 30, (35, 0)),
]


@pytest.mark.parametrize(("event_type", "wallet", "owed", "amount", "then"), BALANCES)
def test_shortfalls_in_a_ledger(  # noqa: PLR0913, PLR0917 - one argument per column
    translator: Translator,
    event_type: str,
    wallet: int,
    owed: int,
    amount: int,
    then: tuple[int, int],
) -> None:
    """The parts of a shortfall balance in a ledger, and the control account ends at zero."""
    chain = chain_of(translator, event(event_type, {"customer": "c", "amount": amount}))
    refs = {ref.name: ref for ref in chain.accounts()}
    ledger = EmbeddedLedger()
    ledger.create_accounts(b"".join(ref.row() for ref in refs.values()))
    clearing = refs["clearing"].id
    seeds = ((clearing, refs["wallet"].id, wallet), (refs["owed"].id, clearing, owed))
    rows = [
        Transfer(id=n + 1, debit_account_id=d, credit_account_id=c, amount=a, ledger=840, code=1)
        for n, (d, c, a) in enumerate(seeds)
    ]
    ledger.create_transfers(b"".join(map(pack_transfer, rows)))
    results = ledger.create_transfers(pack_chain(chain, position=1, pending={}))
    assert {result.status for result in results} == {CreateTransferStatus.CREATED}
    held = {name: ledger.lookup_accounts([ref.id])[0] for name, ref in refs.items()}
    net = {name: each.credits_posted - each.debits_posted for name, each in held.items()}
    assert (net["wallet"], -net["owed"], net["shortfall_control"]) == (*then, 0)


def test_posts_name_every_attempt_of_what_they_post(translator: Translator) -> None:
    """A post or void carries the ids that its reservation has at each attempt, item by item."""
    parts = [{"customer": "a", "amount": 1}, {"customer": "b", "amount": 2}]
    held = event("pay.hold", {"parts": parts})
    single = event("pay.fact_hold", {"id": "f", "created": SECONDS, "customer": "a", "amount": 9})
    content = {"parts": parts, "event": "evt_1", "fact": "f", "then": SECONDS, "amount": 4}
    legs = chain_of(translator, event("pay.capture", content)).legs
    reserved = [chain_of(translator, held, attempt=n).legs for n in range(8)]
    for item in (0, 1):
        assert legs[item].pending_ids == tuple(chain[item].id for chain in reserved)
    single_ids = tuple(chain_of(translator, single, attempt=n).legs[0].id for n in range(8))
    assert legs[2].pending_ids == legs[3].pending_ids == single_ids
    assert [leg.amount for leg in legs] == [AMOUNT_MAX, AMOUNT_MAX, 4, 0]
    assert [leg.spec.kind for leg in legs] == ["post", "post", "post", "void"]
    assert all(leg.debit is None and leg.credit is None and leg.spec.code == 0 for leg in legs)
    assert legs[0].spec.flags == TransferFlags.POST_PENDING_TRANSFER
    assert legs[3].spec.flags == TransferFlags.VOID_PENDING_TRANSFER
    assert reserved[0][0].spec.flags == TransferFlags.PENDING
    assert reserved[0][0].spec.timeout == 60
