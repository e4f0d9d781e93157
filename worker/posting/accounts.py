"""Accounts are made before the transfers that name them.

The invariant: a transfer is never sent to an account that was not made or found, because a missing
account burns the transfer's id for good. Asks the ledger; knows neither Kafka nor bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.core.chain import AccountRef, Chain
from worker.core.outcome import account_conflict
from worker.core.wire import Account, CreateAccountStatus, unpack_accounts
from worker.ports import BrokenInvariant, Ledger

KNOWN_MAX: Final = 250_000
"""How many accounts are remembered as made; past it all are asked for again."""

_THERE: Final = frozenset({int(CreateAccountStatus.CREATED), int(CreateAccountStatus.EXISTS)})


class Accounts:
    """The accounts that this worker knows to exist in one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[int, None] = {}

    def make(self, chains: Iterable[Chain]) -> set[int]:
        """Make what the chains name and is missing; the ids of accounts held otherwise.

        Raises:
            BrokenInvariant: the ledger refused an account that the rulebook allows.
        """
        known = self._known
        missing: dict[int, AccountRef] = {}
        for chain in chains:
            for _, _, _, debit, credit, _, _ in chain.legs:
                if debit is not None and debit.id not in known:
                    missing[debit.id] = debit
                if credit is not None and credit.id not in known:
                    missing[credit.id] = credit
        if not missing:
            return set()
        if len(known) + len(missing) > KNOWN_MAX:
            known.clear()
        conflicts = self._create(list(missing.values()))
        known.update((number, None) for number in missing if number not in conflicts)
        return conflicts

    def knows(self, number: int) -> bool:
        """Is this account known to exist?"""
        return number in self._known

    def remember(self, accounts: Iterable[AccountRef]) -> None:
        """These were read from the ledger: there is nothing to make."""
        self._known.update((account.id, None) for account in accounts)

    def _create(self, accounts: list[AccountRef]) -> set[int]:
        rows = b"".join([account.row() for account in accounts])
        results = self._ledger.create_accounts(rows)
        others = [
            (account, result.status)
            for account, result in zip(accounts, results, strict=True)
            if result.status not in _THERE
        ]
        return self._conflicts(others) if others else set()

    def _conflicts(self, others: Iterable[tuple[AccountRef, int]]) -> set[int]:
        """Which of those that the ledger holds otherwise cannot be used."""
        differing: dict[int, Account] = {}
        for account, number in others:
            status = CreateAccountStatus(number)
            if not status.name.startswith("EXISTS_WITH_DIFFERENT"):
                raise BrokenInvariant(f"account {account.name}: {status.name.lower()}")
            (differing[account.id],) = unpack_accounts(account.row())
        found = self._ledger.lookup_accounts(list(differing))
        return {held.id for held in found if account_conflict(held, differing[held.id])}
