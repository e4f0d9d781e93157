"""An entry as T-accounts: what its chain debits and credits, past the control account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from worker.core.chain import Chain
from worker.core.iso_times import iso_second
from worker.core.money import Currency, major_units
from worker.core.rulebook import Rulebook
from worker.core.visible import visible
from worker.jobs.journal.entries import Entry


class TAccount(NamedTuple):
    """One account of an entry.

    debits, credits: minor units.
    """

    account: str
    key: str
    currency: Currency
    debits: int
    credits: int

    @property
    def text(self) -> str:
        """As the rulebook writes it."""
        return f"{self.account}[{self.key}]" if self.key else self.account


def t_accounts(chain: Chain, rulebook: Rulebook) -> list[TAccount]:
    """What a chain does to each account, in the order of its legs; memo accounts are left out."""
    found: dict[tuple[str, str, Currency], list[int]] = {}
    for leg in chain.legs:
        for side, ref in enumerate((leg.debit, leg.credit)):
            if ref is not None and rulebook.accounts[ref.name].type != "memo":
                sums = found.setdefault((ref.name, ref.key, leg.currency), [0, 0])
                sums[side] += leg.amount
    return [TAccount(*account, *sums) for account, sums in found.items()]


def picture(entry: Entry, accounts: list[TAccount]) -> Iterator[str]:
    """The entry for a person, line by line; what a terminal would obey is an escape."""
    date = iso_second(entry.created)
    yield visible(f"{entry.id}  {date.removesuffix('T00:00:00Z')}  {entry.reason}")
    yield visible(f"  requested by {entry.requested_by}, approved by {entry.approved_by}")
    rows = [
        (
            visible(each.text),
            each.currency.name,
            _major(each, each.debits),
            _major(each, each.credits),
        )
        for each in sorted(accounts, key=lambda each: (each.currency.name, not each.debits))
    ]
    wide = max(len(row[0]) for row in rows)
    columns = [max(len("credit"), *(len(row[side]) for row in rows)) for side in (2, 3)]
    yield f"    {'':<{wide}}       {'debit':>{columns[0]}}  {'credit':>{columns[1]}}"
    for name, currency, debit, credit in rows:
        line = f"    {name:<{wide}}  {currency}  {debit:>{columns[0]}}  {credit:>{columns[1]}}"
        yield line.rstrip()


def _major(account: TAccount, amount: int) -> str:
    return major_units(amount, account.currency.scale) if amount else ""
