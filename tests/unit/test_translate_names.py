"""Identity and names: ids that never change, accounts told from what the ledger holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.translating import SECONDS, chain_of, event, new_translator
from worker.core import account_ids as accounts_module
from worker.core.ids import account_user_data, hex_id
from worker.core.money import major_units
from worker.core.translate import Translator
from worker.core.wire import Account
from worker.rulebooks.load import PACKAGED, load

GOLDEN = Path(__file__).parents[1] / "golden" / "ids.json"


@pytest.fixture(scope="module")
def translator() -> Translator:
    """One translator for the module: translation keeps nothing but caches."""
    return new_translator()


def test_priorities_and_lookups(translator: Translator) -> None:
    """Roles have the rulebook's priority; ledgers, legs and accounts can be named."""
    assert [translator.rulebook.priority_of(role) for role in ("payments", "slow", "x")] == [
        "high", "low", "normal",
    ]  # fmt: skip
    currency = translator.currency_of(392)
    assert currency is not None
    assert (currency.name, currency.scale) == ("jpy", 0)
    assert translator.currency_of(1) is None
    spec = translator.spec("take", "taken.account")
    assert spec is not None
    assert (spec.part, spec.code) == ("account", 5)
    assert translator.spec("take", "nothing") is None


def held_account(code: int, data: tuple[int, int, int]) -> Account:
    """An account as the ledger would hold it."""
    wide, middle, narrow = data
    return Account(
        id=9, user_data_128=wide, user_data_64=middle, user_data_32=narrow, ledger=840, code=code
    )


NAMES = [
    # code  user data                              name        key
    (2001, account_user_data("c1"), "wallet", "c1"),
    (1100, (0, 0, 0), "clearing", ""),
    (1234, account_user_data("x"), "code:1234", "x"),
    (1234, (0xFF, 0, 0), "code:1234", "#ff" + "00" * 27),
]


@pytest.mark.parametrize(("code", "data", "name", "key"), NAMES)
def test_accounts_are_named_from_the_ledger(
    translator: Translator, code: int, data: tuple[int, int, int], name: str, key: str
) -> None:
    """An account's code and user data say what it is, also when we did not make it."""
    ref = translator.name_account(held_account(code, data))
    assert (ref.name, ref.key, ref.id, ref.ledger) == (name, key, 9, 840)


def test_account_cache_is_bounded(translator: Translator) -> None:
    """Two generations of accounts are kept, and what is dropped is made again alike."""
    cache = translator._accounts
    account = translator.rulebook.accounts["wallet"]
    first = cache.ref(account, 840, "c0")
    for number in range(2 * accounts_module.GENERATION_MAX + 5):
        cache.ref(account, 840, f"k{number}")
    assert len(cache._young) + len(cache._old) <= 2 * accounts_module.GENERATION_MAX
    assert cache.ref(account, 840, "c0") == first
    cache.ref(account, 840, "long" * 1000)
    assert all(len(key) < 1000 for _, _, key in cache._young)


def test_an_account_is_made_once_while_it_is_used(translator: Translator) -> None:
    """Asked for again it is the same one, also from the generation before."""
    cache = translator._accounts
    account = translator.rulebook.accounts["wallet"]
    first = cache.ref(account, 840, "c0")
    assert cache.ref(account, 840, "c0") is first
    for number in range(accounts_module.GENERATION_MAX):
        cache.ref(account, 840, f"k{number}")
    assert cache.ref(account, 840, "c0") is first


MAJOR = [
    # amount scale text
    (1234, 2, "12.34"),
    (5, 3, "0.005"),
    (-5, 2, "-0.05"),
    (70, 0, "70"),
    (0, 2, "0.00"),
]


@pytest.mark.parametrize(("amount", "scale", "text"), MAJOR)
def test_major_units(amount: int, scale: int, text: str) -> None:
    """Minor units are written in major ones without a float."""
    assert major_units(amount, scale) == text


def golden_cases() -> list[dict[str, Any]]:
    """Events of every kind of identity, with what is asked of them."""
    charge = {"id": "ch_1", "created": SECONDS, "amount": 250, "currency": "usd",
              "customer": "cus_1", "paid": True, "captured": True}  # fmt: skip
    withdrawal = {"id": "wd_1", "created": SECONDS, "customer": "cus_1", "amount": 9,
                  "currency": "jpy"}  # fmt: skip
    shares = [{"customer": "cus_é", "amount": 1}, {"customer": "c" * 29, "amount": 2}]
    contents: list[tuple[str, object, int]] = [
        ("charge.succeeded", charge, 0),
        ("charge.succeeded", charge, 7),
        ("charge.succeeded", {**charge, "customer": None}, 0),
        ("wallet.split_bill", {"payer": "cus_1", "shares": shares, "currency": "kwd"}, 0),
        ("wallet.withdrawal", withdrawal, 0),
        ("wallet.withdrawal_paid", withdrawal, 0),
    ]
    return [{"type": kind, "object": content, "attempt": n} for kind, content, n in contents]


def golden_ids(translator: Translator, case: dict[str, Any]) -> dict[str, Any]:
    """Everything about a chain that may never change."""
    chain = chain_of(translator, event(case["type"], case["object"]), attempt=case["attempt"])
    return {
        "key": chain.key,
        "user_data_128": hex_id(chain.tag),
        "legs": [
            {
                "leg": leg.spec.name,
                "id": hex_id(leg.id),
                "debit": hex_id(leg.debit.id) if leg.debit else None,
                "credit": hex_id(leg.credit.id) if leg.credit else None,
                "pending_ids": [hex_id(each) for each in leg.pending_ids],
            }
            for leg in chain.legs
        ],
    }


def test_ids_are_pinned() -> None:
    """The packaged rulebook's ids are those of the golden file, for ever.

    UPDATE_GOLDEN=1 writes the file anew: only for new cases, never for other ids.
    """
    translator = Translator(load(PACKAGED))
    found = [{**case, "chain": golden_ids(translator, case)} for case in golden_cases()]
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=True) + "\n")
    assert json.loads(GOLDEN.read_text()) == found
