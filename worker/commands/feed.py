"""`feed`: Stripe's webhooks, balance transactions and history into Kafka."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError
from worker.core.iso_times import NANOSECONDS, iso_second
from worker.core.optional import optional_packages
from worker.jobs.live.gc_tuning import tune_gc
from worker.jobs.live.run import start_long_run
from worker.jobs.text_tables import write_result
from worker.jobs.times import in_the_past
from worker.observe.logs import configure_logging
from worker.rulebooks.load import load

INTERRUPTED: Final = "what Kafka has acknowledged stays; the same command goes on from there"
WEBHOOKS: Final = "webhooks"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "what",
        choices=[*_FEEDS],
        help="webhooks: take Stripe's events over HTTP and write them to the payments topic;"
        " settlements: read Stripe's balance transactions and write each to the settlements topic,"
        " and to the payments topic what a lost webhook did not tell; backfill: write the history"
        " from --from on, and end",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="backfill: where the history begins; settlements: where to begin the first time"
        " (default: feed.overlap_hours ago)",
    )
    parser.add_argument(
        "--heal",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="settlements: write the payment events that no webhook has brought",
    )
    parser.add_argument(
        "--api-base", metavar="URL", help="instead of Stripe's own address, for tests"
    )
    parser.add_argument("--json", action="store_true", help="backfill: print the result as JSON")
    parser.epilog = "The settings are those of the section feed; docs/feed.md has every step."


def run(arguments: argparse.Namespace) -> int:
    """Feed until a signal comes, or the history has been written."""
    settings = load_settings(arguments.config)
    if settings.kafka.embedded:
        raise UsageError("an embedded broker ends with this process: name one that stays")
    if arguments.what == WEBHOOKS and (arguments.start or arguments.api_base):
        raise UsageError("feed webhooks takes neither --from nor --api-base")
    _FEEDS[arguments.what](arguments, _at(settings, arguments.api_base))
    return 0


def _require_plain(settings: Settings, *roles: str) -> None:
    """What is written here is an event without an envelope: a topic that has one would refuse it.

    Raises:
        UsageError: one of the roles' topics has an envelope.
    """
    rules = load(settings.rulebook).topics
    for role in roles:
        if role in rules and not rules[role].plain:
            topic = settings.topics.topic_of(role)
            raise UsageError(
                f"feed writes events as they are, and the rulebook says that those of {topic}"
                f" (role {role}) come in an envelope: each would be a dead letter"
            )


def _webhooks(_: argparse.Namespace, settings: Settings) -> None:
    _require_plain(settings, "payments")
    with optional_packages("feed", extra="feed"):
        from worker.jobs.feed.webhooks import receive_webhooks  # noqa: PLC0415 - optional
    stop = start_long_run(settings)
    receive_webhooks(settings, stopped=lambda: stop.requested)


def _settlements(arguments: argparse.Namespace, settings: Settings) -> None:
    _require_plain(settings, "settlements", *(["payments"] if arguments.heal else []))
    with optional_packages("feed", extra="feed"):
        from worker.jobs.feed.settlement_run import feed_settlements  # noqa: PLC0415 - optional
    start = _start(arguments)
    stopping = start_long_run(settings)
    feed_settlements(settings, start=start, heal=arguments.heal, stopping=stopping)


def _backfill(arguments: argparse.Namespace, settings: Settings) -> None:
    start = _start(arguments)
    if start is None:
        raise UsageError("feed backfill needs --from: the day that the books begin")
    _require_plain(settings, "settlements", "payments")
    with optional_packages("feed", extra="feed"):
        from worker.jobs.feed.backfill_run import backfill  # noqa: PLC0415 - optional
    configure_logging(level=settings.log.level, format=settings.log.format)
    with tune_gc():  # the collector would take a third of the time, and finds nothing
        done = backfill(settings, start=start)
    written = dict(sorted(done.written.items()))
    began, end = iso_second(done.began), iso_second(done.end)
    lines = [f"{count:>12,} {kind}" for kind, count in written.items()]
    lines.append(f"{sum(written.values()):>12,} events of {began} to {end}")
    document = {"from": began, "to": end, "written": written}
    write_result(document, lines, as_json=arguments.json)


def _start(arguments: argparse.Namespace) -> int | None:
    if not arguments.start:
        return None
    return in_the_past(arguments.start, option="--from") // NANOSECONDS


def _at(settings: Settings, api_base: str | None) -> Settings:
    """The settings, with another address of Stripe's where one is given."""
    if not api_base:
        return settings
    if not api_base.startswith(("http://", "https://")):
        raise UsageError("--api-base begins with http:// or https://")
    feed = settings.feed.model_copy(update={"api_base": api_base})
    return settings.model_copy(update={"feed": feed})


_FEEDS: Final[dict[str, Callable[[argparse.Namespace, Settings], None]]] = {
    WEBHOOKS: _webhooks,
    "settlements": _settlements,
    "backfill": _backfill,
}
