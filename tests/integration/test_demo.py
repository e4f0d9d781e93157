"""The demo: the whole worker on an embedded broker and ledger."""

from __future__ import annotations

import json
import re

import pytest

from worker.commands.cli import main


def test_the_demo_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole worker on an embedded broker: nothing differs, and something of everything came."""
    assert main(["demo", "--events", "400", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["agrees"]
    assert figures["differences"] == []
    assert figures["announced"] == figures["transfers"] > 200
    assert figures["rejected"] == figures["events"]["overdraft"]
    assert {"posted", "redelivered", "rejected", "dead"} <= set(figures["outcomes"])
    assert figures["stripe_balance"] == figures["stripe_clearing"]
    assert set(figures["stripe_balance"]) == {"usd", "eur", "gbp", "jpy"}


def test_balances_are_on_the_account_s_own_side(capsys: pytest.CaptureFixture[str]) -> None:
    """What the bank and Stripe hold is positive, as what is owed to customers is."""
    assert main(["demo", "--events", "400"]) == 0
    page = capsys.readouterr().out
    assert "assets and expenses: debits less credits; all others: credits less debits\n" in page
    clearing = re.findall(r"clearing = Stripe  (\w+) (\S+) =", page)
    assert len(clearing) == 4
    for currency, amount in clearing:
        assert re.search(rf"stripe_clearing +1 +{re.escape(amount)} {currency}\n", page)
    assert re.search(r"customer_wallet +\d+ +\d+\.\d\d usd\n", page)
