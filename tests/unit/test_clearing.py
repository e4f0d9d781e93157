"""`check` names each leg that a clearing account can never get rid of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from worker.rulebooks.clearing import never_balanced
from worker.rulebooks.load import PACKAGED, load

RULES = """\
version: 1
ledgers:
  usd: {id: 840, scale: 2}
  eur: {id: 978, scale: 2}
accounts:
  till: {title: Clearing of the till, code: 1, type: asset}
  wallet: {code: 2, type: liability, per: customer}
  in_transit: {code: 3, type: asset, per: payout}
  bank: {code: 4, type: asset}
transactions:
  charge:
    on: charge.succeeded
    currency: usd
    transfers:
      gross: {debit: till, credit: "wallet[data.object.customer]", amount: 1, code: 1}
  refund:
    on: refund.created
    origin: {transaction: charge, key: data.object.charge}
    currency: data.object.currency
    transfers:
      back: {debit: origin.gross.credit, credit: origin.gross.debit, amount: 1, code: 2}
  payout:
    on: payout.created
    currency: usd
    transfers:
      sent: {debit: "in_transit[data.object.id]", credit: till, amount: 1, code: 3, pending: true}
  arrived:
    on: payout.paid
    currency: usd
    transfers:
      settled:
        post: {transaction: payout, leg: sent, key: data.object.event, time: data.object.created}
      arrived: {debit: bank, credit: "in_transit[data.object.id]", amount: 1, code: 4}
"""
PAID = RULES[RULES.index("      arrived: {debit: bank") :]
REFUND = RULES[RULES.index("  refund:\n") : RULES.index("  payout:\n")]
PAYOUTS = RULES[RULES.index("  payout:\n") :]
CHARGE = RULES[RULES.index("    on: charge") : RULES.index("  refund:\n")]
CHARGED = "leg charge.gross debits till, and nothing in force then or later credits it in usd"
SENT = "leg arrived.settled debits in_transit, and nothing in force then or later credits it in usd"
EURO = "leg arrived.arrived credits in_transit, and nothing in force then or later debits it in eur"
BANK = "leg arrived.arrived debits bank, and nothing in force then or later credits it in usd"

CASES = [
    # what stands there        what is put instead              line  legs that nothing balances
    ("", "", []),
    (PAID, "", [(31, SENT)]),
    (REFUND, "", []),
    (REFUND + PAYOUTS, "", [(15, CHARGED)]),
    (REFUND + PAYOUTS, REFUND.replace("    on:", "    until: 2025-01-01\n    on:"), []),
    (CHARGE + REFUND + PAYOUTS, "    from: 2026-01-01\n" + CHARGE
     + REFUND.replace("    on:", "    until: 2025-01-01\n    on:"), [(16, CHARGED)]),
    ("Clearing of the till", "Till", []),
    (PAID, PAID.replace("debit: bank", "currency: eur, debit: bank"),
     [(31, SENT), (33, EURO)]),
    ("  bank: {code: 4, type: asset}", "  bank: {code: 4, type: asset, clearing: true}",
     [(33, BANK)]),
    (PAID, PAID.replace("amount: 1", "amount: 1, signed: true"), []),
]  # fmt: skip


def found(tmp_path: Path, text: str) -> list[tuple[int, str]]:
    """Line and first half of each warning."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return [(line, said.split(": ")[0]) for line, said in never_balanced(load(path))]


@pytest.mark.parametrize(("there", "instead", "expected"), CASES)
def test_legs_that_nothing_balances(
    tmp_path: Path, there: str, instead: str, expected: list[tuple[int, str]]
) -> None:
    """Only what no leg in force then or later, in its currency, moves back is told."""
    assert there in RULES
    assert found(tmp_path, RULES.replace(there, instead, 1)) == expected


NEEDED: list[tuple[tuple[str, ...], set[str]]] = [
    # rules that are gone                                     legs that nothing balances then
    (("payout_created", "payout_paid", "payout_returned"), set()),
    (("withdrawal_paid",), set()),
    (("exchange", "p2p", "settled"), set()),
]  # fmt: skip


@pytest.mark.parametrize(("gone", "expected"), NEEDED)
def test_the_packaged_rules_need_each_other(gone: tuple[str, ...], expected: set[str]) -> None:
    """Without the rules that end a payout or a dispute, those that begin one are told."""
    book = load(PACKAGED)
    kept = tuple(rule for rule in book.transactions if rule.name not in gone)
    told = {said.split()[1] for _, said in never_balanced(replace(book, transactions=kept))}
    assert told == expected
