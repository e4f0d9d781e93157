"""What must be true of an event before it is posted: `require:`, and memo accounts at zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.translating import event
from worker.core.chain import Chain
from worker.core.errors import UsageError
from worker.core.event import Dead
from worker.core.translate import Translator
from worker.rulebooks.load import load
from worker.rulebooks.lock import rule_digest

RULES = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
  eur: {id: 978, scale: 2}
ignore: ["*"]
accounts:
  till: {code: 1100, type: asset}
  wallet: {code: 2001, type: liability, per: customer}
  shortfall_control: {code: 9900, type: memo}
  control: {code: 9910, type: memo}
transactions:
  plain:
    on: pay.plain
    require:
      there is an amount: data.object.amount > 0
      nobody pays himself: {that: data.object.from != data.object.to, reason: bad_key}
    currency: usd
    transfers:
      paid:
        debit: wallet[data.object.from]
        credit: wallet[data.object.to]
        amount: data.object.amount
        code: 1
  split:
    on: pay.split
    transfers:
      in:
        for_each: data.object.in
        debit: till
        credit: control
        currency: item.currency
        amount: item.amount
        signed: true
        code: 2
      out:
        for_each: data.object.out
        debit: control
        credit: wallet[item.customer]
        currency: item.currency
        amount: item.amount
        code: 3
"""
PLAIN = {"from": "a", "to": "b", "amount": 5}


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    """A translator for the rules above."""
    return Translator(load(written(tmp_path_factory.mktemp("rules"), RULES)))


def written(folder: Path, text: str) -> Path:
    """A rulebook file."""
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def answer(translator: Translator, kind: str, content: dict[str, Any]) -> str:
    """The reason and sentence of a dead letter, or how many legs the chain has."""
    found = translator.translate(event(kind, content), role="other")
    if isinstance(found, Dead):
        return f"{found.reason}: {found.detail}"
    return f"{len(found.legs)} legs" if isinstance(found, Chain) else found.outcome


ILL_TYPED = (
    "missing_field: plain require 'there is an amount': "
    "data.object.amount > 0 needs two whole numbers or two strings"
)
CONDITIONS = [
    # changes            answer
    ({},                 "1 legs"),
    ({"amount": 0},      "bad_amount: plain: it is not true that there is an amount"),
    ({"amount": -1},     "bad_amount: plain: it is not true that there is an amount"),
    ({"to": "a"},        "bad_key: plain: it is not true that nobody pays himself"),
    ({"amount": "5"},    ILL_TYPED),
    ({"amount": None},   ILL_TYPED),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), CONDITIONS)
def test_a_false_requirement_is_a_dead_letter(
    translator: Translator, changes: dict[str, Any], says: str
) -> None:
    """Never ignored, although the rulebook would ignore what no rule answers."""
    assert answer(translator, "pay.plain", PLAIN | changes) == says


def test_the_first_that_fails_is_told(translator: Translator) -> None:
    """Requirements are asked in the file's order."""
    assert "there is an amount" in answer(translator, "pay.plain", PLAIN | {"amount": 0, "to": "a"})


def line(amount: int, currency: str = "usd", customer: str = "c") -> dict[str, Any]:
    """One element of `in` or `out`."""
    return {"amount": amount, "currency": currency, "customer": customer}


ZERO = "bad_amount: split: control would not end at zero in"
AT_ZERO = [
    # in                               out                                  answer
    ([line(60)],                       [line(60)],                          "2 legs"),
    ([line(60), line(40)],             [line(100)],                         "3 legs"),
    ([line(60), line(40, "eur")],      [line(40, "eur"), line(60)],         "4 legs"),
    ([line(100), line(-40)],           [line(60)],                          "3 legs"),
    ([],                               [],                                  "nothing_to_post"),
    ([line(60)],                       [],                                  f"{ZERO} usd"),
    ([line(60)],                       [line(59)],                          f"{ZERO} usd"),
    ([line(60)],                       [line(60, "eur")],                   f"{ZERO} usd"),
    ([line(60), line(1, "eur")],       [line(60)],                          f"{ZERO} eur"),
    ([line(2**63 - 1)] * 3,            [line(2**63 - 1)] * 2,               f"{ZERO} usd"),
]  # fmt: skip


@pytest.mark.parametrize(("into", "out", "says"), AT_ZERO)
def test_a_memo_account_ends_at_zero(
    translator: Translator, into: list[dict[str, Any]], out: list[dict[str, Any]], says: str
) -> None:
    """A chain that leaves it with a balance in any currency is a dead letter."""
    assert answer(translator, "pay.split", {"in": into, "out": out}) == says


LEG = "        amount: item.amount\n        code: 3\n"
MAPPING = """\
    require:
      there is an amount: data.object.amount > 0
      nobody pays himself: {that: data.object.from != data.object.to, reason: bad_key}
"""
LIST = "    require: [data.object.amount > 0]\n"
WRONG = [
    # there                              instead                                 says
    ("data.object.amount > 0\n",         "data.object.amount +\n",               "ends too early"),
    ("data.object.amount > 0\n",         "1 > 0\n",               "is the same for every event"),
    ("data.object.amount > 0\n",         "[a]\n",                 "an expression is needed"),
    ("reason: bad_key",                  "reason: no_rule",       "one of bad_amount, bad_key"),
    ("{that: data.object.from",          "{when: data.object.from",    "`that` is missing"),
    (MAPPING,                            LIST,                    "`require` must be a mapping"),
    (LEG,                                f"{LEG}        pending: true\n",  "it reserves nothing"),
    (LEG,                                f"{LEG}        flags: [balancing_debit]\n", "by how much"),
    (LEG,                                f"{LEG}        repay_first: till\n", "no shortfall goes"),
    (LEG,           f"{LEG}        suspense: {{debit: till}}\n",     "nothing replaces it"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "instead", "says"), WRONG)
def test_mistakes_in_a_rulebook(tmp_path: Path, there: str, instead: str, says: str) -> None:
    """What cannot be required, or cannot end at zero, is a mistake of the file."""
    assert there in RULES
    with pytest.raises(UsageError, match=r"rules\.yaml:\d+: ") as caught:
        load(written(tmp_path, RULES.replace(there, instead, 1)))
    assert says in str(caught.value)


def test_what_is_required_is_locked(tmp_path: Path) -> None:
    """Another condition is another rule; a rule without any has the digest that it always had."""
    first = "there is an amount: data.object.amount > 0"
    kept = load(written(tmp_path, RULES)).transactions
    changed = load(written(tmp_path, RULES.replace(first, f"{first} - 1"))).transactions
    assert rule_digest(kept[0]) != rule_digest(changed[0])
    assert rule_digest(kept[1]) == rule_digest(changed[1])
