"""Balances: what each account holds now, in the ledger's own figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from worker.core.errors import UsageError
from worker.core.ids import account_id
from worker.core.money import major_units
from worker.core.own_side import own_figures
from worker.core.wire import Account
from worker.jobs.reports.rows import account_fields
from worker.ledger.books import NamedLedger
from worker.ledger.scan import all_accounts


class ReportedBalance(NamedTuple):
    """One account's figures, in minor units.

    balance: positive on the side that it grows by.
    pending: reserved to leave it. available: what can still leave it; see `own_side`.
    """

    account: str
    key: str
    currency: str
    scale: int
    debits: int
    credits: int
    debits_pending: int
    credits_pending: int
    balance: int
    pending: int
    available: int

    def fields(self) -> dict[str, str | int]:
        """For people: amounts in major units."""
        return {
            "account": self.account,
            "key": self.key,
            "currency": self.currency,
            "scale": self.scale,
            **{name: major_units(getattr(self, name), self.scale) for name in AMOUNTS},
        }


AMOUNTS = (
    "debits",
    "credits",
    "debits_pending",
    "credits_pending",
    "balance",
    "pending",
    "available",
)


def balance_of(books: NamedLedger, account: Account) -> ReportedBalance:
    """An account that the ledger holds, named and netted."""
    named = books.name(account)
    own = own_figures(account, debit_normal=books.debit_normal(named.name))
    currency, scale = books.currency(account.ledger)
    return ReportedBalance(
        account=named.name,
        key=named.key,
        currency=currency,
        scale=scale,
        debits=account.debits_posted,
        credits=account.credits_posted,
        debits_pending=account.debits_pending,
        credits_pending=account.credits_pending,
        balance=own.posted,
        pending=own.pending,
        available=own.available,
    )


def balance_documents(books: NamedLedger, stored: list[Account]) -> list[dict[str, str | int]]:
    """Accounts for JSON, as an export has them, with their own figures as `serve` names them.

    Amounts are decimal strings of minor units.
    """
    found = []
    for account, row in zip(stored, account_fields(books, stored), strict=True):
        name = str(row["account"])
        own = own_figures(account, debit_normal=books.debit_normal(name))
        declared = books.rulebook.accounts.get(name)
        found.append(
            row
            | {
                "title": declared.title if declared else "",
                "type": declared.type if declared else "",
                "side": own.side,
                "posted": str(own.posted),
                "pending": str(own.pending),
                "available": str(own.available),
            }
        )
    return found


def matching_accounts(
    books: NamedLedger, *, account: str = "", key: str = "", currency: str = ""
) -> Iterator[Account]:
    """Every account that matches, in the order of its code, the oldest first.

    Raises:
        UsageError: the rulebook knows no such account or currency, or the account has no keys;
            nothing was ever posted to this key.
    """
    ledger = books.ledger_of(currency) if currency else 0
    if key:
        found = iter(existing_accounts(books, account=account, key=key, currency=currency))
    elif account:
        found = all_accounts(books.ledger, code=books.declared(account).code)
    else:
        found = _by_code(books)
    return (stored for stored in found if ledger in {0, stored.ledger})


def _by_code(books: NamedLedger) -> Iterator[Account]:
    """Every account, first those that the rulebook does not declare."""
    codes = sorted(declared.code for declared in books.rulebook.accounts.values())
    known = set(codes)
    yield from (stored for stored in all_accounts(books.ledger) if stored.code not in known)
    for code in codes:
        yield from all_accounts(books.ledger, code=code)


def balances(
    books: NamedLedger, *, account: str = "", key: str = "", currency: str = ""
) -> Iterator[ReportedBalance]:
    """Every account that matches, in the order of its code.

    Raises:
        UsageError: the rulebook knows no such account or currency, or the account has no keys.
    """
    found = matching_accounts(books, account=account, key=key, currency=currency)
    return (balance_of(books, stored) for stored in found)


def existing_accounts(
    books: NamedLedger, *, account: str, key: str, currency: str = ""
) -> list[Account]:
    """One account in every currency that it exists in, of which there is one at least.

    Raises:
        UsageError: there is none, or a key is missing or too many.
    """
    found = stored_accounts(books, account=account, key=key, currency=currency)
    if not found:
        name = f"{account}[{key}]" if key else account
        where = f" in {currency.lower()}" if currency else ""
        raise UsageError(f"the ledger has no account {name}{where}: nothing was ever posted to it")
    return found


def stored_accounts(
    books: NamedLedger, *, account: str, key: str, currency: str = ""
) -> list[Account]:
    """One account in every currency that it exists in. key: empty for an account without `per`.

    Raises:
        UsageError: there is no such account, or a key is missing or too many.
    """
    declared = books.declared(account)
    if declared.per and not key:
        raise UsageError(f"{account} has one account per {declared.per}: say which")
    if key and not declared.per:
        raise UsageError(f"{account} is a single account and has no key")
    ledgers = [known.ledger for known in books.rulebook.ledgers.values()]
    if currency:
        ledgers = [books.ledger_of(currency)]
    ids = [account_id(ledger=ledger, name=account, key=key) for ledger in ledgers]
    return books.ledger.lookup_accounts(ids)
