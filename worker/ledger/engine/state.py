"""The embedded ledger's state: accounts, transfers, burned ids, pendings and their indexes.

Every change can be undone exactly, newest first, so that a broken chain leaves only its burned ids.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from heapq import heappop, heappush
from typing import Final

from worker.core.iso_times import NANOSECONDS
from worker.core.wire import Account, AccountBalance, AccountFlags, Transfer, TransferFlags

OPEN: Final = 0
"""A pending transfer that was neither posted, nor voided, nor did it expire."""

HISTORY: Final = int(AccountFlags.HISTORY)
CLOSED: Final = int(AccountFlags.CLOSED)
PENDING: Final = int(TransferFlags.PENDING)
SETTLING: Final = int(TransferFlags.POST_PENDING_TRANSFER | TransferFlags.VOID_PENDING_TRANSFER)
CLOSING_DEBIT: Final = int(TransferFlags.CLOSING_DEBIT)
CLOSING_CREDIT: Final = int(TransferFlags.CLOSING_CREDIT)

Booked = tuple[Transfer, Account, Account]
"""A stored transfer, and its debit and credit account as they were before it."""


class LedgerState:
    """The whole state of one ledger; records are immutable, an account's newest version counts."""

    __slots__ = (
        "account_ids",
        "account_times",
        "accounts",
        "balances",
        "burned",
        "by_account",
        "by_tag",
        "by_time",
        "expiries",
        "opened",
        "posted",
        "settled",
        "transfers",
    )

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.account_ids: list[int] = []
        self.account_times: list[int] = []
        self.transfers: dict[int, Transfer] = {}
        self.by_time: list[Transfer] = []
        self.by_account: dict[int, list[Transfer]] = {}
        self.by_tag: defaultdict[int, list[Transfer]] = defaultdict(list)
        self.balances: dict[int, list[tuple[Transfer, AccountBalance]]] = {}
        self.burned: set[int] = set()
        self.settled: dict[int, int] = {}
        """By pending transfer: OPEN, or the status that another post or void of it gets."""
        self.expiries: list[tuple[int, int, int]] = []
        """A heap of (expires at, timestamp, id); what was settled or taken back stays until due."""
        self.opened: list[Account] = []
        self.posted: list[Booked] = []
        """What this request stored, oldest first: a broken chain is taken back from the end."""

    def open_account(self, account: Account) -> None:
        """Store a new account; its timestamp is the newest."""
        self.accounts[account.id] = account
        self.account_ids.append(account.id)
        self.account_times.append(account.timestamp)
        self.by_account[account.id] = []
        if account.flags & HISTORY:
            self.balances[account.id] = []
        self.opened.append(account)

    def post(
        self, transfer: Transfer, before: tuple[Account, Account], after: tuple[Account, Account]
    ) -> None:
        """Store a new transfer with what it makes of its debit and credit account."""
        self.transfers[transfer.id] = transfer
        self.by_time.append(transfer)
        self.by_tag[transfer.user_data_128].append(transfer)
        for account in after:
            self.accounts[account.id] = account
            self.by_account[account.id].append(transfer)
            if account.flags & HISTORY:
                balance = AccountBalance(*account[1:5], transfer.timestamp)
                self.balances[account.id].append((transfer, balance))
        if transfer.flags & PENDING:
            self.settled[transfer.id] = OPEN
            if transfer.timeout:
                heappush(self.expiries, (expires_at(transfer), transfer.timestamp, transfer.id))
        self.posted.append((transfer, *before))

    def take_back_accounts(self, kept: int) -> None:
        """Undo what this request opened, but for the first `kept`."""
        while len(self.opened) > kept:
            account = self.opened.pop()
            del self.accounts[account.id]
            del self.by_account[account.id]
            self.balances.pop(account.id, None)
            self.account_ids.pop()
            self.account_times.pop()

    def take_back_transfers(self, kept: int) -> None:
        """Undo what this request posted, but for the first `kept`."""
        while len(self.posted) > kept:
            transfer, *before = self.posted.pop()
            del self.transfers[transfer.id]
            self.by_time.pop()
            self.by_tag[transfer.user_data_128].pop()
            for account in before:
                self.accounts[account.id] = account
                self.by_account[account.id].pop()
                if account.flags & HISTORY:
                    self.balances[account.id].pop()
            if transfer.flags & PENDING:
                del self.settled[transfer.id]
            elif transfer.flags & SETTLING:
                self.settled[transfer.pending_id] = OPEN

    def expire(self, now_ns: int, status: int) -> None:
        """Release what was reserved until `now_ns` or earlier; no transfer is made.

        status: what a later post or void of such a pending transfer gets.
        """
        while self.expiries and self.expiries[0][0] <= now_ns:
            _, timestamp, transfer_id = heappop(self.expiries)
            pending = self.transfers.get(transfer_id)
            if pending is None or pending.timestamp != timestamp or self.settled[transfer_id]:
                continue
            self.settled[transfer_id] = status
            debit, credit = released(self, pending)
            self.accounts[debit.id] = debit
            self.accounts[credit.id] = credit

    def account_at(self, timestamp: int) -> bool:
        """Whether an account has exactly this timestamp."""
        index = bisect_left(self.account_times, timestamp)
        return index < len(self.account_times) and self.account_times[index] == timestamp

    def transfer_at(self, timestamp: int) -> bool:
        """Whether a transfer has exactly this timestamp."""
        index = bisect_left(self.by_time, timestamp, key=lambda transfer: transfer.timestamp)
        return index < len(self.by_time) and self.by_time[index].timestamp == timestamp


def expires_at(pending: Transfer) -> int:
    """When a pending transfer with a timeout expires, in the ledger's nanoseconds."""
    return pending.timestamp + pending.timeout * NANOSECONDS


def moved(account: Account, *, debits: tuple[int, int], credits_: tuple[int, int]) -> Account:
    """The account with (pending, posted) added to its debits and credits."""
    return account._replace(
        debits_pending=account.debits_pending + debits[0],
        debits_posted=account.debits_posted + debits[1],
        credits_pending=account.credits_pending + credits_[0],
        credits_posted=account.credits_posted + credits_[1],
    )


def released(books: LedgerState, pending: Transfer, posted: int = 0) -> tuple[Account, Account]:
    """The two accounts without what was reserved, `posted` of it moved, open if it closed them.

    A closing transfer can only be voided or expire, so nothing was posted where an account opens.
    """
    debit = books.accounts[pending.debit_account_id]
    credit = books.accounts[pending.credit_account_id]
    debit = moved(debit, debits=(-pending.amount, posted), credits_=(0, 0))
    credit = moved(credit, debits=(0, 0), credits_=(-pending.amount, posted))
    if pending.flags & CLOSING_DEBIT:
        debit = debit._replace(flags=debit.flags & ~CLOSED)
    if pending.flags & CLOSING_CREDIT:
        credit = credit._replace(flags=credit.flags & ~CLOSED)
    return debit, credit
