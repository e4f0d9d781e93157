"""`feed`: Stripe's side into Kafka."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from worker.config.sections import EMBEDDED
from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError
from worker.core.iso_times import NANOSECONDS
from worker.jobs.live.run import Stop
from worker.jobs.times import in_the_past
from worker.observe.logs import configure_logging

INTERRUPTED: Final = "what Kafka has acknowledged stays; the same command goes on from there"
SETTLEMENTS: Final = "settlements"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "what",
        choices=[*_FEEDS],
        help="webhooks: take Stripe's events over HTTP and write them to the payments topic;"
        " settlements: read Stripe's balance transactions and write each to the settlements topic,"
        " and to the payments topic what a lost webhook did not tell",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="settlements: where to begin the first time (default: feed.overlap_hours ago)",
    )
    parser.add_argument(
        "--heal",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="settlements: write the payment events that no webhook has brought",
    )
    parser.add_argument(
        "--api-base", metavar="URL", help="settlements: instead of Stripe's address, for tests"
    )
    parser.epilog = "The settings are those of the section feed; docs/feed.md has every step."


def run(arguments: argparse.Namespace) -> int:
    """Feed until a signal comes."""
    settings = load_settings(arguments.config)
    if settings.kafka.bootstrap_servers == EMBEDDED:
        raise UsageError("an embedded broker ends with this process: name one that stays")
    if arguments.what != SETTLEMENTS and (arguments.start or arguments.api_base):
        raise UsageError(f"feed {arguments.what} takes neither --from nor --api-base")
    configure_logging(level=settings.log.level, format=settings.log.format)
    stop = Stop()
    stop.listen()
    _FEEDS[arguments.what](arguments, settings, stop)
    return 0


def _webhooks(_: argparse.Namespace, settings: Settings, stop: Stop) -> None:
    _job("webhooks").receive_webhooks(settings, stopped=lambda: stop.requested)


def _settlements(arguments: argparse.Namespace, settings: Settings, stop: Stop) -> None:
    start = None
    if arguments.start:
        start = in_the_past(arguments.start, option="--from") // NANOSECONDS
    _job("settlement_run").feed_settlements(
        _at(settings, arguments.api_base), start=start, heal=arguments.heal, stopping=stop
    )


def _at(settings: Settings, api_base: str | None) -> Settings:
    """The settings, with another address of Stripe's where one is given."""
    if not api_base:
        return settings
    if not api_base.startswith(("http://", "https://")):
        raise UsageError("--api-base begins with http:// or https://")
    feed = settings.feed.model_copy(update={"api_base": api_base})
    return settings.model_copy(update={"feed": feed})


_FEEDS: Final[dict[str, Callable[[argparse.Namespace, Settings, Stop], None]]] = {
    "webhooks": _webhooks,
    SETTLEMENTS: _settlements,
}


def _job(name: str) -> Any:  # noqa: ANN401 - a module of jobs/feed
    """Imported only here, because it needs packages that the worker itself does not.

    Raises:
        UsageError: they are not installed.
    """
    try:
        return import_module(f"worker.jobs.feed.{name}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("worker"):
            raise
        raise UsageError(
            f"feed needs more packages ({error.name} is missing): pip install 'ledger-worker[feed]'"
        ) from error
