"""The trial balance: every declared account per currency, and whether debits equal credits.

It is of one moment: while a worker posts, and for `--at`, transfers are summed, because accounts
read page by page would be of many moments. Before a moment are facts, or what was posted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from worker.core.chain import AccountRef
from worker.core.errors import BrokenInvariant
from worker.core.iso_times import NANOSECONDS, iso_time
from worker.core.ports import newest_timestamp
from worker.core.wire import Transfer, transfer_kind
from worker.jobs.reports.basis import BY_FACT, BY_POSTING, Basis, fact_ns
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


class TrialLine(NamedTuple):
    """One declared account in one currency.

    type: empty, like title, for an account that the rulebook does not have.
    """

    account: str
    code: int
    title: str
    type: str
    ledger: int
    currency: str
    scale: int
    total: AccountTotal

    @property
    def net(self) -> int:
        """Debits less credits, in minor units."""
        return self.total.debits - self.total.credits

    def document(self) -> dict[str, str | int]:
        """For JSON: amounts are decimal strings of minor units."""
        return {
            "account": self.account,
            "code": self.code,
            "title": self.title,
            "type": self.type,
            "currency": self.currency,
            "scale": self.scale,
            "debits_posted": str(self.total.debits),
            "credits_posted": str(self.total.credits),
            "debits_pending": str(self.total.debits_pending),
            "credits_pending": str(self.total.credits_pending),
            "debit_balance": str(max(self.net, 0)),
            "credit_balance": str(max(-self.net, 0)),
        }


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """The sums of every account, as of one moment.

    as_of_ns: everything before it is in.
    source: how the figures were found.
    open_keys: how many members of a family are not at zero; None where they were not counted.
    """

    books: NamedLedger
    as_of_ns: int
    source: str
    totals: Totals
    open_keys: dict[tuple[str, int], int] | None = None

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

    def lines(self) -> Iterator[TrialLine]:
        """Each account and currency, in the order of currency and code."""
        return self._lines(self.shown)

    def all_lines(self) -> Iterator[TrialLine]:
        """The same with the memo accounts that are at zero."""
        return self._lines(self.totals)

    def _lines(self, accounts: Totals) -> Iterator[TrialLine]:
        declared = self.books.rulebook.accounts
        for name, ledger in sorted(accounts, key=self._order):
            total = self.totals[name, ledger]
            currency, scale = self.books.currency(ledger)
            known = declared.get(name)
            yield TrialLine(
                name,
                known.code if known else 0,
                known.title if known else "",
                known.type if known else "",
                ledger,
                currency,
                scale,
                total,
            )

    def _order(self, account: tuple[str, int]) -> tuple[str, int, str]:
        declared = self.books.rulebook.accounts.get(account[0])
        return self.books.currency(account[1])[0], declared.code if declared else 0, account[0]

    @property
    def as_of(self) -> str:
        """The moment, in ISO 8601."""
        return iso_time(self.as_of_ns)


def trial_balance(books: NamedLedger, *, at_ns: int = 0, by: Basis = BY_POSTING) -> TrialBalance:
    """The trial balance before `at_ns`; 0: as of the newest transfer, whatever its fact's time.

    by: whose time is before it, the fact's or the posting's.
    """
    if at_ns and by == BY_FACT:
        return TrialBalance(books, at_ns, FROM_TRANSFERS, _before(books, at_ns, facts=True))
    if at_ns:
        return TrialBalance(books, at_ns, FROM_TRANSFERS, _before(books, at_ns))
    newest = newest_timestamp(books.ledger)
    totals: Totals = {}
    open_keys: dict[tuple[str, int], int] = {}
    for account in all_accounts(books.ledger):
        name_and_ledger = (books.name(account).name, account.ledger)
        total = totals.setdefault(name_and_ledger, AccountTotal())
        if account.debits_posted != account.credits_posted:
            open_keys[name_and_ledger] = open_keys.get(name_and_ledger, 0) + 1
        total.debits += account.debits_posted
        total.credits += account.credits_posted
        total.debits_pending += account.debits_pending
        total.credits_pending += account.credits_pending
    if newest_timestamp(books.ledger) == newest:
        return TrialBalance(books, newest + 1, FROM_ACCOUNTS, totals, open_keys)
    return TrialBalance(books, newest + 1, FROM_TRANSFERS, _before(books, newest + 1))


def _before(books: NamedLedger, at_ns: int, *, facts: bool = False) -> Totals:
    summing = _Summing(books, at_ns)
    page: list[Transfer] = []
    for transfer in all_transfers(books.ledger, end_ns=0 if facts else at_ns):
        if facts and fact_ns(transfer) >= at_ns:
            continue
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
            kind = transfer_kind(transfer.flags)
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
