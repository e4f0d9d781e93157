"""Balances as gauges for charts: floats in major units, as old as the last reading, no books."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future

from worker.core.errors import UsageError
from worker.core.ids import account_id
from worker.core.money import major_units
from worker.core.ports import Ledger
from worker.core.rulebook import DeclaredAccount, Rulebook
from worker.core.wire import Account as StoredAccount

Show = Callable[[str, str, float], None]
"""Takes an account's name, its currency, and what it holds in major units."""


class BalanceGauges:
    """Reads the accounts every so often, on the ledger's own thread.

    An account that is not in the ledger yet is not shown.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        thread: Executor,
        accounts: Mapping[int, tuple[DeclaredAccount, str, int]],
        show: Show,
        every_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._thread = thread
        self._accounts = accounts
        self._show = show
        self._every_seconds = every_seconds
        self._requested_at = -every_seconds
        self._lookup: Future[list[StoredAccount]] | None = None

    def refresh(self, now: float | None = None) -> None:
        """Request when due, show what was answered; never waits. Called in every round of the loop.

        now: in seconds of the monotonic clock, which is the default.
        """
        now = time.monotonic() if now is None else now
        if self._lookup is not None:
            if self._lookup.done():
                self._show_found(self._lookup.result())
                self._lookup = None
        elif self._accounts and now - self._requested_at >= self._every_seconds:
            self._requested_at = now
            self._lookup = self._thread.submit(self._ledger.lookup_accounts, list(self._accounts))

    def _show_found(self, found: Sequence[StoredAccount]) -> None:
        for stored in found:
            declared, currency, scale = self._accounts[stored.id]
            net = stored.credits_posted - stored.debits_posted
            balance = -net if declared.debit_normal else net
            self._show(declared.name, currency, float(major_units(balance, scale)))


def gauged_accounts(
    rulebook: Rulebook, names: Sequence[str]
) -> dict[int, tuple[DeclaredAccount, str, int]]:
    """The ids of these accounts in every currency: the account, its currency and scale.

    Raises:
        UsageError: an account is not declared, or is one of a family.
    """
    found: dict[int, tuple[DeclaredAccount, str, int]] = {}
    for name in names:
        declared = rulebook.accounts.get(name)
        if declared is None:
            raise UsageError(f"metrics.balances: the rulebook declares no account {name!r}")
        if declared.per:
            raise UsageError(
                f"metrics.balances: {name} has one account per {declared.per}, and each would be"
                " a series of its own; ask `ledger-worker balances` for them"
            )
        for currency in rulebook.ledgers.values():
            number = account_id(ledger=currency.ledger, name=name, key="")
            found[number] = (declared, currency.name, currency.scale)
    return found
