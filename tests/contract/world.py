"""A corner of a ledger for one test: ids, a ledger number and user data that nobody else uses."""

from __future__ import annotations

from itertools import count
from secrets import randbits
from typing import Any

from worker.core.ports import Ledger
from worker.core.wire import (
    Account,
    AccountFlags,
    CreateAccountStatus,
    CreateResult,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
    pack_account,
    pack_transfer,
)

LIMITED = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS


class LedgerSentences:
    """Short words for what the contract tests do; statuses are told by name."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.number = randbits(31) + 1
        self.tag = randbits(100) << 20
        self._ids = count(self.tag + 1)

    def new_id(self) -> int:
        """An id that nothing has."""
        return next(self._ids)

    def account(self, flags: int = 0, **fields: Any) -> int:
        """A new account's id."""
        row = Account(id=self.new_id(), ledger=self.number, code=1, flags=flags)._replace(**fields)
        assert self.open_accounts(row) == ["CREATED"]
        return row.id

    def wallet(self, balance: int) -> int:
        """A new account with this credit balance, which it cannot overdraw."""
        wallet = self.account(LIMITED)
        assert self.post(self.move(self.account(), wallet, balance)) == ["CREATED"]
        return wallet

    def open_accounts(self, *rows: Account) -> list[str]:
        """Create accounts in one request."""
        results = self.ledger.create_accounts(b"".join(map(pack_account, rows)))
        return [CreateAccountStatus(result.status).name for result in results]

    def move(self, debit: int, credit: int, amount: int, flags: int = 0, **fields: Any) -> Transfer:
        """A transfer with an id of its own, not yet posted."""
        return Transfer(
            id=self.new_id(),
            debit_account_id=debit,
            credit_account_id=credit,
            amount=amount,
            ledger=self.number,
            code=1,
            flags=flags,
        )._replace(**fields)

    def settle(self, flags: int, pending: Transfer, amount: int, **fields: Any) -> Transfer:
        """A post or void of a pending transfer that gives nothing but the amount."""
        return Transfer(
            id=self.new_id(), pending_id=pending.id, amount=amount, flags=flags
        )._replace(**fields)

    def send(self, *transfers: Transfer) -> list[CreateResult]:
        """Create transfers in one request."""
        return self.ledger.create_transfers(b"".join(map(pack_transfer, transfers)))

    def post(self, *transfers: Transfer) -> list[str]:
        """Create transfers in one request; their statuses."""
        return [CreateTransferStatus(result.status).name for result in self.send(*transfers)]

    def chain(self, *transfers: Transfer) -> tuple[Transfer, ...]:
        """The transfers linked into one chain."""
        *rest, last = transfers
        return (*(leg._replace(flags=leg.flags | TransferFlags.LINKED) for leg in rest), last)

    def balances(self, account_id: int) -> tuple[int, int, int, int]:
        """An account's debits pending and posted, credits pending and posted."""
        return self.held(account_id)[1:5]

    def held(self, account_id: int) -> Account:
        """The account as the ledger holds it."""
        [account] = self.ledger.lookup_accounts([account_id])
        return account

    def amounts(self, *transfers: Transfer) -> list[int]:
        """The amounts that the ledger holds for these transfers."""
        found = self.ledger.lookup_transfers([transfer.id for transfer in transfers])
        return [transfer.amount for transfer in found]
