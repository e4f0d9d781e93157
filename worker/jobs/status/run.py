"""Collects how the group stands, from Kafka, the ledger and the rulebook's lock."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from worker.config.settings import Settings
from worker.core.ports import RecordPosition
from worker.core.wire import QueryFilter
from worker.jobs.progress import Progress
from worker.jobs.status.reconciled import Reconciled
from worker.jobs.trace.search import Letter, LetterKind, TopicSearch
from worker.kafka.broker_reads import RUNNING, BrokerReads
from worker.kafka.connection import connection_of, require_running_broker
from worker.kafka.group_members import GroupState
from worker.kafka.topic_reader import TopicReader, open_topic_reader
from worker.ledger.books import NamedLedger, open_named_ledger
from worker.rulebooks.lock import Lock, lock_path, read_lock

LATEST: Final = QueryFilter(limit=1, reversed=True)


class TopicLag(NamedTuple):
    """One input or parked topic.

    lag: records that the group has not committed, open transactions and their markers included.
    behind: partitions that have some.
    """

    topic: str
    role: str
    partitions: int
    lag: int
    behind: int


class Waiting(NamedTuple):
    """Events parked now for one reason, on one topic.

    first_due_ms, last_due_ms: when the first and the last are tried again, milliseconds since 1970.
    """

    topic: str
    detail: str
    events: int
    first_due_ms: int
    last_due_ms: int


class Refused(NamedTuple):
    """Dead letters or rejections of one reason since a time. newest: the last of them."""

    kind: LetterKind
    reason: str
    events: int
    newest: Letter


class Newest(NamedTuple):
    """The newest transfer in the ledger. at_ns: the ledger's time. record: None where unknown."""

    at_ns: int
    transfer_id: int
    record: RecordPosition | None


class Status(NamedTuple):
    """How a group stands.

    as_of_ns: when it was asked for. since_ms: from when on letters were counted.
    newest: None where nothing was ever posted.
    digest: of the rulebook that the settings name. lock: None where it has none.
    missing: topics that do not exist.
    reconciled: the last reconciliation; None where nobody said where it is.
    """

    as_of_ns: int
    since_ms: int
    group: GroupState
    lags: tuple[TopicLag, ...]
    waiting: tuple[Waiting, ...]
    refused: tuple[Refused, ...]
    newest: Newest | None
    digest: str
    lock: Lock | None
    missing: tuple[str, ...]
    reconciled: Reconciled | None = None


def status(settings: Settings, *, since_ms: int, progress: Progress) -> Status:
    """How the worker's group stands now.

    since_ms: from when on dead letters and rejections are counted.

    Raises:
        UsageError: the rulebook is wrong, or the broker is an embedded one.
        DependencyUnavailable: Kafka or the ledger did not answer in time.
    """
    require_running_broker(settings, lacks="has no group")
    with open_named_ledger(settings) as books, open_topic_reader(settings) as reader:
        return status_of(settings, books, reader, since_ms=since_ms, progress=progress)


def status_of(  # noqa: PLR0913 - what is open already
    settings: Settings,
    books: NamedLedger,
    reader: TopicReader,
    *,
    since_ms: int,
    progress: Progress,
    broker: BrokerReads = RUNNING,
) -> Status:
    """The same on a ledger and topics that are open already."""
    as_of_ns = time.time_ns()
    search = TopicSearch(settings, reader, progress)
    letters = [letter for letter, _ in search.letters(since_ms=since_ms)]
    return Status(
        as_of_ns=as_of_ns,
        since_ms=since_ms,
        group=broker.group_state(connection_of(settings), settings.kafka.group_id),
        lags=tuple(_lags(settings, search, reader)),
        waiting=tuple(_waiting(letters)),
        refused=tuple(_refused(letters)),
        newest=_newest(books),
        digest=books.rulebook.digest,
        lock=read_lock(lock_path(settings.rulebook)),
        missing=tuple(search.missing),
    )


def _lags(settings: Settings, search: TopicSearch, reader: TopicReader) -> Iterable[TopicLag]:
    topics = {**search.roles, **dict.fromkeys(search.parked, "parked")}
    partitions = reader.offsets.partitions(topics)
    bounds = reader.offsets.bounds(partitions)
    committed = reader.offsets.committed(settings.kafka.group_id, partitions)
    left = {
        partition: end - max(committed[partition], first)
        for partition, (first, end) in bounds.items()
    }
    for topic, role in topics.items():
        own = [records for partition, records in left.items() if partition[0] == topic]
        yield TopicLag(topic, role, len(own), sum(own), sum(records > 0 for records in own))


def _waiting(letters: Iterable[Letter]) -> list[Waiting]:
    """What is parked and not taken up, the soonest due first."""
    found: dict[tuple[str, str], list[int]] = {}
    for letter in letters:
        if letter.kind == "parked" and not letter.taken_up:
            found.setdefault((letter.at[0], letter.detail), []).append(letter.due_ms)
    groups = (
        Waiting(topic, detail, len(due), min(due), max(due))
        for (topic, detail), due in found.items()
    )
    return sorted(groups, key=lambda each: each.first_due_ms)


def _refused(letters: Iterable[Letter]) -> list[Refused]:
    """Dead letters and rejections by reason, most first."""
    found: dict[tuple[LetterKind, str], list[Letter]] = {}
    for letter in letters:
        if letter.kind != "parked":
            found.setdefault((letter.kind, letter.reason), []).append(letter)
    groups = (
        Refused(kind, reason, len(several), max(several, key=lambda each: each.time_ms))
        for (kind, reason), several in found.items()
    )
    return sorted(groups, key=lambda each: (each.kind, -each.events, each.reason))


def _newest(books: NamedLedger) -> Newest | None:
    found = books.ledger.query_transfers(LATEST)
    if not found:
        return None
    record = books.named_position(found[0].user_data_64)
    return Newest(found[0].timestamp, found[0].id, record)
