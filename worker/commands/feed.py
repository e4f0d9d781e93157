"""`feed`: Stripe's side into Kafka."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Final

from worker.config.sections import EMBEDDED
from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError
from worker.jobs.live.run import Stop
from worker.observe.logs import configure_logging

INTERRUPTED: Final = "what Kafka has acknowledged stays; the same command goes on from there"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "what",
        choices=["webhooks"],
        help="webhooks: take Stripe's events over HTTP and write them to the payments topic",
    )
    parser.epilog = "The settings are those of the section feed; docs/feed.md has every step."


def run(arguments: argparse.Namespace) -> int:
    """Feed until a signal comes."""
    settings = load_settings(arguments.config)
    if settings.kafka.bootstrap_servers == EMBEDDED:
        raise UsageError("an embedded broker ends with this process: name one that stays")
    configure_logging(level=settings.log.level, format=settings.log.format)
    stop = Stop()
    stop.listen()
    _webhooks(settings, stop)
    return 0


def _webhooks(settings: Settings, stop: Stop) -> None:
    _job("webhooks").receive_webhooks(settings, stopped=lambda: stop.requested)


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
