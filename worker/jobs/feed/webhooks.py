"""One run of `feed webhooks`: the endpoint, its producer, its probes, and their end in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from worker.codecs.decode import event_of
from worker.config.feed_section import FeedSettings
from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.errors import BrokenInvariant, UsageError
from worker.core.event import Event, Skipped
from worker.core.outcome import OutcomeKind
from worker.jobs.feed.webhook_app import Acknowledgements, Endpoint, WebhookApp
from worker.jobs.serve.server import Server, is_loopback, listen
from worker.kafka.acknowledged_producer import AcknowledgedProducer
from worker.kafka.connection import connection_of
from worker.observe.feed_metrics import FeedMetrics
from worker.observe.health import HealthServer
from worker.observe.loop_health import LoopHealth
from worker.rulebooks.load import load

LOOK_SECONDS: Final = 0.2
"""Between two looks whether a signal came, or it cannot go on."""

ROLE: Final = "payments"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookFeed:
    """What is running."""

    server: Server
    producer: AcknowledgedProducer
    health: LoopHealth
    probes: HealthServer


def receive_webhooks(settings: Settings, *, stopped: Callable[[], bool]) -> None:
    """Take webhooks until stopped.

    Raises:
        UsageError: a setting is wrong, or anybody could send without a secret.
        DependencyUnavailable: the broker does not answer, or has no topic for payments.
        BrokenInvariant: a thread has ended.
    """
    with open_webhooks(settings) as feed:
        _log.info(
            "receiving_webhooks",
            host=settings.feed.host,
            port=feed.server.port,
            path=settings.feed.path,
            topic=settings.topics.topic_of(ROLE),
            secrets=len(settings.feed.webhook_secrets),
        )
        while not stopped():
            if not feed.server.running or not feed.producer.running:
                raise BrokenInvariant("a thread of the webhook endpoint has ended")
            feed.health.beat()
            time.sleep(LOOK_SECONDS)


@contextmanager
def open_webhooks(settings: Settings) -> Iterator[WebhookFeed]:
    """Build the endpoint and take it down again: no more requests, then the producer."""
    feed = settings.feed
    topic = settings.topics.topic_of(ROLE)
    metrics = FeedMetrics()
    acknowledgements = Acknowledgements()
    with ExitStack() as stack:
        bound = listen(feed.host, feed.port, section="feed")
        stack.callback(bound.close)
        _check(feed, loopback=is_loopback(bound))
        producer = AcknowledgedProducer(
            connection_of(settings),
            deadline_seconds=feed.deadline_seconds,
            acknowledged=acknowledgements,
        )
        stack.callback(producer.close, feed.deadline_seconds)
        producer.reach(topic)
        health = LoopHealth(lambda: _ready(producer))
        probes = HealthServer(
            health=health,
            registry=metrics.registry,
            host=settings.http.host,
            port=settings.http.port,
        )
        stack.callback(probes.close)
        app = WebhookApp(_endpoint(settings, topic), producer, acknowledgements, metrics)
        server = Server(app, bound)
        stack.callback(server.close)
        yield WebhookFeed(server, producer, health, probes)


def _endpoint(settings: Settings, topic: str) -> Endpoint:
    feed = settings.feed
    return Endpoint(
        path=feed.path,
        topic=topic,
        secrets=feed.webhook_secrets,
        tolerance_seconds=feed.tolerance_seconds,
        body_bytes_max=feed.body_bytes_max,
        deadline_seconds=feed.deadline_seconds,
        left_out=_ignored(settings) if feed.leave_out_ignored else _nothing,
        now=time.time,
    )


def _check(feed: FeedSettings, *, loopback: bool) -> None:
    """Refuse secrets that are none, and to take anything from other machines without one."""
    if any(secret.startswith(("sk_", "rk_", "pk_")) for secret in feed.webhook_secrets):
        raise UsageError(
            "feed.webhook_secrets has an API key in it: an endpoint's signing secret begins with"
            " whsec_, and is on the endpoint's page in Workbench"
        )
    if feed.webhook_secrets:
        return
    if not loopback:
        raise UsageError(
            f"feed.host {feed.host} can be reached from other machines, and feed.webhook_secrets is"
            " empty: anybody could send a charge. Name the endpoint's signing secret, or listen on"
            " 127.0.0.1"
        )
    _log.warning("webhooks_unsigned", host=feed.host)


def _ready(producer: AcknowledgedProducer) -> tuple[bool, dict[str, Any]]:
    waited = producer.down_seconds
    return not waited, {"kafka_waiting_seconds": round(waited, 3)}


def _nothing(_: object) -> bool:
    return False


def _ignored(settings: Settings) -> Callable[[object], bool]:
    """Whether the rulebook in force ignores an event, whatever is in it."""
    translator = translator_of(settings, load(settings.rulebook))

    def ignored(body: object) -> bool:
        event = event_of(body) if isinstance(body, dict) else None
        if not isinstance(event, Event):
            return False
        outcome = translator.translate(event, role=ROLE)
        return isinstance(outcome, Skipped) and outcome.outcome == OutcomeKind.IGNORED

    return ignored
