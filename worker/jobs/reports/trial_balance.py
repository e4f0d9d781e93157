"""The trial balance: every declared account per currency, and whether debits equal credits.

It is of one moment: while a worker posts, and for `--at`, the transfers up to it are summed,
because accounts read page by page would be of many moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from worker.core.chain import AccountRef
from worker.core.errors import BrokenInvariant
from worker.core.iso_times import NANOSECONDS, iso_time
from worker.core.money import major_units
from worker.core.ports import newest_timestamp
from worker.core.wire import Transfer, kind_of
from worker.ledger.books import NamedLedger
from worker.ledger.scan import all_accounts, all_transfers

FROM_ACCOUNTS: Final = "the accounts' balances"
FROM_TRANSFERS: Final = "summed from every transfer before that moment"
PAGE: Final = 4096


@dataclass(slots=True)
class AccountTotal:
    """The sums of one declared account in one currency, in minor units."""

    debits: int = 0
    credits: int = 0
    debits_pending: int = 0
    credits_pending: int = 0


Totals = dict[tuple[str, int], AccountTotal]
"""By account name and ledger."""


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """The sums of every account, as of one moment.

    as_of_ns: everything before it is in.
    source: how the figures were found.
    """

    books: NamedLedger
    as_of_ns: int
    source: str
    totals: Totals

    @property
    def shown(self) -> Totals:
        """Without the memo accounts that are at zero, as they must be: they are in no statement."""
        return {
            name_and_ledger: total
            for name_and_ledger, total in self.totals.items()
            if total.debits != total.credits or not self._is_memo(name_and_ledger[0])
        }

    def _is_memo(self, name: str) -> bool:
        declared = self.books.rulebook.accounts.get(name)
        return declared is not None and declared.type == "memo"

    def open_memos(self) -> list[tuple[str, str]]:
        """Name and currency of every memo account that is not at zero."""
        return [
            (name, self.books.currency(ledger)[0])
            for name, ledger in self.shown
            if self._is_memo(name)
        ]

    def balanced(self) -> dict[str, tuple[int, int]]:
        """Posted debits and credits by currency."""
        sums: dict[str, tuple[int, int]] = {}
        for (_, ledger), total in self.shown.items():
            name = self.books.currency(ledger)[0]
            debits, credits_ = sums.get(name, (0, 0))
            sums[name] = (debits + total.debits, credits_ + total.credits)
        return dict(sorted(sums.items()))

    @property
    def agrees(self) -> bool:
        """Do debits equal credits in every currency, and are memo accounts at zero?"""
        equal = all(debits == credits_ for debits, credits_ in self.balanced().values())
        return equal and not self.open_memos()

    def lines(self) -> Iterator[dict[str, str]]:
        """Each account and currency, in the rulebook's order of codes; major units."""
        codes = {declared.name: declared.code for declared in self.books.rulebook.accounts.values()}
        for name, ledger in sorted(
            self.shown,
            key=lambda declared: (self.books.currency(declared[1])[0], codes.get(declared[0], 0)),
        ):
            total = self.totals[name, ledger]
            currency, scale = self.books.currency(ledger)
            net = total.debits - total.credits
            yield {
                "account": name,
                "currency": currency,
                "debits": major_units(total.debits, scale),
                "credits": major_units(total.credits, scale),
                "debits_pending": major_units(total.debits_pending, scale),
                "credits_pending": major_units(total.credits_pending, scale),
                "debit_balance": major_units(net, scale) if net > 0 else "",
                "credit_balance": major_units(-net, scale) if net < 0 else "",
            }

    @property
    def as_of(self) -> str:
        """The moment, in ISO 8601."""
        return iso_time(self.as_of_ns)


def trial_balance(books: NamedLedger, *, at_ns: int = 0) -> TrialBalance:
    """The trial balance before `at_ns`; 0: as of the newest transfer."""
    if at_ns:
        return TrialBalance(books, at_ns, FROM_TRANSFERS, _before(books, at_ns))
    newest = newest_timestamp(books.ledger)
    totals: Totals = {}
    for account in all_accounts(books.ledger):
        total = totals.setdefault((books.name(account).name, account.ledger), AccountTotal())
        total.debits += account.debits_posted
        total.credits += account.credits_posted
        total.debits_pending += account.debits_pending
        total.credits_pending += account.credits_pending
    if newest_timestamp(books.ledger) == newest:
        return TrialBalance(books, newest + 1, FROM_ACCOUNTS, totals)
    return TrialBalance(books, newest + 1, FROM_TRANSFERS, _before(books, newest + 1))


def _before(books: NamedLedger, at_ns: int) -> Totals:
    summing = _Summing(books, at_ns)
    page: list[Transfer] = []
    for transfer in all_transfers(books.ledger, end_ns=at_ns):
        page.append(transfer)
        if len(page) == PAGE:
            summing.add(page)
            page.clear()
    summing.add(page)
    summing.add_pending()
    return summing.totals


@dataclass(slots=True)
class _Summing:
    """Sums of transfers in time order; memory holds the reservations that are still open."""

    books: NamedLedger
    at_ns: int
    totals: Totals = field(default_factory=dict)
    reserved: dict[int, tuple[AccountTotal, AccountTotal, int]] = field(default_factory=dict)

    def add(self, page: list[Transfer]) -> None:
        """The next transfers."""
        ids = {transfer.debit_account_id for transfer in page} | {
            transfer.credit_account_id for transfer in page
        }
        names = self.books.names(ids)
        for transfer in page:
            debit = self._total(names, transfer.debit_account_id)
            credit = self._total(names, transfer.credit_account_id)
            kind = kind_of(transfer.flags)
            if kind == "pending":
                if (
                    not transfer.timeout
                    or transfer.timestamp + transfer.timeout * NANOSECONDS > self.at_ns
                ):
                    self.reserved[transfer.id] = (debit, credit, transfer.amount)
                continue
            self.reserved.pop(transfer.pending_id, None)
            if kind != "void":
                debit.debits += transfer.amount
                credit.credits += transfer.amount

    def add_pending(self) -> None:
        """What was neither posted, voided nor expired is still reserved."""
        for debit, credit, amount in self.reserved.values():
            debit.debits_pending += amount
            credit.credits_pending += amount

    def _total(self, names: dict[int, AccountRef], number: int) -> AccountTotal:
        if number not in names:
            raise BrokenInvariant("a transfer names an account that does not exist")
        named = names[number]
        return self.totals.setdefault((named.name, named.ledger), AccountTotal())
