"""What pages read: the commands' own traces, statements and status, each until a deadline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, NamedTuple

from worker.config.settings import Settings
from worker.core.ids import account_id
from worker.core.money import major_units
from worker.core.ports import Ledger
from worker.core.rulebook import Rulebook
from worker.core.wire import Account
from worker.jobs.pages.bounds import Deadline, ReadOnlyLedger, SilentProgress
from worker.jobs.reports.balances import balance_of, stored_accounts
from worker.jobs.reports.statement import Statement, newest_start, statement
from worker.jobs.status.run import status_of
from worker.jobs.status.text import document as status_document
from worker.jobs.status.text import member_partitions
from worker.jobs.trace.run import tracing_of
from worker.jobs.trace.text import FINE
from worker.jobs.trace.text import document as trace_document
from worker.kafka.broker_reads import RUNNING, BrokerReads
from worker.ledger.books import NamedLedger

READ_SECONDS: Final = 20.0
"""How long one page may read; a command may take longer."""

LINES_MAX: Final = 100
"""Lines of a statement on one page."""


class AccountShown(NamedTuple):
    """An account on its page.

    currency: of the statement; empty where there is none.
    balances: one for each currency that it exists in, as `balances --json` has them.
    statement: of one currency; None where the ledger has no such account.
    lines: of the statement, as `statement --json` has them.
    closing: the balance after the last of them, in major units.
    earlier_before_ns: the end of the page before this one; 0 where there is none.
    later_from_ns: the beginning of the page after this one; 0 where there is none.
    """

    currency: str
    balances: tuple[dict[str, Any], ...]
    statement: Statement | None
    opening: str
    lines: tuple[dict[str, Any], ...]
    closing: str
    earlier_before_ns: int
    later_from_ns: int


NO_ACCOUNT: Final = AccountShown("", (), None, "", (), "", 0, 0)


class PageReads:
    """Reads for pages, in any thread.

    ledger: open, and closed by others; it waits out an outage.
    broker: how it is read.
    seconds: how long one page may read.
    """

    def __init__(
        self,
        settings: Settings,
        rulebook: Rulebook,
        ledger: Ledger,
        *,
        broker: BrokerReads = RUNNING,
        seconds: float = READ_SECONDS,
    ) -> None:
        self._settings = settings
        self.rulebook = rulebook
        self._ledger = ledger
        self._broker = broker
        self._seconds = seconds

    def trace(self, text: str, *, since_ms: int, scan: bool) -> dict[str, Any]:
        """What `trace --json` says, and for each record whether it asks for a person."""
        with self._books() as (books, progress), self._broker.open_reader(self._settings) as reader:
            tracing = tracing_of(self._settings, books, reader, progress=progress)
            found = trace_document(tracing.trace(text, since_ms=since_ms, scan=scan))
        for record in found["records"]:
            record["fine"] = record["outcome"] in FINE
        return found

    def unsettled(self, *, since_ms: int) -> dict[str, Any]:
        """What is open on `stripe_unsettled`, of what moved there since a time."""
        with self._books() as (books, progress), self._broker.open_reader(self._settings) as reader:
            tracing = tracing_of(self._settings, books, reader, progress=progress)
            found = tracing.unsettled(since_ms=since_ms)
        return {
            "items": [each._asdict() for each in found.items],
            "currencies": [each._asdict() for each in found.currencies],
        }

    def status(self, *, since_ms: int) -> dict[str, Any]:
        """What `status --json` says, and each member's partitions as people write them."""
        with self._books() as (books, progress), self._broker.open_reader(self._settings) as reader:
            found = status_of(
                self._settings,
                books,
                reader,
                since_ms=since_ms,
                progress=progress,
                broker=self._broker,
            )
        shown = status_document(found)
        for member, row in zip(found.group.members, shown["members"], strict=True):
            row["shown"] = member_partitions(member)
        return shown

    def accounts(self) -> list[dict[str, Any]]:
        """Every declared account, in the rulebook's order, with the balances of the single ones."""
        with self._books() as (books, _):
            ids = {
                account_id(ledger=currency.ledger, name=declared.name, key="")
                for declared in self.rulebook.accounts.values()
                if not declared.per
                for currency in self.rulebook.ledgers.values()
            }
            balances: dict[str, list[dict[str, Any]]] = {}
            for stored in books.ledger.lookup_accounts(sorted(ids)):
                row = balance_of(books, stored).fields()
                balances.setdefault(books.name(stored).name, []).append(row)
        return [
            {
                "name": declared.name,
                "type": declared.type,
                "per": declared.per or "",
                "balances": sorted(
                    balances.get(declared.name, []), key=lambda each: each["currency"]
                ),
            }
            for declared in self.rulebook.accounts.values()
        ]

    def account(
        self, name: str, key: str, *, currency: str, start_ns: int, end_ns: int
    ) -> AccountShown:
        """An account's balances, and one page of its statement.

        start_ns: 0 for the newest page before `end_ns` (0: now).

        Raises:
            UsageError: there is no such account or currency, or a key is missing or too many.
        """
        with self._books() as (books, _):
            stored = stored_accounts(books, account=name, key=key)
            stored.sort(key=lambda each: books.currency(each.ledger)[0])
            wanted = books.ledger_of(currency) if currency else 0
            shown = next(
                (each for each in stored if wanted == each.ledger or (not wanted and _moved(each))),
                stored[0] if stored and not wanted else None,
            )
            balances = tuple(balance_of(books, each).fields() for each in stored)
            if shown is None:
                return NO_ACCOUNT._replace(balances=balances)
            page = _statement_page(books, shown, start_ns=start_ns, end_ns=end_ns)
            return page._replace(balances=balances)

    @contextmanager
    def _books(self) -> Iterator[tuple[NamedLedger, SilentProgress]]:
        deadline = Deadline(self._seconds)
        ledger = ReadOnlyLedger(self._ledger, deadline)
        yield NamedLedger(ledger, self.rulebook, self._settings), SilentProgress(deadline)


def _moved(account: Account) -> bool:
    return bool(account.debits_posted or account.credits_posted)


def _statement_page(
    books: NamedLedger, account: Account, *, start_ns: int, end_ns: int
) -> AccountShown:
    first_ns = start_ns or newest_start(books, account, end_ns=end_ns, lines=LINES_MAX)
    made = statement(books, account, start_ns=first_ns, end_ns=end_ns)
    found = list(islice(made.lines(), LINES_MAX + 1))
    lines, more = found[:LINES_MAX], found[LINES_MAX:]
    scale = books.currency(account.ledger)[1]
    later_ns = more[0].transfer.timestamp if more else end_ns
    return NO_ACCOUNT._replace(
        currency=books.currency(account.ledger)[0],
        statement=made,
        opening=major_units(made.opening, scale),
        lines=tuple(map(made.line_fields, lines)),
        closing=major_units(lines[-1].balance if lines else made.opening, scale),
        earlier_before_ns=first_ns,
        later_from_ns=later_ns,
    )
