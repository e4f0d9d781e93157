"""The ports: what the pipeline needs of ledger and Kafka, and the errors that adapters raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from worker.core.assignment import Opening
from worker.core.wire import (
    Account,
    AccountBalance,
    AccountFilter,
    CreateResult,
    QueryFilter,
    Transfer,
)

Headers = list[tuple[str, bytes | None]]


class AccountsNow(NamedTuple):
    """Accounts as one request found them.

    time_ns: the ledger's time of that request, in nanoseconds since 1970.
    """

    time_ns: int
    accounts: Sequence[Account]


class Ledger(Protocol):
    """A double-entry ledger with TigerBeetle's semantics: a cluster, or the embedded one.

    Calls block; one request is outstanding at a time. With a deadline they raise
    `DependencyUnavailable` when it passes; without, they wait until `close()` is called from
    another thread, which makes them raise `LedgerClosed`.
    """

    @property
    def batch_max(self) -> int:
        """The most accounts, transfers or ids that one request takes."""
        ...

    @property
    def time_ns(self) -> int:
        """The ledger's time in nanoseconds since 1970, by a request that changes nothing."""
        ...

    @property
    def waiting_seconds(self) -> float:
        """How long the request under way has been waiting; 0.0 when there is none."""
        ...

    def create_accounts(self, rows: bytes) -> list[CreateResult]:
        """Create accounts from n × 128 bytes; one result for each, in order."""
        ...

    def create_transfers(self, rows: bytes) -> list[CreateResult]:
        """Create transfers from n × 128 bytes; one result for each, in order.

        More than `batch_max` rows go in several requests, split between linked chains only.
        """
        ...

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts that exist, in the order of the ids; any number of ids."""
        ...

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers that exist, in the order of the ids; any number of ids."""
        ...

    def accounts_now(self, ids: Sequence[int]) -> AccountsNow:
        """The accounts that exist, and the moment at which they were so; `batch_max` ids at most.

        Every transfer up to that time is in their balances, and none after it.
        """
        ...

    def query_accounts(self, query: QueryFilter) -> list[Account]:
        """Accounts that match, by timestamp; at most `limit` and `batch_max`."""
        ...

    def query_transfers(self, query: QueryFilter) -> list[Transfer]:
        """Transfers that match, by timestamp; at most `limit` and `batch_max`."""
        ...

    def account_transfers(self, query: AccountFilter) -> list[Transfer]:
        """One account's transfers, by timestamp; at most `limit` and `batch_max`."""
        ...

    def account_balances(self, query: AccountFilter) -> list[AccountBalance]:
        """One account's balances after each transfer; empty without the flag `history`."""
        ...

    def close(self) -> None:
        """Release the connection; a request under way fails with `LedgerClosed`."""
        ...


def newest_timestamp(ledger: Ledger) -> int:
    """The newest transfer's timestamp in nanoseconds; 0 when there is none."""
    newest = ledger.query_transfers(QueryFilter(limit=1, reversed=True))
    return newest[0].timestamp if newest else 0


def oldest_timestamp(ledger: Ledger) -> int:
    """The oldest transfer's timestamp in nanoseconds; 0 when there is none."""
    oldest = ledger.query_transfers(QueryFilter(limit=1))
    return oldest[0].timestamp if oldest else 0


class Record(Protocol):
    """One consumed Kafka record; confluent_kafka's Message has this shape."""

    def topic(self) -> str:
        """The topic's name."""
        ...

    def partition(self) -> int:
        """The partition's number."""
        ...

    def offset(self) -> int:
        """The record's offset in its partition."""
        ...

    def key(self) -> bytes | None:
        """The key's bytes."""
        ...

    def value(self) -> bytes | None:
        """The value's bytes; None is a tombstone."""
        ...

    def headers(self) -> Headers | None:
        """The headers in order; names may repeat."""
        ...

    def timestamp(self) -> tuple[int, int]:
        """(type, milliseconds since 1970); type 0 means the record has none."""
        ...


StageName = Literal["decode", "translate", "post", "announce", "commit"]
"""Where a batch spends its time."""

TopicPartition = tuple[str, int]
"""A topic and a partition."""


class RecordPosition(NamedTuple):
    """Where a record is; as text `stripe.payments/3@1234`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """As people read and write it."""
        return f"{self.topic}/{self.partition}@{self.offset}"


def position_of(record: Record) -> RecordPosition:
    """Where a consumed record is."""
    return RecordPosition(record.topic(), record.partition(), record.offset())


def position_in(fields: Mapping[str, Any]) -> RecordPosition:
    """Where a record is, as the fields of an announcement say it."""
    return RecordPosition(fields["topic"], fields["partition"], fields["offset"])


class Polled(NamedTuple):
    """What one poll brought.

    lost, gained: revoked and assigned partitions, in the group's order; one that is in both was
        revoked first.
    ends: end offsets of partitions that were read to their end.
    """

    records: Sequence[Record]
    lost: Sequence[TopicPartition]
    gained: Sequence[TopicPartition]
    ends: Mapping[TopicPartition, int]


class Commit(NamedTuple):
    """An offset to commit: everything below it has its outcome."""

    topic: str
    partition: int
    offset: int
    metadata: str


class Announcement(NamedTuple):
    """One record to write.

    timestamp_ms: 0 leaves it to the broker.
    otherwise: makes the record to write when the broker finds this one too large.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int = 0
    otherwise: Callable[[], Announcement] | None = None


class GroupMember(Protocol):
    """A member of a consumer group: the worker's, a replay's up to its end, or the simulation's.

    Any call may raise `DependencyUnavailable` when the group cannot be reached or refuses us.
    """

    def poll(self, *, records_max: int, timeout_seconds: float) -> Polled:
        """Records, and what the group said meanwhile; returns early with what there is."""
        ...

    def opening(self, partition: TopicPartition) -> Opening | None:
        """The committed position of a partition that was just assigned; None: call again."""
        ...

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Has the group committed these offsets? Never waits: False also while nobody knows yet."""
        ...

    def watermarks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """The first offset and the end of every input partition."""
        ...

    def lag(self, partition: TopicPartition, offset: int) -> int | None:
        """Records after this offset as last heard from the broker; None when not heard yet."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> bool:
        """Read an assigned partition from here on; False: it cannot be done now."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Take no more records of these partitions until they are resumed."""
        ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Take records of these partitions again."""
        ...

    @property
    def joined(self) -> bool:
        """Does the group count us in, with or without partitions?"""
        ...

    @property
    def waiting_seconds(self) -> float:
        """How long no broker has answered; 0.0 while they do."""
        ...

    def membership(self) -> object:
        """The group's view of this member, which a transactional commit must show."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class GroupLook(NamedTuple):
    """Where the group is on every input partition.

    committed: its offsets; the first record's where there is none.
    ends: of the partitions, asked for before that.
    """

    committed: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]


class SharedInputs(Protocol):
    """Input partitions that other members of the group may read as well; see `GroupMember`."""

    @property
    def input_partitions(self) -> Sequence[TopicPartition]:
        """All of them, whoever has them now; without those of parked topics."""
        ...

    def look(self) -> GroupLook | None:
        """Where the group is. Never waits; None: not known yet, ask again."""
        ...

    def read_inputs(self, *, reading: bool) -> None:
        """Take part in reading them, or leave them to the others and keep to parked topics."""
        ...


class Announcer(Protocol):
    """Writes announcements and offsets, all or none: a Kafka producer, or the simulation's."""

    def announce(
        self,
        announcements: Iterable[Announcement],
        commits: Sequence[Commit],
        membership: object,
        meanwhile: Callable[[], None] = ...,
    ) -> None:
        """One transaction.

        meanwhile: called, if at all, while the broker is waited for; again does no harm.

        Raises:
            Aborted: nothing of it was written.
            Unsettled: it is written or not, and now for good; the group's offsets say which.
            DependencyUnavailable: the process must end (fenced, or past every deadline).
        """
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
