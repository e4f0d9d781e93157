"""Each bound of what an event may ask for: at the bound it is taken, one beyond it is dead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.translating import MOVE, ONE, changed, event, new_translator
from worker.core.chain import Chain
from worker.core.event import ATTEMPT_MAX, CREATED_MAX, Dead, Event, Reason, Skipped
from worker.core.ids import FAMILY_KEY_BYTES, OFFSET_BITS, TIME_SHIFT, fact_key
from worker.core.keys import FACT_LIMIT
from worker.core.money import AMOUNT_LIMIT
from worker.core.translate import ITEMS_MAX, Translator
from worker.core.wire import AMOUNT_MAX, ROW_BYTES
from worker.rulebooks.load import load

RULES = """
version: 1
ledgers: {usd: {id: 840, scale: 2}}
accounts:
  bank: {code: 1, type: asset}
  fees: {code: 2, type: revenue}
transactions:
  early:
    on: paid
    until: 2020-01-01
    currency: usd
    transfers: {leg: {debit: bank, credit: fees, amount: 1, code: 1}}
  late:
    on: paid
    from: 2020-01-01
    until: 2021-01-01
    currency: usd
    transfers: {leg: {debit: bank, credit: fees, amount: 1, code: 2}}
  told:
    on: told
    idempotency_key: data.object.key
    idempotency_time: data.object.at
    currency: usd
    transfers: {leg: {debit: bank, credit: fees, amount: 1, code: 3}}
  after:
    on: after
    currency: usd
    origin: {transaction: told, key: data.object.key, time: data.object.at}
    transfers: {leg: {debit: origin.leg.credit, credit: bank, amount: 1, code: 4}}
"""
NEW_YEAR, NEXT_YEAR = 1_577_836_800, 1_609_459_200
Made = Chain | Dead | Skipped


def test_the_bounds_are_these() -> None:
    """Ids and formats rest on them: another number would be another ledger."""
    assert AMOUNT_LIMIT == 9_223_372_036_854_775_807  # what a signed 64-bit column holds
    assert CREATED_MAX == 253_402_300_799  # 9999-12-31T23:59:59Z
    assert FACT_LIMIT == 9_223_372_036_854_775_808
    assert (ATTEMPT_MAX, ITEMS_MAX) == (7, 16_384)
    assert (FAMILY_KEY_BYTES, TIME_SHIFT, OFFSET_BITS) == (28, 80, 40)
    assert AMOUNT_MAX == 340_282_366_920_938_463_463_374_607_431_768_211_455
    assert ROW_BYTES == 128


@pytest.fixture
def rules(tmp_path: Path) -> Callable[[Event], Made]:
    (tmp_path / "rules.yaml").write_text(RULES)
    translator = Translator(load(tmp_path / "rules.yaml"))
    return lambda told: translator.translate(told, role="any")


def reason(made: Made) -> str:
    """Why an event is dead; empty when it makes a chain."""
    return made.reason.value if isinstance(made, Dead) else ""


@pytest.mark.parametrize(
    ("amount", "dead"),
    [
        (AMOUNT_LIMIT, ""),
        (AMOUNT_LIMIT + 1, "bad_amount"),
        (1, ""),
        (-1, "bad_amount"),
        (True, "bad_amount"),
        (1.0, "bad_amount"),
    ],
)
def test_amounts(amount: object, dead: str) -> None:
    """Up to 2^63 - 1 and never below zero."""
    made = new_translator().translate(event("pay.move", changed(MOVE, amount=amount)), role="other")
    assert reason(made) == dead
    if isinstance(made, Chain):
        assert made.legs[0].amount == amount


@pytest.mark.parametrize(
    ("fee", "dead"), [(-AMOUNT_LIMIT, ""), (-AMOUNT_LIMIT - 1, "bad_amount"), (-1, "")]
)
def test_signed_amounts(fee: int, dead: str) -> None:
    """As far below zero as above it, and then the sides are changed over."""
    made = new_translator().translate(event("pay.move", changed(MOVE, fee=fee)), role="other")
    assert reason(made) == dead
    if isinstance(made, Chain):
        _, leg = made.legs
        assert leg.debit
        assert leg.credit
        assert (leg.debit.name, leg.credit.name, leg.amount) == ("clearing", "wallet", -fee)


@pytest.mark.parametrize(
    ("created", "code"),
    [(NEW_YEAR - 1, 1), (NEW_YEAR, 2), (NEXT_YEAR - 1, 2), (NEXT_YEAR, 0), (0, 1)],
)
def test_when_a_rule_holds(rules: Callable[[Event], Made], created: int, code: int) -> None:
    """From its first second on, up to and without the second of its end."""
    made = rules(event("paid", {}, created=created))
    assert (made.legs[0].spec.code if isinstance(made, Chain) else 0) == code


@pytest.mark.parametrize(
    ("at", "dead"),
    [
        (0, ""),
        (-1, "bad_time"),
        (CREATED_MAX, ""),
        (CREATED_MAX + 1, "bad_time"),
        (None, "missing_field"),
        (True, "bad_time"),
        ("1", "bad_time"),
    ],
)
def test_times_of_identity(rules: Callable[[Event], Made], at: object, dead: str) -> None:
    """Whole seconds that four digits of a year can hold; it is the upper part of each id."""
    for kind in ("told", "after"):
        made = rules(event(kind, {"key": "k", "at": at}))
        assert reason(made) == dead
        if isinstance(made, Chain) and kind == "told":
            assert made.legs[0].id >> 80 == int(str(at)) * 1000
        if isinstance(made, Chain) and kind == "after":
            assert made.needs
            assert made.needs.origin
            assert made.needs.origin.time_ms == int(str(at)) * 1000


@pytest.mark.parametrize(
    ("key", "dead"),
    [
        (FACT_LIMIT - 1, ""),
        (FACT_LIMIT, "bad_key"),
        (-FACT_LIMIT, ""),
        (-FACT_LIMIT - 1, "bad_key"),
        (0, ""),
        (None, "missing_field"),
        (True, "bad_key"),
        (1.5, "bad_key"),
        ("", "bad_key"),
        ("k", ""),
    ],
)
def test_keys_of_facts(rules: Callable[[Event], Made], key: object, dead: str) -> None:
    """A text, or a number of 64 bits."""
    made = rules(event("told", {"key": key, "at": 1}))
    assert reason(made) == dead
    assert reason(rules(event("after", {"key": key, "at": 1}))) == dead
    if isinstance(made, Chain):
        assert made.key == fact_key("told", key)  # type: ignore[arg-type] # text or number


def test_items_of_loops() -> None:
    """All loops of an event together: one item more is too many."""
    translator, cell = new_translator(), {"amount": 7}
    for more, dead in ((0, ""), (1, Reason.TOO_MANY_LEGS)):
        rows = [{"customer": "c", "cells": [cell] * count} for count in (ITEMS_MAX - 2, more)]
        made = translator.translate(event("pay.grid", {"rows": rows}), role="other")
        assert reason(made) == dead
        assert dead or isinstance(made, Skipped)  # seven is what the rule leaves out


@pytest.mark.parametrize("attempt", [-1, ATTEMPT_MAX + 1])
def test_attempts(attempt: int) -> None:
    """From 0 to 7, and each has ids of its own."""
    translator, told = new_translator(), event("pay.one", ONE)
    chains = [translator.translate(told, role="other", attempt=each) for each in range(8)]
    ids = {chain.legs[0].id for chain in chains if isinstance(chain, Chain)}
    assert len(ids) == ATTEMPT_MAX + 1
    with pytest.raises(ValueError, match="is not within 0 to 7"):
        translator.translate(told, role="other", attempt=attempt)


@pytest.mark.parametrize(
    ("books", "account", "context", "taken"),
    [
        ("", None, None, True),
        ("", "acct_2", None, False),
        ("", None, "acct_2", False),
        ("", None, "acct_2/", False),
        ("acct_2", None, None, True),
        ("acct_2", "acct_2", "acct_1/acct_2", True),
        ("acct_2", None, "acct_2", True),
        ("acct_2", None, "acct_2/acct_3", False),
        ("acct_2", "acct_3", None, False),
        ("acct_2", "acct_3", "acct_2", False),
        ("acct_2", "acct_2", "acct_3", False),
        ("acct_2", None, ["acct_2"], False),
        ("*", "acct_3", "acct_4", True),
    ],
)
def test_whose_books(
    *, books: str, account: object, context: object, taken: bool, tmp_path: Path
) -> None:
    """An event of another's books is dead before any rule looks at it."""
    (tmp_path / "rules.yaml").write_text(RULES)
    translator = Translator(load(tmp_path / "rules.yaml"), account=books)
    told = event("told", {"key": "k", "at": 1}, account=account, context=context)
    made = translator.translate(told, role="any")
    assert reason(made) == ("" if taken else Reason.WRONG_MODE)
