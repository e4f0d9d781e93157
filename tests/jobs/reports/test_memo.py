"""Memo accounts in the trial balance: in no line and no sum, and at zero."""

from __future__ import annotations

import json

import pytest

from tests.jobs.reports.played import Played
from worker.commands.cli import main
from worker.config.settings import Settings
from worker.jobs.reports.trial_balance import AccountTotal, TrialBalance
from worker.ledger.books import NamedLedger
from worker.rulebooks.load import PACKAGED, load

USD = 840


def balance(day: Played, **totals: AccountTotal) -> TrialBalance:
    """A trial balance of these totals, in dollars."""
    books = NamedLedger(day.ledger, load(PACKAGED), Settings())
    return TrialBalance(books, 1, "made up", {(name, USD): each for name, each in totals.items()})


def test_a_memo_account_at_zero_is_in_no_statement(day: Played) -> None:
    """What only passed through is in no line, and in no sum."""
    found = balance(
        day,
        bank=AccountTotal(debits=5),
        suspense=AccountTotal(credits=5),
        shortfall_control=AccountTotal(debits=70, credits=70),
    )
    assert [line.account for line in found.lines()] == ["bank", "suspense"]
    assert found.balanced() == {"usd": (5, 5)}
    assert found.agrees


def test_a_memo_account_that_holds_something_is_told(day: Played) -> None:
    """It is listed, and the books do not agree though debits equal credits."""
    found = balance(day, bank=AccountTotal(debits=5), shortfall_control=AccountTotal(credits=5))
    assert [line.account for line in found.lines()] == ["bank", "shortfall_control"]
    assert found.open_memos() == [("shortfall_control", "usd")]
    assert found.balanced() == {"usd": (5, 5)}
    assert not found.agrees


@pytest.mark.usefixtures("ledger_settings")
def test_shortfalls_of_a_day_leave_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    """After a day of traffic the control account is in no line."""
    assert main(["trial-balance", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["open_memos"] == []
    assert "shortfall_control" not in {line["account"] for line in found["accounts"]}
