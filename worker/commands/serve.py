"""`serve`: live balances for apps and pages for people, read-only; elsewhere only with a token."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from worker import __version__
from worker.config.settings import Settings, load_settings
from worker.core.errors import BrokenInvariant, UsageError
from worker.core.optional import optional_packages
from worker.core.ports import Ledger
from worker.core.visible import without_credentials
from worker.jobs.live.run import Stop, start_long_run
from worker.jobs.serve.shared_lookups import SharedLookups
from worker.jobs.serve.tokens import Tokens
from worker.kafka.broker_reads import RUNNING, BrokerReads
from worker.ledger.books import refuse_empty
from worker.ledger.open import open_configured_ledger
from worker.observe.metrics import ServeMetrics
from worker.rulebooks.load import load

if TYPE_CHECKING:
    from worker.jobs.serve.server import Server

LOOK_SECONDS: Final = 0.2
"""Between two looks whether a signal came, or it cannot go on."""

_log = structlog.get_logger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """It has no options: everything is a setting, as `serve.port` is."""
    parser.epilog = (
        "The settings serve.host, serve.port, serve.tokens_file and serve.deadline_seconds say"
        " where it answers, and whom. GET /openapi.json describes the answers."
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    settings = load_settings(arguments.config)
    stop = start_long_run(settings)
    with open_serving(settings) as serving:
        _log.info(
            "serving",
            host=settings.serve.host,
            port=serving.server.port,
            ledger=without_credentials(settings.ledger.addresses),
            tokens=bool(settings.serve.tokens_file),
        )
        watch(serving, stop)
    _log.info("stopped")
    return 0


@dataclass(frozen=True, slots=True)
class Serving:
    """What is running."""

    server: Server
    lookups: SharedLookups


def watch(serving: Serving, stop: Stop) -> None:
    """Return when a signal came; raise what makes it useless to go on."""
    while not stop.requested:
        if serving.lookups.failure:
            raise serving.lookups.failure
        if not serving.server.running:
            raise BrokenInvariant("the thread that takes requests has ended")
        time.sleep(LOOK_SECONDS)


@contextmanager
def open_serving(
    settings: Settings, *, ledger: Ledger | None = None, broker: BrokerReads = RUNNING
) -> Iterator[Serving]:
    """Build the server and take it down again: first HTTP, then the ledger.

    ledger: one that is open already. broker: how it is read.

    Raises:
        UsageError: the rulebook, the tokens or a setting is wrong.
        DependencyUnavailable: the ledger does not answer within `ledger.deadline_seconds`.
    """
    with optional_packages("serve", extra="serve"):
        from worker.jobs.pages.access import Access  # noqa: PLC0415 - optional
        from worker.jobs.pages.reading import PageReads  # noqa: PLC0415 - the same
        from worker.jobs.pages.routes import pages_router  # noqa: PLC0415 - the same
        from worker.jobs.serve.api import application  # noqa: PLC0415 - optional
        from worker.jobs.serve.server import Server, is_loopback, listen  # noqa: PLC0415 - the same
    rulebook = load(settings.rulebook)
    if ledger is None:
        refuse_empty(settings)
    metrics = ServeMetrics()
    metrics.build(version=__version__, rulebook=rulebook.digest)
    with closing(listen(settings.serve.host, settings.serve.port)) as bound:
        tokens = _tokens(settings, loopback=is_loopback(bound))
        # Without a deadline: an outage is waited out on one request; readers have their own.
        opened = ledger or open_configured_ledger(settings.ledger, None)
        with closing(_lookups(settings, opened, metrics)) as lookups:
            metrics.ledger_waiting(lambda: lookups.waiting_seconds)
            asyncio.run(lookups.reach(settings.ledger.deadline_seconds))
            reads = PageReads(settings, rulebook, opened, broker=broker)
            pages = pages_router(reads, Access(tokens))
            app = application(
                rulebook=rulebook,
                lookups=lookups,
                tokens=tokens,
                metrics=metrics,
                pages=pages if settings.serve.pages else None,
            )
            with closing(Server(app, bound)) as server:
                yield Serving(server, lookups)


def _lookups(settings: Settings, ledger: Ledger, metrics: ServeMetrics) -> SharedLookups:
    return SharedLookups(
        ledger, deadline_seconds=settings.serve.deadline_seconds, observe=metrics.lookup
    )


def _tokens(settings: Settings, *, loopback: bool) -> Tokens | None:
    if settings.serve.tokens_file:
        return Tokens(Path(settings.serve.tokens_file))
    if not loopback:
        raise UsageError(
            f"serve.host {settings.serve.host} can be reached from other machines, and"
            " serve.tokens_file is empty: name a file of bearer tokens, or listen on 127.0.0.1"
        )
    return None
