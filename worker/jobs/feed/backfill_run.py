"""One run of `feed backfill`: its clients, its progress, and what it says at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.jobs.feed.backfill import Backfill, BackfillPlan
from worker.jobs.feed.feed_topics import KafkaFeedTopics
from worker.jobs.feed.settlement_run import feed_name
from worker.jobs.feed.stripe_lists import StripeLists
from worker.kafka.admin import refuse_old
from worker.kafka.connection import connection_of
from worker.kafka.job_offsets import JobOffsets
from worker.kafka.producer import TransactionalProducer
from worker.kafka.topic_reader import TopicReader
from worker.observe.feed_metrics import FeedMetrics

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

HOUR: Final = 3_600
LOG_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What was done. began, end: seconds since 1970 that were read from and up to."""

    began: int
    end: int
    written: Mapping[str, int]


def backfill(settings: Settings, *, start: int) -> Backfilled:
    """Write the history from a second on, or from where an earlier run stopped.

    Raises:
        UsageError: a setting is wrong, a topic would not keep the history, or Stripe refuses.
        DependencyUnavailable: the broker or Stripe did not answer in time.
    """
    lists = StripeLists(settings.feed, FeedMetrics())
    name = f"{feed_name(settings, lists, 'backfill')}-from-{start}"
    overlap = int(settings.feed.overlap_hours * HOUR)
    plan = BackfillPlan(
        payments=settings.topics.topic_of("payments"),
        settlements=settings.topics.topic_of("settlements"),
        checkpoints=settings.topics.feed,
        name=name,
        start=start,
        end=int(time.time()),
        overlap=overlap,
        parallel=max(1, settings.feed.parallel // 2),
    )
    if plan.end <= plan.start:
        raise UsageError("--from is not before now")
    connection = connection_of(settings)
    with ExitStack() as stack:
        executor = ThreadPoolExecutor(settings.feed.parallel, thread_name_prefix="stripe")
        stack.callback(executor.shutdown, cancel_futures=True)
        # It ends what an earlier run left open before the checkpoint is read.
        producer = TransactionalProducer(connection, transactional_id=name)
        topics = KafkaFeedTopics(
            TopicReader(connection),
            producer,
            JobOffsets(connection, name),
            checkpoint_topic=plan.checkpoints,
        )
        stack.callback(topics.close)
        run = Backfill(plan, lists, topics, executor)
        began = run.resumes_at()
        refuse_old(connection, [plan.payments, plan.settlements], began)
        with _progress(began, plan.end) as step:
            run.step = step
            run.run()
    return Backfilled(began, plan.end, run.written)


@contextmanager
def _progress(began: int, end: int, out: TextIO = sys.stderr) -> Iterator[Callable[[int], None]]:
    """Days of the history on a terminal, else a line a minute."""
    if not out.isatty():
        yield _lines(began, end, out)
        return
    with _bar(out) as bars:
        task = bars.add_task("history", total=end - began)
        yield lambda second: bars.update(task, completed=second + 1 - began, refresh=True)


def _lines(began: int, end: int, out: TextIO) -> Callable[[int], None]:
    said_at = time.monotonic()

    def step(second: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > LOG_SECONDS:
            said_at = time.monotonic()
            day = time.strftime("%Y-%m-%d", time.gmtime(second))
            out.write(f"history up to {day}, {(second - began) / (end - began):.0%}\n")
            out.flush()

    return step


def _bar(out: TextIO) -> Bars:
    from rich.console import Console  # noqa: PLC0415 - only where something is drawn
    from rich.progress import (  # noqa: PLC0415 - the same
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415 - the same

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(file=out, highlight=False),
        auto_refresh=False,
    )
