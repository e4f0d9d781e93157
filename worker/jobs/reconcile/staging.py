"""Records and transfers become rows: expected, posted, announced, rejected and dead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from worker.codecs.dead_letters import CONNECT, dated_ms
from worker.codecs.headers import headers_of
from worker.codecs.letters import UnusableLetter, original_of, reason_of, rejection
from worker.codecs.outbox_fields import expiry
from worker.codecs.outbox_reader import announced_fields
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.errors import UsageError
from worker.core.ids import TIME_SHIFT, account_id, hex_id
from worker.core.ports import Record, position_of
from worker.core.wire import Transfer, transfer_kind
from worker.jobs.duckdb_rows import Database, RowBuffer, columns_sql
from worker.jobs.reconcile.announced import announced_row
from worker.jobs.reconcile.expected import Committed, ExpectedPostings, Period
from worker.jobs.reconcile.records import hash_of
from worker.jobs.reconcile.stripe_side import CLEARING, RESERVE, UNSETTLED
from worker.jobs.reconcile.tables import TABLES
from worker.kafka.registry import open_decoder
from worker.ledger.books import NamedLedger
from worker.stages.decode import EventReader
from worker.stages.post.find_predecessors import PredecessorLookup
from worker.stages.post.readback import PostedLegs

MOVING: Final = frozenset({"posted", "post"})
WATCHED: Final = (CLEARING, RESERVE, UNSETTLED)
Moved = dict[tuple[str, int], list[int]]


@dataclass(slots=True)
class PartitionRead:
    """What was read of a partition, for the report of a closed period."""

    first: int
    following: int = 0
    records: int = 0
    hashing: blake2b = field(default_factory=lambda: blake2b(digest_size=16))

    def take(self, record: Record) -> None:
        """One more record, in order."""
        self.following = record.offset() + 1
        self.records += 1
        self.hashing.update(record.value() or b"")

    def row(self) -> list[Any]:
        """For JSON."""
        return [self.first, self.following, self.records, self.hashing.hexdigest()]


@dataclass(slots=True)
class Staging:
    """The tables being filled.

    committed: says whether the live group has a record behind it.
    watched: the accounts of `WATCHED` in every currency, by id.
    taken: records by topic.
    read: by topic/partition the first offset, the next one, how many, and a digest of the values.
    moved: debits less credits of these by name and ledger, within the range and after it.
    unchecked: topics that may be compacted for all we know.
    """

    settings: Settings
    books: NamedLedger
    span: Period
    stages: Mapping[str, RowBuffer]
    committed: Committed
    expecting: ExpectedPostings
    watched: Mapping[int, str]
    taken: dict[str, int] = field(default_factory=dict)
    read: dict[str, PartitionRead] = field(default_factory=dict)
    moved: Moved = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    def take(self, record: Record) -> None:
        """One record of any of our topics; records of others are counted only."""
        topic = record.topic()
        self.taken[topic] = self.taken.get(topic, 0) + 1
        name = f"{topic}/{record.partition()}"
        partition = self.read.get(name)
        if partition is None:
            partition = self.read[name] = PartitionRead(record.offset())
        partition.take(record)
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
        try:
            row = announced_row(announced_fields(record), self.books)
        except (UsageError, KeyError, TypeError, ValueError):
            self._unreadable(record, "it is no announcement of a posted transfer")
            return
        in_range = self.span.holds(int(str(row[0]), 16) >> TIME_SHIFT)
        self.stages["announced"].add((*row, in_range, str(position_of(record))))

    def _rejection(self, record: Record) -> None:
        refused = rejection(record)
        if refused is None:
            self._unreadable(record, "it is no rejection that the worker wrote")
            return
        self.stages["rejected"].add((refused.event_id, refused.reason, str(position_of(record))))

    def _letter(self, table: str, record: Record) -> None:
        """A letter by the record that it is about: one that waited and then died is that too."""
        source = original_of(record, parked=self._parked_topics(record))
        if isinstance(source, UnusableLetter):
            self._unreadable(record, source.why)
            return
        letter = (reason_of(record), str(position_of(record)))
        self.stages[table].add((str(source.at), *letter))
        self.stages[table].add((hash_of(record), *letter))

    def _parked_topics(self, record: Record) -> set[str]:
        """The topics of waiting events that a letter's headers name."""
        names = {
            (value or b"").decode(errors="replace")
            for name, value in headers_of(record)
            if name == f"{CONNECT}.topic"
        }
        return {name for name in names if name.startswith(f"{self.settings.topics.parked}.")}

    def _unreadable(self, record: Record, why: str) -> None:
        self.stages["unreadable"].add((str(position_of(record)), dated_ms(record), why))

    # The ledger

    def transfer_row(self, transfer: Transfer) -> None:
        """One transfer of the ledger."""
        position = self.books.named_position(transfer.user_data_64)
        self._move(transfer)
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
                transfer.code,
                transfer.flags,
                str(position) if position else "",
                transfer.timestamp,
                self.span.holds(transfer.id >> TIME_SHIFT),
                position is not None and not self.committed(*position),
                expiry(transfer) if transfer.timeout else "",
            )
        )

    def _move(self, transfer: Transfer) -> None:
        """Sum what moved on the accounts that are watched: within the range, and after it."""
        time_ms = transfer.id >> TIME_SHIFT
        if time_ms < self.span.start_ms or transfer_kind(transfer.flags) not in MOVING:
            return
        sides = ((transfer.debit_account_id, 1), (transfer.credit_account_id, -1))
        for account, sign in sides:
            if account in self.watched:
                sums = self.moved.setdefault((self.watched[account], transfer.ledger), [0, 0])
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
        clearing = hex_id(account_id(ledger=currency.ledger, name=CLEARING, key=""))
        stages["currencies"].add((currency.ledger, currency.name, currency.scale, clearing))
    translator = translator_of(settings, rulebook)
    expecting = ExpectedPostings(
        rulebook=rulebook,
        span=span,
        stages=stages,
        committed=committed,
        reader=EventReader(open_decoder(settings), translator, settings.topics.inputs),
        translator=translator,
        predecessors=PredecessorLookup(
            books.ledger, translator, PostedLegs(books.ledger, translator)
        ),
    )
    watched = {
        account_id(ledger=currency.ledger, name=name, key=""): name
        for currency in rulebook.ledgers.values()
        for name in WATCHED
    }
    return Staging(settings, books, span, stages, committed, expecting, watched)
