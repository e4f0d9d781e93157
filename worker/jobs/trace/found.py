"""What a trace found: records with their verdicts, transfers, letters and open items."""

from __future__ import annotations

from typing import Literal, NamedTuple

from worker.core.chain import Chain
from worker.core.event import Event
from worker.core.ports import RecordPosition
from worker.core.wire import Transfer
from worker.jobs.trace.search import Letter

Verdict = Literal[
    "posted",
    "redelivered",
    "conflict",
    "rejected",
    "dead",
    "parked",
    "ignored",
    "nothing_to_post",
    "not_read_yet",
    "unknown",
]
"""What became of a record; `unknown`: it is committed, and nothing searched tells of it."""


class TracedTransfer(NamedTuple):
    """One transfer of the ledger, in the rulebook's names.

    leg: `charge.gross`; several where the code is shared and the record is gone.
    debit, credit: `customer_wallet[cus_1]`.
    amount: major units.
    kind: posted, pending, post or void.
    record: where the record is that posted it; None where its group or topic is not known.
    announced: where it stands on the outbox; None where it was not found there.
    """

    transfer: Transfer
    leg: str
    debit: str
    credit: str
    amount: str
    currency: str
    kind: str
    record: RecordPosition | None
    announced: RecordPosition | None


class TracedRecord(NamedTuple):
    """One record of an input topic, and what became of it.

    time_ms: Kafka's, milliseconds since 1970.
    event: None where the record cannot be read as one.
    committed: has the worker's group committed it?
    rules: the rules of its type and why each does or does not answer.
    chain: what it asks of the ledger under the rulebook in force, where it asks for anything.
    why: one sentence on the verdict; empty where the verdict says all.
    transfers: those that this record posted.
    letters: about this record, oldest first.
    """

    at: RecordPosition
    time_ms: int
    role: str
    event: Event | None
    committed: bool
    rules: tuple[tuple[str, str], ...]
    chain: Chain | None
    verdict: Verdict
    why: str
    transfers: tuple[TracedTransfer, ...]
    letters: tuple[Letter, ...]


class OpenItem(NamedTuple):
    """One Stripe object on `stripe_unsettled` in one currency.

    is_open: do the two sides differ?
    payments, settlements: what payment events and what settlement events told, in major units.
    open: the difference, in major units.
    since: when the first of its transfers was posted.
    """

    stripe_object: str
    currency: str
    is_open: bool
    payments: str
    settlements: str
    open: str
    since: str


class CurrencyUnsettled(NamedTuple):
    """`stripe_unsettled` in one currency; amounts in major units.

    held: what the account holds now. listed: the sum of the open items that were found.
    rest: what is neither: items of which nothing was posted since, or whose records are not known.
    cut: was more posted since than was read?
    """

    currency: str
    held: str
    listed: str
    rest: str
    cut: bool


class OpenItems(NamedTuple):
    """What is open on `stripe_unsettled`. items: the oldest first."""

    items: tuple[OpenItem, ...]
    currencies: tuple[CurrencyUnsettled, ...]


class Trace(NamedTuple):
    """Everything that was found out about one id.

    sentence: what became of it.
    stray: transfers of the id whose records are not in their topics any more, or not known.
    not_searched: what was not looked at, in words.
    """

    target: str
    sentence: str
    records: tuple[TracedRecord, ...]
    stray: tuple[TracedTransfer, ...]
    letters: tuple[Letter, ...]
    unsettled: tuple[OpenItem, ...]
    not_searched: tuple[str, ...]
