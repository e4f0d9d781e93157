"""One run of `sync`. The tables are checked before the outbox is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from worker.config.settings import Settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.optional import optional_packages
from worker.core.ports import TopicPartition
from worker.jobs.sync.cells import Cells
from worker.jobs.sync.follow import OutboxFollower, SyncCounts
from worker.jobs.sync.schema import SchemaProblem
from worker.jobs.sync.targets import SyncTargets, find_targets, group_of
from worker.jobs.sync.verify import Verification, Verifier
from worker.jobs.sync.writer import BalanceWriter
from worker.kafka.connection import connection_of
from worker.kafka.consumer import Consumer
from worker.ledger.books import NamedLedger, open_named_ledger
from worker.observe.health import HealthServer
from worker.observe.loop_health import LoopHealth
from worker.observe.sync_metrics import SyncMetrics
from worker.rulebooks.load import load

if TYPE_CHECKING:
    from worker.jobs.sync.postgres import PostgresCache

TELL_EVERY_SECONDS: Final = 60.0
SHOW_EVERY_SECONDS: Final = 5.0
"""How often lag and rows that wait are looked up for the metrics."""

STEP_SECONDS_MAX: Final = 120.0
"""One step waits for Kafka's commit and the ledger at most so long, and for PostgreSQL's deadline
beside that; a loop without a step for longer is stuck."""

Stopped = Callable[[], bool]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done.

    made: statements that were run by `--create`.
    waiting: rows that are set aside now.
    """

    group: str
    tally: SyncCounts
    made: Sequence[str]
    waiting: int


class Retried(NamedTuple):
    """What `--retry` did. written: rows that could be written now. waiting: those that are left."""

    written: int
    waiting: int


class _Opened(NamedTuple):
    """Both sides. made: statements that were run by `--create`."""

    books: NamedLedger
    targets: SyncTargets
    cache: PostgresCache
    made: Sequence[str]


def target_problems(settings: Settings) -> list[SchemaProblem]:
    """What is missing in the database, and would be made by `--create`.

    Raises:
        UsageError: a table cannot be what the cache needs, or a setting is wrong.
        DependencyUnavailable: the database did not answer in time.
    """
    targets = find_targets(load(settings.rulebook), settings.sync)
    with closing(_open_cache(settings)) as cache:
        return cache.lacking(targets.columns)


def sync(settings: Settings, *, create: bool, drain: bool, stopped: Stopped) -> Synced:
    """Follow the outbox until stopped, or with `drain` to its end as of now.

    Raises:
        UsageError: a setting is wrong, something is missing and `create` was not given, the
            database refuses the rows, or the outbox is another ledger's.
        DependencyUnavailable: the database, the ledger or the broker stayed away.
    """
    group = group_of(settings)
    with _opened(settings, stopped, create=create) as (books, targets, cache, made):
        with closing(_open_outbox(settings, group)) as outbox:
            follower = OutboxFollower(
                outbox=outbox, ledger=books.ledger, cache=cache, targets=targets
            )
            _log.info("following", group=group, columns=[column.text for column in targets.columns])
            if drain:
                _follow(follower, stopped=stopped, ended=_end(outbox, cache))
            else:
                with _observed(settings, follower, outbox, cache) as seen:
                    _follow(follower, stopped=stopped, seen=seen)
        waiting = 0 if stopped() else cache.set_aside_count()
    _log.info("stopped", **follower.tally.counts())
    return Synced(group, follower.tally, made, waiting)


def retry(settings: Settings, *, stopped: Stopped) -> Retried:
    """Try every row again that is set aside, once.

    Raises:
        UsageError: a setting is wrong, a table is missing, or the database refuses the statements.
        DependencyUnavailable: the database or the ledger stayed away.
    """
    written = 0
    started = time.monotonic()
    with _opened(settings, stopped) as (books, targets, cache, _):
        writer, cells = BalanceWriter(ledger=books.ledger, cache=cache), Cells(targets)
        while not stopped():
            age = time.monotonic() - started
            again = writer.retry(cells, tried_before_seconds=age, locked_before_seconds=age)
            written += again.result.moved
            if not again.nets:
                break
        return Retried(written, cache.set_aside_count())


def verify(settings: Settings, *, start_ns: int, stopped: Stopped) -> Verification:
    """Compare every row with the ledger, and mend it.

    start_ns: leave out accounts that were made before; where an earlier run stopped.

    Raises:
        UsageError: a setting is wrong, a table is missing, or the database refuses the statements.
        DependencyUnavailable: the database or the ledger stayed away.
    """
    with _opened(settings, stopped) as (books, targets, cache, _):
        verifier = Verifier(
            ledger=books.ledger, cache=cache, targets=targets, rulebook=books.rulebook
        )
        return verifier.verify(start_ns=start_ns, stopped=stopped)


@contextmanager
def _opened(settings: Settings, stopped: Stopped, *, create: bool = False) -> Iterator[_Opened]:
    with open_named_ledger(settings) as books:
        targets = find_targets(books.rulebook, settings.sync)
        with closing(_open_cache(settings, stopped)) as cache:
            yield _Opened(books, targets, cache, _ready(cache, targets, create=create))


def _open_cache(settings: Settings, stopped: Stopped = lambda: False) -> PostgresCache:
    with optional_packages("sync", extra="sync"):
        from worker.jobs.sync.postgres import PostgresCache  # noqa: PLC0415 - optional
    return PostgresCache(
        settings.sync.dsn,
        deadline_seconds=settings.sync.deadline_seconds,
        group=group_of(settings),
        add_rows=settings.sync.add_rows,
        stopped=stopped,
    )


def _open_outbox(settings: Settings, group: str) -> Consumer:
    return Consumer(
        connection_of(settings),
        group=group,
        topics=[settings.topics.outbox],
    )


def _ready(cache: PostgresCache, targets: SyncTargets, *, create: bool) -> list[str]:
    """Make what is missing, or say what it is."""
    lacks = cache.lacking(targets.columns)
    if lacks and not create:
        raise UsageError(
            f"PostgreSQL lacks {_listed(lacks)}: `sync --create` makes what is missing,"
            " `sync --sql` prints how"
        )
    cache.make(lacks)
    return [lack.statement for lack in lacks]


def _listed(lacks: Sequence[SchemaProblem]) -> str:
    return ", ".join(lack.what for lack in lacks)


def _never(_: OutboxFollower) -> bool:
    return False


def _nobody() -> None:
    """Nobody looks on."""


def _follow(
    follower: OutboxFollower,
    *,
    stopped: Stopped,
    ended: Callable[[OutboxFollower], bool] = _never,
    seen: Callable[[], None] = _nobody,
) -> None:
    """seen: called after every step."""
    logged = time.monotonic()
    try:
        while not stopped() and not ended(follower):
            follower.step()
            seen()
            if time.monotonic() - logged > TELL_EVERY_SECONDS:
                logged = time.monotonic()
                _log.info("followed", **follower.tally.counts())
    except DependencyUnavailable:
        if not stopped():
            raise
        # Stopped while it waited: nothing of the batch is committed, and it is read again.
        _log.warning("stopped_while_waiting")


@contextmanager
def _observed(
    settings: Settings, follower: OutboxFollower, outbox: Consumer, cache: PostgresCache
) -> Iterator[Callable[[], None]]:
    """Answers probes and shows metrics; what it gives is to be called after every step."""
    metrics = SyncMetrics()
    health = LoopHealth(
        lambda: (outbox.joined and not outbox.waiting_seconds, _figures(outbox)),
        heartbeat_seconds_max=STEP_SECONDS_MAX + settings.sync.deadline_seconds,
    )
    shown_at = 0.0

    def seen() -> None:
        nonlocal shown_at
        health.beat()
        metrics.show(follower.tally.counts())
        if time.monotonic() - shown_at < SHOW_EVERY_SECONDS:
            return
        shown_at = time.monotonic()
        lags = {each: outbox.lag(each, offset) for each, offset in follower.positions.items()}
        metrics.lag({each: lag for each, lag in lags.items() if lag is not None})
        metrics.waiting(cache.set_aside_count())

    with closing(
        HealthServer(
            health=health,
            registry=metrics.registry,
            host=settings.http.host,
            port=settings.http.port,
        )
    ):
        yield seen


def _figures(outbox: Consumer) -> dict[str, Any]:
    return {
        "assigned": outbox.joined,
        "kafka_waiting_seconds": round(outbox.waiting_seconds, 3),
    }


def _end(outbox: Consumer, cache: PostgresCache) -> Callable[[OutboxFollower], bool]:
    """Have the group and the database reached the ends seen now? Not only this process's part.

    The database is behind the group where it was moved back; where it has no offset of a
    partition, the group's counts.
    """
    ends: Mapping[TopicPartition, int] = {
        partition: end for partition, (low, end) in outbox.watermarks().items() if end > low
    }

    def ended(follower: OutboxFollower) -> bool:
        if not follower.idle or not outbox.reached(ends):
            return False
        stored = cache.offsets()
        return all(stored.get(partition, end) >= end for partition, end in ends.items())

    return ended
