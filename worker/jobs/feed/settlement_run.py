"""One run of `feed settlements`: stands by, reads while it may, and goes on after what fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from worker.codecs.record_decoder import RecordDecoder
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.errors import Aborted, DependencyUnavailable, Unsettled
from worker.jobs.feed.feed_topics import KafkaFeedTopics
from worker.jobs.feed.lost_webhooks import ROLE, LostWebhooks
from worker.jobs.feed.settlements import FeedPlan, SettlementFeed
from worker.jobs.feed.standby import ActiveMember
from worker.jobs.feed.stripe_lists import StripeLists
from worker.kafka.admin import refuse_old
from worker.kafka.connection import connection_of
from worker.kafka.consumer import Consumer
from worker.kafka.job_offsets import JobOffsets
from worker.kafka.producer import TransactionalProducer
from worker.kafka.registry import decoder_of, open_registry
from worker.kafka.topic_reader import TopicReader
from worker.observe.feed_metrics import FeedMetrics
from worker.observe.health import HealthServer
from worker.observe.loop_health import LoopHealth
from worker.rulebooks.load import load

MEMBER_SECONDS: Final = 0.5
"""How often a feed that waits hears of its group."""

LATE_POLLS: Final = 5
"""So many looks that should have been, and a feed is not ready."""

AGAIN_SECONDS: Final = 5.0
"""After what failed, at least."""

HOUR: Final = 3_600

_log = structlog.get_logger(__name__)


class Stopping(Protocol):
    """Whether the process was told to stop, and how long ago."""

    @property
    def requested(self) -> bool:
        """Was it?"""
        ...

    def seconds(self) -> float:
        """How long ago; 0.0 while it was not."""
        ...


class _Stopped(Exception):
    """The process ends in the middle of a look, or another one reads now."""


@dataclass(slots=True)
class _Parts:
    """What one run is made of.

    reads_since: since when it reads, in monotonic seconds.
    polled_at: when its last whole look ended, in monotonic seconds; 0.0: none yet.
    """

    settings: Settings
    plan: FeedPlan
    stopping: Stopping
    metrics: FeedMetrics
    health: LoopHealth
    membership: ActiveMember
    executor: ThreadPoolExecutor
    lists: StripeLists
    reads_since: float = 0.0
    polled_at: float = 0.0


def feed_settlements(
    settings: Settings, *, start: int | None, heal: bool, stopping: Stopping
) -> None:
    """Read Stripe's balance transactions until told to stop.

    start: in seconds since 1970, where to begin when there is no checkpoint yet; None: one
    overlap ago.

    Raises:
        UsageError: a setting is wrong, or Stripe takes the key no more.
        DependencyUnavailable: the broker did not answer or refused us.
    """
    with ExitStack() as stack:
        parts = _open(stack, settings, start=start, heal=heal, stopping=stopping)
        while not stopping.requested:
            if parts.membership.poll(MEMBER_SECONDS):
                _read(parts)
    _log.info("stopped")


def _open(
    stack: ExitStack, settings: Settings, *, start: int | None, heal: bool, stopping: Stopping
) -> _Parts:
    metrics = FeedMetrics()
    lists = StripeLists(settings.feed, metrics, give_up=lambda: stopping.requested)
    name = feed_name(settings, lists)
    health = LoopHealth(lambda: _ready(parts))
    topic = settings.topics.feed
    member = Consumer(
        connection_of(settings), group=name, topics=[topic], while_waiting=health.beat
    )
    stack.callback(member.close)
    executor = ThreadPoolExecutor(settings.feed.parallel, thread_name_prefix="stripe")
    stack.callback(executor.shutdown, cancel_futures=True)
    parts = _Parts(
        settings=settings,
        plan=_plan(settings, name, start=start, heal=heal),
        stopping=stopping,
        metrics=metrics,
        health=health,
        membership=ActiveMember(member, (topic, 0), health.beat),
        executor=executor,
        lists=lists,
    )
    server = HealthServer(
        health=health,
        registry=metrics.registry,
        host=settings.http.host,
        port=settings.http.port,
    )
    stack.callback(server.close)
    _log.info("standing_by", group=name, topic=topic)
    return parts


def feed_name(settings: Settings, lists: StripeLists, what: str = "settlements") -> str:
    """The name of a feed's checkpoint and group: whose books, and which money."""
    group = settings.feed.group_id or f"{settings.kafka.group_id}-feed"
    mode = "test" if lists.origin.livemode is False else ""
    return "-".join(filter(None, (group, what, settings.feed.account, mode)))


def _plan(settings: Settings, name: str, *, start: int | None, heal: bool) -> FeedPlan:
    feed = settings.feed
    overlap = int(feed.overlap_hours * HOUR)
    return FeedPlan(
        payments=settings.topics.topic_of("payments"),
        settlements=settings.topics.topic_of("settlements"),
        checkpoints=settings.topics.feed,
        name=name,
        start=int(time.time()) - overlap if start is None else start,
        overlap=overlap,
        heal_after=feed.heal_after_seconds if heal else None,
        outcome_every=feed.outcome_seconds,
        parallel=feed.parallel,
    )


def _ready(parts: _Parts) -> tuple[bool, dict[str, Any]]:
    """A feed that stands by is ready; one that reads has read lately."""
    age = _age(parts)
    late = parts.settings.feed.poll_seconds * LATE_POLLS + HOUR / 60
    ok = not parts.membership.active or (parts.polled_at > 0 and age < late)
    return ok, {"reading": parts.membership.active, "poll_age_seconds": round(age, 3)}


def _age(parts: _Parts) -> float:
    """Since the last whole look; before the first, since it began to read. 0.0: it stands by."""
    since = parts.polled_at or parts.reads_since
    return time.monotonic() - since if parts.membership.active and since else 0.0


def _read(parts: _Parts) -> None:
    """While the partition is this process's: look, wait, look again."""
    assignment = parts.membership.assignments
    parts.reads_since = time.monotonic()
    with _opened(parts, assignment) as feed:
        _log.info("reading", name=parts.plan.name, through=feed.through)
        parts.metrics.ages(lambda: _age(parts), lambda: _newest_age(parts, feed))
        try:
            while _may_go_on(parts, assignment):
                pause = _look(parts, feed)
                until = time.monotonic() + pause
                while time.monotonic() < until and _may_go_on(parts, assignment):
                    parts.membership.poll(min(MEMBER_SECONDS, pause))
        except _Stopped:
            pass
    parts.reads_since = parts.polled_at = 0.0


def _may_go_on(parts: _Parts, assignment: int) -> bool:
    membership = parts.membership
    return (
        membership.active and membership.assignments == assignment and not parts.stopping.requested
    )


def _newest_age(parts: _Parts, feed: SettlementFeed) -> float:
    return time.time() - feed.through if parts.membership.active and feed.through else 0.0


def _look(parts: _Parts, feed: SettlementFeed) -> float:
    """One look; how many seconds to wait after it."""
    try:
        feed.look()
    except (Aborted, Unsettled) as failed:
        _log.warning("written_or_not", error=str(failed))
        feed.load()
        return 0.0
    except DependencyUnavailable as failed:
        if parts.stopping.requested:
            raise _Stopped from None
        parts.metrics.polled("failed")
        _log.warning("look_failed", error=str(failed))
        return max(parts.settings.feed.poll_seconds, AGAIN_SECONDS)
    parts.polled_at = time.monotonic()
    return parts.settings.feed.poll_seconds


@contextmanager
def _opened(parts: _Parts, assignment: int) -> Iterator[SettlementFeed]:
    """The one that reads. Its producer ends what another had open, before anything is read."""
    settings = parts.settings
    connection = connection_of(settings)

    def waiting() -> None:
        parts.membership.poll()
        if not _may_go_on(parts, assignment):
            raise _Stopped

    with ExitStack() as stack:
        producer = TransactionalProducer(
            connection,
            transactional_id=parts.plan.name,
            while_waiting=parts.health.beat,
            stopping_seconds=parts.stopping.seconds,
        )
        offsets = JobOffsets(connection, parts.plan.name)
        topics = KafkaFeedTopics(
            TopicReader(connection), producer, offsets, checkpoint_topic=parts.plan.checkpoints
        )
        stack.callback(topics.close)
        rulebook = load(settings.rulebook)
        decoder = decoder_of(settings, open_registry(settings))
        records = RecordDecoder(decoder, rulebook.topics, settings.topics.inputs)
        feed = SettlementFeed(
            parts.plan,
            lists=parts.lists,
            topics=topics,
            lost=LostWebhooks(translator_of(settings, rulebook), parts.metrics.not_healed),
            metrics=parts.metrics,
            executor=parts.executor,
            decode=lambda record: records.read(record, ROLE),
            now=time.time,
            waiting=waiting,
        )
        feed.load()
        since = feed.window()
        refuse_old(connection, [parts.plan.payments, parts.plan.settlements], since)
        yield feed
