"""Balances as gauges: those asked for, the ledger's own figures, never in the loop's way."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from worker.config.settings import PACKAGED_RULEBOOK
from worker.core.errors import UsageError
from worker.core.ids import account_id
from worker.core.wire import Account, Transfer, pack_account, pack_transfer
from worker.ledger.embedded import EmbeddedLedger
from worker.observe.balance_gauges import BalanceGauges, gauged_accounts
from worker.rulebooks.load import load

BOOK = load(PACKAGED_RULEBOOK)
USD, JPY = (BOOK.ledgers[name].ledger for name in ("usd", "jpy"))


class WaitingThread(Executor):
    """A ledger's thread that answers when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def answer(self) -> None:
        future, call = self.waiting.pop()
        future.set_result(call())


@pytest.fixture(name="ledger")
def _ledger() -> EmbeddedLedger:
    """Clearing holds 12.34 usd against fee income, and 500 jpy."""
    ledger = EmbeddedLedger(path=None)
    clearing, income = BOOK.accounts["stripe_clearing"], BOOK.accounts["fee_revenue"]
    for number, (currency, amount) in enumerate([(USD, 1234), (JPY, 500)], start=1):
        ids = [account_id(ledger=currency, name=one.name, key="") for one in (clearing, income)]
        rows = [
            Account(id=key, ledger=currency, code=one.code)
            for key, one in zip(ids, (clearing, income), strict=True)
        ]
        ledger.create_accounts(b"".join(map(pack_account, rows)))
        transfer = Transfer(
            id=number, debit_account_id=ids[0], credit_account_id=ids[1], amount=amount,
            ledger=currency, code=1,
        )  # fmt: skip
        ledger.create_transfers(pack_transfer(transfer))
    return ledger


def test_asked_for_accounts_are_shown_as_the_ledger_holds_them(ledger: EmbeddedLedger) -> None:
    """Major units of the currency's scale, positive on the side that the account grows by."""
    thread = WaitingThread()
    shown: dict[tuple[str, str], float] = {}
    gauges = BalanceGauges(
        ledger=ledger,
        thread=thread,
        accounts=gauged_accounts(BOOK, ["stripe_clearing", "fee_revenue", "bank"]),
        show=lambda account, currency, value: shown.update({(account, currency): value}),
        every_seconds=30,
    )
    gauges.refresh(0.0)
    assert shown == {}
    thread.answer()
    gauges.refresh(0.1)
    assert shown == {
        ("stripe_clearing", "usd"): 12.34,
        ("stripe_clearing", "jpy"): 500,
        ("fee_revenue", "usd"): 12.34,
        ("fee_revenue", "jpy"): 500,
    }


def test_the_ledger_is_asked_now_and_then_and_never_twice_at_once(ledger: EmbeddedLedger) -> None:
    """One lookup under way, the next one not before its time; an unanswered one is waited out."""
    thread = WaitingThread()
    gauges = BalanceGauges(
        ledger=ledger,
        thread=thread,
        accounts=gauged_accounts(BOOK, ["bank"]),
        show=lambda *_: None,
        every_seconds=30,
    )
    asked = []
    for second in range(100):
        if second == 70:
            thread.answer()
        gauges.refresh(float(second))
        asked.append(len(thread.waiting))
    assert asked == [1] * 70 + [0] + [1] * 29


def test_nothing_is_asked_when_nobody_wants_to_know(ledger: EmbeddedLedger) -> None:
    """Without the setting the ledger gets no request."""
    thread = WaitingThread()
    gauges = BalanceGauges(
        ledger=ledger, thread=thread, accounts={}, show=lambda *_: None, every_seconds=5
    )
    gauges.refresh(1000.0)
    assert thread.waiting == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cash", "declares no account 'cash'"),
        ("customer_wallet", "customer_wallet has one account per customer"),
    ],
)
def test_unbounded_or_unknown_accounts_are_refused(name: str, says: str) -> None:
    """A family would be a series for each customer; a name that is not declared is a mistake."""
    with pytest.raises(UsageError, match=says):
        gauged_accounts(BOOK, [name])
