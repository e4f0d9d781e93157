"""A statement: one account's opening balance, every transfer, its closing balance.

The opening balance comes from the ledger's history where the account keeps one. Else it is the sum
of every earlier transfer, or the balance now less every later one, whichever are likely fewer; the
statement says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple

from worker.codecs.outbox_fields import fact_seconds
from worker.core.errors import UsageError
from worker.core.ids import hex_id
from worker.core.iso_times import iso_second, iso_time
from worker.core.money import major_units
from worker.core.own_side import own_side
from worker.core.plural import count_of
from worker.core.ports import RecordPosition, newest_timestamp
from worker.core.wire import Account, AccountFilter, AccountFlags, Transfer, transfer_kind
from worker.jobs.reports.basis import BY_FACT, BY_POSTING, Basis, fact_ns
from worker.jobs.reports.rows import transfer_fields
from worker.ledger.books import NamedLedger
from worker.ledger.scan import account_transfers

NAMED_TOGETHER: Final = 1000
SLACK_NS: Final = 86_400 * 1_000_000_000
LINES_MAX: Final = 200_000
"""Transfers that are put in the order of their facts in memory."""

QUIET_TRIES: Final = 5
"""How often a balance of now is read until nothing was posted around the reading."""


class StatementLine(NamedTuple):
    """One transfer.

    change: of the posted balance, in minor units, positive on the normal side.
    reserved: what a pending transfer holds back; its post or void says so by its kind.
    """

    transfer: Transfer
    kind: str
    other: str
    change: int
    reserved: int
    balance: int
    position: RecordPosition | None


@dataclass(frozen=True, slots=True)
class Statement:
    """One account in one currency from `start_ns` to before `end_ns`; 0 leaves a side open.

    opening: minor units on the normal side.
    source: where the opening balance comes from.
    by: whose times these are. chosen: its transfers in order; None where they are read on the way.
    """

    books: NamedLedger
    account: Account
    start_ns: int
    end_ns: int
    opening: int
    source: str
    by: Basis = BY_POSTING
    chosen: Sequence[Transfer] | None = None

    @property
    def title(self) -> str:
        """`customer_wallet[cus_1]`, or the name of an account without keys."""
        named = self.books.name(self.account)
        return f"{named.name}[{named.key}]" if named.key else named.name

    def lines(self) -> Iterator[StatementLine]:
        """Every transfer in time order, with the balance after it."""
        balance = self.opening
        page: list[Transfer] = []
        for transfer in self._transfers():
            page.append(transfer)
            if len(page) == NAMED_TOGETHER:
                yield from (found := self._page(page, balance))
                balance = found[-1].balance
                page.clear()
        yield from self._page(page, balance)

    def _transfers(self) -> Iterable[Transfer]:
        if self.chosen is not None:
            return self.chosen
        ledger, number = self.books.ledger, self.account.id
        return account_transfers(ledger, number, start_ns=self.start_ns, end_ns=self.end_ns)

    def _page(self, transfers: list[Transfer], balance: int) -> list[StatementLine]:
        names = self.books.names({self._other(transfer) for transfer in transfers})
        lines = []
        for transfer in transfers:
            change = signed(self.books, self.account, transfer)
            balance += change
            named = names.get(self._other(transfer))
            other = "?" if named is None else named.name + (f"[{named.key}]" if named.key else "")
            kind = transfer_kind(transfer.flags)
            reserved = transfer.amount if kind == "pending" else 0
            position = self.books.named_position(transfer.user_data_64)
            lines.append(StatementLine(transfer, kind, other, change, reserved, balance, position))
        return lines

    def _other(self, transfer: Transfer) -> int:
        ours = transfer.debit_account_id == self.account.id
        return transfer.credit_account_id if ours else transfer.debit_account_id

    def documents(self, lines: Sequence[StatementLine]) -> list[dict[str, Any]]:
        """Lines for JSON: the transfers as in an export, amounts as strings of minor units."""
        rows = transfer_fields(self.books, [line.transfer for line in lines])
        return [
            row
            | {
                "reason": self.books.reason(line.transfer),
                "change": str(line.change),
                "reserved": str(line.reserved),
                "balance": str(line.balance),
            }
            for row, line in zip(rows, lines, strict=True)
        ]

    def line_fields(self, line: StatementLine) -> dict[str, Any]:
        """One line for people; amounts are in major units."""
        scale = self.books.currency(self.account.ledger)[1]
        return {
            "at": iso_time(line.transfer.timestamp),
            "fact_at": iso_second(fact_seconds(line.transfer.id)),
            "fact": hex_id(line.transfer.user_data_128),
            "transfer_id": hex_id(line.transfer.id),
            "kind": line.kind,
            "reason": self.books.reason(line.transfer),
            "other_account": line.other,
            "change": major_units(line.change, scale),
            "reserved": major_units(line.reserved, scale),
            "balance": major_units(line.balance, scale),
            "record": str(line.position) if line.position else "",
        }


def statement(books: NamedLedger, account: Account, *, start_ns: int, end_ns: int) -> Statement:
    """The statement of an account that the ledger holds."""
    opening, source = _opening(books, account, start_ns)
    return Statement(books, account, start_ns, end_ns, opening, source)


def statement_by_fact(
    books: NamedLedger, account: Account, *, start_ns: int, end_ns: int, last: int = 0
) -> Statement:
    """The statement of facts from `start_ns` to before `end_ns`, in the order of their times.

    last: only so many of the newest; 0 for all.

    Raises:
        UsageError: there are too many to put in order.
    """
    low, opening, source = 0, 0, "the account's beginning"
    if start_ns:
        # A ledger's clock is not Stripe's: a fact may be posted a little before its time.
        low = max(0, start_ns - SLACK_NS) if account.flags & AccountFlags.HISTORY else 0
        opening, source = _opening(books, account, low)
        source = source if low else "the account keeps no history: summed from every transfer"
    found: list[tuple[int, int, Transfer]] = []
    for transfer in account_transfers(books.ledger, account.id, start_ns=low):
        at = fact_ns(transfer)
        if end_ns and at >= end_ns:
            continue
        if at < start_ns:
            opening += signed(books, account, transfer)
            continue
        heappush(found, (at, transfer.timestamp, transfer))
        if last and len(found) > last:
            opening += signed(books, account, heappop(found)[2])
            source = "every earlier transfer"
        elif len(found) > LINES_MAX:
            raise UsageError(
                f"more than {LINES_MAX:,} transfers: give a shorter range, --last, or --by posting"
            )
    chosen = [transfer for _, _, transfer in sorted(found)]
    return Statement(books, account, start_ns, end_ns, opening, source, BY_FACT, chosen)


def _opening(books: NamedLedger, account: Account, start_ns: int) -> tuple[int, str]:
    """The posted balance before `start_ns`, and where it comes from."""
    if not start_ns:
        return 0, "the account's beginning"
    if account.flags & AccountFlags.HISTORY:
        before = AccountFilter(account.id, timestamp_max=start_ns - 1, limit=1, reversed=True)
        found = books.ledger.account_balances(before)
        net = found[0].credits_posted - found[0].debits_posted if found else 0
        return _normal(books, account, net), "the ledger's history of the account"
    newest = newest_timestamp(books.ledger)
    if start_ns - account.timestamp > newest - start_ns:
        found_now = _less_later(books, account, start_ns)
        if found_now is not None:
            return found_now
    earlier = 0
    total = 0
    for transfer in account_transfers(books.ledger, account.id, end_ns=start_ns):
        earlier += 1
        total += signed(books, account, transfer)
    return total, f"the account keeps no history: summed from {earlier:,} earlier transfers"


def _less_later(books: NamedLedger, account: Account, start_ns: int) -> tuple[int, str] | None:
    """The balance now less every transfer since then; None where money moves all the time."""
    later = total = 0
    low = start_ns
    for _ in range(QUIET_TRIES):
        for transfer in account_transfers(books.ledger, account.id, start_ns=low):
            later += 1
            total += signed(books, account, transfer)
            low = transfer.timestamp + 1
        (now,) = books.ledger.lookup_accounts([account.id])
        if not books.ledger.account_transfers(
            AccountFilter(account.id, timestamp_min=low, limit=1)
        ):
            balance = _normal(books, account, now.credits_posted - now.debits_posted)
            words = f"its balance now, less {count_of(later, 'later transfer')}"
            return balance - total, f"the account keeps no history: {words}"
    return None


def newest_start(books: NamedLedger, account: Account, *, end_ns: int, lines: int) -> int:
    """From when on an account has so many transfers before `end_ns` (0: now); 0: all of them."""
    last = end_ns - 1 if end_ns else 0
    query = AccountFilter(account.id, timestamp_max=last, limit=lines, reversed=True)
    found = books.ledger.account_transfers(query)
    return found[-1].timestamp if len(found) == lines else 0


def signed(books: NamedLedger, account: Account, transfer: Transfer) -> int:
    """What a transfer changes of an account's posted balance, positive on its normal side."""
    if transfer_kind(transfer.flags) not in {"posted", "post"}:
        return 0
    ours = transfer.debit_account_id == account.id
    return _normal(books, account, -transfer.amount if ours else transfer.amount)


def _normal(books: NamedLedger, account: Account, net: int) -> int:
    debit_normal = books.debit_normal(books.name(account).name)
    side = own_side(debit_normal=debit_normal, flags=account.flags)
    return -net if side == "debit" else net
