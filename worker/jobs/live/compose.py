"""The composition root: settings become one running worker, here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Final

from worker import __version__
from worker.codecs.announced_size import AnnouncedSize
from worker.codecs.decode import Decoder
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.errors import DependencyUnavailable
from worker.core.event import Reason
from worker.core.outcome import OutcomeKind
from worker.core.ports import Commit, GroupMember, Ledger, SharedInputs
from worker.core.rulebook import Rulebook
from worker.core.translate import Translator
from worker.core.visible import without_credentials
from worker.jobs.live.encoders import announcement_writer
from worker.kafka.connection import connection_of
from worker.kafka.consumer import Consumer
from worker.kafka.embedded_broker import EmbeddedBroker
from worker.kafka.live_schemas import LiveSchemas
from worker.kafka.producer import TransactionalProducer
from worker.kafka.registry import Registry, open_registry, schema_ids
from worker.kafka.topic_limits import TopicLimits, read_limits, unread_limits
from worker.ledger.clock import LedgerClock
from worker.ledger.counted import CountedLedger
from worker.ledger.open import open_configured_ledger
from worker.ledger.probe import LedgerProbe
from worker.observe.balance_gauges import BalanceGauges, gauged_accounts
from worker.observe.batch_observer import BatchObserver
from worker.observe.health import Health, HealthServer
from worker.observe.metrics import Metrics
from worker.observe.watchdog import Watchdog
from worker.pipeline import Pipeline
from worker.rulebooks.load import load
from worker.stages.batch import Limits
from worker.stages.catching_up import HandOver
from worker.stages.decode import EventReader
from worker.stages.intake import InputSettings
from worker.stages.partitions import InputTopic
from worker.stages.post.poster import Poster
from worker.stages.protocols import Posting, Writer
from worker.stages.time_order import Patience


@dataclass(frozen=True, slots=True)
class Worker:
    """A composed worker.

    probe: checks whether the ledger answers.
    watchdog: ends the process when the loop hangs.
    close_ledger: ends a request that would wait for ever.
    now_ms: milliseconds since 1970 on the ledger's clock, by which parked events are due.
    """

    settings: Settings
    pipeline: Pipeline
    source: Consumer
    observer: BatchObserver
    probe: LedgerProbe
    watchdog: Watchdog
    close_ledger: Callable[[], None]
    now_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Variant:
    """How a worker differs from the live one: what it reads, and what wraps its ports."""

    reads: Callable[[Settings], Mapping[str, InputTopic]]
    source: Callable[[GroupMember], GroupMember]
    posting: Callable[[Posting, Ledger, Translator], Posting]
    writer: Callable[[Writer], Writer]


def _nobody_stops() -> float:
    return 0.0


@contextmanager
def open_worker(  # noqa: PLR0913 - the settings, and what they cannot say
    settings: Settings,
    *,
    events_limit: int = 0,
    ledger: Ledger | None = None,
    embedded_broker: bool = False,
    variant: Variant | None = None,
    stopping_seconds: Callable[[], float] = _nobody_stops,
) -> Iterator[Worker]:
    """Build a worker and take it down again.

    settings: with the bootstrap servers of a running broker; see `with_broker`.
    events_limit: stop taking records after so many; 0 means never.
    ledger: one that is open already, for the demo.
    embedded_broker: it forgets offsets that come in a transaction, so they are committed again.
    variant: for a worker that is not the live one.
    stopping_seconds: how long ago the signal to stop came; 0.0 while none did.

    Raises:
        UsageError: the rulebook, the schemas or a setting is wrong.
        DependencyUnavailable: a broker or the ledger did not answer in time.
    """
    rulebook = load(settings.rulebook)
    # The ledger's thread translates too: an attempt is another chain of the same event.
    rules = translator_of(settings, rulebook)
    variant = variant or _LIVE
    reads = _ranked(variant.reads(settings), rulebook)
    with ExitStack() as stack:
        thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        stack.callback(thread.shutdown)
        opened = ledger or open_configured_ledger(settings.ledger, None)
        counted = CountedLedger(opened)
        if ledger is None:
            stack.callback(counted.close)
        clock = LedgerClock(opened)
        legs_max = _reach_ledger(counted, clock, thread, settings)
        health = Health(deadline_seconds=settings.ledger.deadline_seconds)
        source = stack.enter_context(closing(_source(settings, reads, health)))
        metrics = _outputs(stack, settings, health, counted, rulebook)
        limits = None if embedded_broker else read_limits(settings)
        registry = open_registry(settings, while_waiting=health.beat)
        schemas = schema_ids(settings, registry) if settings.outbox.format == "avro" else {}
        announcer = _announcer(settings, limits, source, health, stopping_seconds)
        stack.callback(announcer.close)
        _watch_kafka(health, source, announcer)
        balances = _balances(settings, rulebook, counted, thread, metrics)
        observer = _observer(settings, metrics, health, counted, source, balances)
        metrics.expect(product(reads, OutcomeKind), product((OutcomeKind.DEAD,), Reason))
        pipeline = Pipeline(
            inputs=_inputs(settings, reads, legs_max, events_limit),
            source=variant.source(source),
            reader=_reader(settings, rulebook, registry, health),
            posting=variant.posting(_poster(settings, counted, rules, limits), counted, rules),
            writer=variant.writer(
                announcement_writer(settings, rulebook.digest, schemas, clock.now_ms)
            ),
            announcer=announcer,
            observer=observer,
            ledger_thread=thread,
            now=time.monotonic,
            wall_ms=clock.now_ms,
            shared=_shared(settings, source, reads, embedded_broker=embedded_broker),
        )
        metrics.order_waiting(lambda: pipeline.waiting_seconds)
        watchdog = Watchdog(health=health, limit_seconds=settings.kafka.hang_seconds)
        probe = LedgerProbe(clock=clock, ledger_thread=thread)
        parts = (pipeline, source, observer, probe, watchdog)
        yield Worker(settings, *parts, close_ledger=counted.close, now_ms=clock.now_ms)


@contextmanager
def with_broker(settings: Settings, topics: Sequence[str] = ()) -> Iterator[Settings]:
    """Settings whose broker runs: the embedded one is started, with the topics in it."""
    if not settings.kafka.embedded:
        yield settings
        return
    broker = EmbeddedBroker()
    declared = settings.topics
    broker.make_topics([*declared.inputs.values(), *declared.parked_topics, *topics])
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
    yield settings.model_copy(update={"kafka": kafka})


def _reach_ledger(
    ledger: CountedLedger, clock: LedgerClock, thread: ThreadPoolExecutor, settings: Settings
) -> int:
    """The legs of a batch, by the first requests; on later ones an outage is waited out."""

    def reach() -> int:
        clock.ask()
        return ledger.batch_max

    answer = thread.submit(reach)
    try:
        limit = answer.result(timeout=settings.ledger.deadline_seconds)
    except TimeoutError:
        ledger.close()
        raise DependencyUnavailable(
            f"the ledger at {without_credentials(settings.ledger.addresses)} did not answer within"
            f" {settings.ledger.deadline_seconds:g} s; a wrong cluster id"
            f" ({settings.ledger.cluster_id} is set) looks the same"
        ) from None
    return min(limit, settings.batch.legs_max or limit)


def _inputs(
    settings: Settings, reads: Mapping[str, InputTopic], legs_max: int, events_limit: int
) -> InputSettings:
    batch = settings.batch
    return InputSettings(
        group=settings.kafka.group_id,
        topics=reads,
        limits=Limits(batch.events_max, legs_max, batch.bytes_max),
        linger_seconds=batch.linger_ms / 1000,
        patience=Patience(batch.skew_seconds, batch.skew_limit_seconds),
        hand_over=HandOver(min(batch.skew_seconds, 1.0), batch.hand_over_seconds),
        events_limit=events_limit,
    )


def _read_as(settings: Settings) -> dict[str, InputTopic]:
    """Every topic that is read: the inputs, and one parked topic for each delay."""
    topics = settings.topics
    read = {topic: InputTopic(role) for role, topic in topics.inputs.items()}
    delays = zip(topics.parked_topics, topics.parked_delays_seconds, strict=True)
    for tries, (topic, seconds) in enumerate(delays, start=1):
        read[topic] = InputTopic("", tries, seconds * 1000)
    return read


def _ranked(reads: Mapping[str, InputTopic], rulebook: Rulebook) -> dict[str, InputTopic]:
    """With the rulebook's priority of each role; parked topics, which have none, are normal."""
    return {
        topic: input_topic._replace(priority=rulebook.priority_of(input_topic.role))
        for topic, input_topic in reads.items()
    }


_LIVE: Final = Variant(
    reads=_read_as,
    source=lambda source: source,
    posting=lambda posting, _ledger, _rules: posting,
    writer=lambda writer: writer,
)


def _source(settings: Settings, reads: Mapping[str, InputTopic], health: Health) -> Consumer:
    return Consumer(
        connection_of(settings),
        group=settings.kafka.group_id,
        topics=list(reads),
        parked=[topic for topic, read_as in reads.items() if read_as.delay_ms],
        instance=settings.kafka.group_instance_id,
        while_waiting=health.beat,
    )


def _reader(
    settings: Settings, rulebook: Rulebook, registry: Registry | None, health: Health
) -> EventReader:
    decoder = _decoder(settings, registry, health)
    return EventReader(decoder, translator_of(settings, rulebook), settings.topics.inputs)


def _decoder(settings: Settings, registry: Registry | None, health: Health) -> Decoder:
    """With a registry every id is looked up: what a writer wrote is known by its schema alone."""
    if registry is None:
        return Decoder(settings.schema_registry.ids)
    schemas = LiveSchemas(registry)
    health.registry_waiting_seconds = lambda: schemas.waiting_seconds
    return Decoder({}, schemas.reader)


def _shared(
    settings: Settings, source: Consumer, reads: Mapping[str, InputTopic], *, embedded_broker: bool
) -> SharedInputs | None:
    """For workers of one group that wait for each other; who stands by keeps to parked topics."""
    parked = any(read_as.delay_ms for read_as in reads.values())
    wanted = settings.batch.hand_over_seconds and parked and not embedded_broker
    return source if wanted else None


def _announcer(
    settings: Settings,
    limits: TopicLimits | None,
    source: Consumer,
    health: Health,
    stopping_seconds: Callable[[], float],
) -> TransactionalProducer:
    """limits: None for the embedded broker, which keeps no offsets of a transaction either."""
    return TransactionalProducer(
        connection_of(settings),
        transactional_id=settings.kafka.transactional_id,
        record_bytes_max=(limits or unread_limits(settings)).record_bytes_max,
        times=limits.times if limits else {},
        side_by_side=(settings.topics.outbox, settings.topics.rejected),
        after_commit=_nothing_more if limits else source.commit,
        while_waiting=health.beat,
        stopping_seconds=stopping_seconds,
    )


def _watch_kafka(health: Health, source: Consumer, announcer: TransactionalProducer) -> None:
    health.kafka_waiting_seconds = lambda: max(source.waiting_seconds, announcer.waiting_seconds)


def _poster(
    settings: Settings, ledger: Ledger, rules: Translator, limits: TopicLimits | None
) -> Poster:
    topics = settings.topics
    limits = limits or unread_limits(settings)
    size = AnnouncedSize(
        rules.rulebook, record_bytes_max=limits.of((topics.outbox, topics.rejected))
    )
    return Poster(ledger, rules, parked_max=len(topics.parked_topics), unannounceable=size.problem)


def _nothing_more(_: Sequence[Commit]) -> None:
    """A real broker keeps the offsets of a transaction."""


def _outputs(
    stack: ExitStack,
    settings: Settings,
    health: Health,
    ledger: Ledger,
    rulebook: Rulebook,
) -> Metrics:
    metrics = Metrics()
    metrics.build(version=__version__, rulebook=rulebook.digest)
    metrics.ledger_waiting(lambda: ledger.waiting_seconds)
    health.ledger_waiting_seconds = lambda: ledger.waiting_seconds
    server = HealthServer(
        health=health,
        registry=metrics.registry,
        host=settings.http.host,
        port=settings.http.port,
    )
    stack.callback(server.close)
    return metrics


def _balances(
    settings: Settings,
    rulebook: Rulebook,
    ledger: Ledger,
    thread: ThreadPoolExecutor,
    metrics: Metrics,
) -> BalanceGauges:
    return BalanceGauges(
        ledger=ledger,
        thread=thread,
        accounts=gauged_accounts(rulebook, settings.metrics.balances),
        show=metrics.balance,
        every_seconds=settings.metrics.balances_seconds,
    )


def _observer(  # noqa: PLR0913, PLR0917 - one argument per part, no two of one type
    settings: Settings,
    metrics: Metrics,
    health: Health,
    ledger: CountedLedger,
    source: Consumer,
    balances: BalanceGauges,
) -> BatchObserver:
    return BatchObserver(
        metrics=metrics,
        health=health,
        ledger=ledger,
        source=source,
        balances=balances,
        sessions_lost=lambda: source.sessions_lost,
        requests=ledger.take_counts,
        deadline_seconds=settings.ledger.deadline_seconds,
    )
