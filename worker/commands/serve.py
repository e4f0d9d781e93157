"""`serve`: live balances over HTTP, for the app that must refuse an overdraft before it speaks.

The invariant: it writes nothing to the ledger, and nobody beyond this machine reads without a
token.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import structlog

from worker import __version__
from worker.config.settings import Settings, load_settings
from worker.core.errors import BrokenInvariant, UsageError
from worker.jobs.live.run import Stop
from worker.jobs.serve.api import Api
from worker.jobs.serve.shared_lookups import SharedLookups
from worker.ledger.books import refuse_empty
from worker.ledger.open import open_ledger
from worker.observe.logs import configure_logging
from worker.observe.metrics import ServeMetrics
from worker.rulebooks.load import load

if TYPE_CHECKING:
    from worker.jobs.serve.server import Server
from worker.jobs.serve.tokens import Tokens

HELP: Final = "answer the app over HTTP: live balances, read-only"
LOOK_SECONDS: Final = 0.2
"""How often it looks whether it was told to stop, or cannot go on."""

_log = structlog.get_logger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """It has no options: everything is a setting, as `serve.port` is."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    settings = load_settings(arguments.config)
    configure_logging(level=settings.log.level, format=settings.log.format)
    stop = Stop()
    stop.listen()
    with open_serving(settings) as serving:
        _log.info(
            "serving",
            host=settings.serve.host,
            port=serving.server.port,
            ledger=settings.ledger.addresses,
            tokens=bool(settings.serve.tokens_file),
        )
        watch(serving, stop)
    _log.info("stopped")
    return 0


def watch(serving: Serving, stop: Stop) -> None:
    """Return when told to stop; raise what makes it useless to go on."""
    while not stop.asked:
        if serving.lookups.failure:
            raise serving.lookups.failure
        if not serving.server.running:
            raise BrokenInvariant("the thread that takes requests has ended")
        time.sleep(LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class Serving:
    """What is running."""

    server: Server
    lookups: SharedLookups


@contextmanager
def open_serving(settings: Settings) -> Iterator[Serving]:
    """Build the server and take it down again: first HTTP, then the ledger.

    Raises:
        UsageError: the rulebook, the tokens or a setting is wrong.
        DependencyUnavailable: the ledger does not answer within `ledger.deadline_seconds`.
    """
    http = _http()
    rulebook = load(settings.rulebook)
    refuse_empty(settings)
    with closing(http.listen(settings.serve.host, settings.serve.port)) as listening:
        tokens = _tokens(settings, loopback=http.is_loopback(listening))
        # Without a deadline: an outage is waited out on one request; readers have their own.
        ledger = open_ledger(
            addresses=settings.ledger.addresses,
            cluster_id=settings.ledger.cluster_id,
            deadline_seconds=None,
        )
        metrics = ServeMetrics()
        metrics.build(version=__version__, rulebook=rulebook.digest)
        with closing(
            SharedLookups(
                ledger,
                deadline_seconds=settings.serve.deadline_seconds,
                observe=metrics.lookup,
            )
        ) as lookups:
            metrics.ledger_waiting(lambda: lookups.waiting_seconds)
            lookups.reach(settings.ledger.deadline_seconds)
            api = Api(rulebook=rulebook, lookups=lookups, tokens=tokens, metrics=metrics)
            with closing(http.Server(api, listening)) as server:
                yield Serving(server, lookups)


def _http() -> ModuleType:
    """The module of the HTTP server, whose library is an extra."""
    try:
        return import_module("worker.jobs.serve.server")
    except ModuleNotFoundError as error:
        if error.name != "waitress":
            raise
        raise UsageError(
            "the HTTP server is not installed: pip install ledger-worker[serve]"
        ) from error


def _tokens(settings: Settings, *, loopback: bool) -> Tokens | None:
    if settings.serve.tokens_file:
        return Tokens(Path(settings.serve.tokens_file))
    if not loopback:
        raise UsageError(
            f"serve.host {settings.serve.host} can be reached from other machines, and"
            " serve.tokens_file is empty: name a file of bearer tokens, or listen on 127.0.0.1"
        )
    return None
