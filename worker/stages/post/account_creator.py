"""Accounts are made before the transfers that name them.

The invariant: a transfer is never sent to an account that was not made or found, because a missing
account burns the transfer's id for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from worker.core.chain import AccountRef, Chain
from worker.core.errors import BrokenInvariant
from worker.core.outcome import account_conflict
from worker.core.ports import Ledger
from worker.core.wire import Account, CreateAccountStatus, unpack_accounts

GENERATION_MAX: Final = 250_000
"""Accounts per generation of those remembered as made, 90 bytes each; two generations are kept."""

_THERE: Final = frozenset({int(CreateAccountStatus.CREATED), int(CreateAccountStatus.EXISTS)})


class AccountCreator:
    """The accounts that this worker knows to exist in one ledger."""

    def __init__(self, ledger: Ledger, *, generation_max: int = GENERATION_MAX) -> None:
        self._ledger = ledger
        self._generation_max = generation_max
        self._young: set[int] = set()
        self._old: set[int] = set()

    def make(self, chains: Iterable[Chain]) -> set[int]:
        """Make what the chains name and is missing; the ids of accounts held otherwise.

        Raises:
            BrokenInvariant: the ledger refused an account that the rulebook allows.
        """
        young = self._young
        named: dict[int, AccountRef] = {}
        for chain in chains:
            for _, _, _, debit, credit, _, _ in chain.legs:
                if debit is not None and debit.id not in young:
                    named[debit.id] = debit
                if credit is not None and credit.id not in young:
                    named[credit.id] = credit
        if not named:
            return set()
        missing = [account for number, account in named.items() if number not in self._old]
        conflicts = self._create(missing) if missing else set()
        self._keep(named.keys() - conflicts)
        return conflicts

    def knows(self, number: int) -> bool:
        """Is this account known to exist?"""
        return number in self._young or number in self._old

    def remember(self, accounts: Iterable[AccountRef]) -> None:
        """These were read from the ledger: there is nothing to make."""
        self._keep({account.id for account in accounts})

    def _keep(self, numbers: AbstractSet[int]) -> None:
        """Remember these; when a generation is full, the one before it is forgotten."""
        if len(self._young) + len(numbers) > self._generation_max:
            self._old, self._young = self._young, set()
        self._young |= numbers

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
        return {stored.id for stored in found if account_conflict(stored, differing[stored.id])}
