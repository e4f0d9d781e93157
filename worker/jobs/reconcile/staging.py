"""Records and transfers become rows: what was asked, held, announced, refused and given up.

The invariant: every record that is taken leaves a row or is of no topic of ours; the rulebook that
the worker runs is the one that says what is expected. Writes to the joining database only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from worker.codecs.dead_letters import CONNECT, REASON_HEADER
from worker.codecs.outbox_reader import json_fields, place_of, posted_fields
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.errors import UsageError
from worker.core.ids import account_id, hex_id
from worker.core.ports import Record
from worker.core.wire import Transfer, kind_of
from worker.jobs.duckdb_rows import Database, RowBuffer, columns_sql
from worker.jobs.reconcile.expected import CLEARING, TIME_SHIFT, Committed, ExpectedPostings, Period
from worker.jobs.reconcile.records import hash_of
from worker.jobs.reconcile.tables import TABLES
from worker.kafka.decoding import open_decoder
from worker.ledger.books import NamedLedger
from worker.stages.decode import EventReader
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.readback import PostedLegs

MOVING: Final = frozenset({"posted", "post"})
ORIGIN: Final = (f"{CONNECT}.topic", f"{CONNECT}.partition", f"{CONNECT}.offset")


@dataclass(slots=True)
class Staging:
    """The tables being filled.

    committed: says whether the live group has a record behind it. clearing_ids: Stripe's clearing
    account in every currency. taken: records by topic. clearing: by ledger, what moved on that
    account within the range and after it. unchecked: topics that may be compacted for all we know.
    """

    settings: Settings
    span: Period
    stages: Mapping[str, RowBuffer]
    committed: Committed
    expecting: ExpectedPostings
    clearing_ids: frozenset[int]
    taken: dict[str, int] = field(default_factory=dict)
    clearing: dict[int, list[int]] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    def take(self, record: Record) -> None:
        """One record of any of our topics; records of others are counted only."""
        topic = record.topic()
        self.taken[topic] = self.taken.get(topic, 0) + 1
        topics = self.settings.topics
        roles = {name: role for role, name in topics.inputs.items()}
        if topic in roles:
            self.expecting.take(record, roles[topic])
        elif topic == topics.outbox:
            self._announcement(record)
        elif topic == topics.rejected:
            self._rejection(record)
        elif topic == topics.dead:
            self._letter("dead", record)
        elif topic.startswith(f"{topics.parked}."):
            self._letter("parked", record)

    def flush(self) -> None:
        """Everything that was taken is in its table."""
        self.expecting.flush()
        for stage in self.stages.values():
            stage.flush()

    # Announcements

    def _announcement(self, record: Record) -> None:
        told = posted_fields(record)
        if self.span.holds(int(told["transfer_id"], 16) >> TIME_SHIFT):
            names = ("transfer_id", "event_id", "debit_account_id", "credit_account_id")
            self.stages["announced"].add(
                (
                    *(told[name] for name in names),
                    told["ledger"],
                    int(told["amount"]),
                    int(told["ledger_timestamp"]),
                    place_of(record),
                )
            )

    def _rejection(self, record: Record) -> None:
        told = json_fields(record)
        self.stages["rejected"].add((told["event_id"], told["reason"], place_of(record)))

    def _letter(self, table: str, record: Record) -> None:
        headers = {name: (value or b"").decode() for name, value in record.headers() or ()}
        if any(name not in headers for name in ORIGIN):
            raise UsageError(f"{place_of(record)} is no {table} letter: it has no original place")
        topic, partition, offset = (headers[name] for name in ORIGIN)
        reason, place = headers.get(REASON_HEADER, ""), place_of(record)
        self.stages[table].add((f"{topic}/{partition}@{offset}", reason, place))
        self.stages[table].add((hash_of(record), reason, place))

    # The ledger

    def hold(self, books: NamedLedger, transfer: Transfer) -> None:
        """One transfer of the ledger."""
        place = books.place(transfer.user_data_64)
        self._clear(transfer)
        self.stages["actual"].add(
            (
                hex_id(transfer.id),
                hex_id(transfer.user_data_128),
                transfer.user_data_32 >> 16,
                transfer.user_data_32 & 0xFFFF,
                hex_id(transfer.debit_account_id),
                hex_id(transfer.credit_account_id),
                transfer.ledger,
                transfer.amount,
                hex_id(transfer.pending_id) if transfer.pending_id else "",
                kind_of(transfer.flags),
                place.text if place else "",
                transfer.timestamp,
                self.span.holds(transfer.id >> TIME_SHIFT),
                place is not None and not self.committed(*place),
            )
        )

    def _clear(self, transfer: Transfer) -> None:
        """Sum what moved on Stripe's clearing account: within the range, and after it."""
        sign = (transfer.debit_account_id in self.clearing_ids) - (
            transfer.credit_account_id in self.clearing_ids
        )
        time_ms = transfer.id >> TIME_SHIFT
        if not sign or time_ms < self.span.start_ms or kind_of(transfer.flags) not in MOVING:
            return
        sums = self.clearing.setdefault(transfer.ledger, [0, 0])
        sums[not self.span.holds(time_ms)] += sign * transfer.amount


def open_staging(
    database: Database,
    settings: Settings,
    books: NamedLedger,
    *,
    span: Period,
    committed: Committed,
) -> Staging:
    """Empty tables, and what fills them."""
    rulebook = books.rulebook
    for name, columns in TABLES.items():
        database.execute(f"CREATE TABLE {name} ({columns_sql(columns)})")
    stages = {name: RowBuffer(database, name, columns) for name, columns in TABLES.items()}
    for currency in rulebook.ledgers.values():
        stages["currencies"].add((currency.ledger, currency.name, currency.scale))
    translator = translator_of(settings, rulebook)
    expecting = ExpectedPostings(
        rulebook=rulebook,
        span=span,
        stages=stages,
        committed=committed,
        reader=EventReader(open_decoder(settings), translator),
        translator=translator,
        predecessors=PredecessorLookup(
            books.ledger, translator, PostedLegs(books.ledger, translator)
        ),
    )
    clearing = frozenset(
        account_id(ledger=currency.ledger, name=CLEARING, key="")
        for currency in rulebook.ledgers.values()
    )
    return Staging(settings, span, stages, committed, expecting, clearing)
