"""`dev`: everything for trying it out, in one process and with one command: traffic and pages.

Broker and ledger are the embedded ones of `demo`; nothing is left behind. Ctrl-C takes it down.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from worker.commands.demo import Feeder, embedded
from worker.commands.options import positive
from worker.commands.serve import open_serving
from worker.config.settings import Settings, load_settings
from worker.core.ids import hex_id
from worker.core.wire import QueryFilter
from worker.jobs.live.compose import open_worker, with_broker
from worker.jobs.live.run import Stop, work
from worker.jobs.live.summary import summary_lines
from worker.jobs.text_tables import TITLE, Styled, write_lines
from worker.kafka.embedded_broker import EMBEDDED_READS
from worker.ledger.embedded import EmbeddedLedger
from worker.observe.logs import configure_logging

INTERRUPTED: Final = "nothing is left behind; the same command starts anew"

EVENTS_MAX: Final = 20_000
"""Records of the traffic; the embedded broker keeps all in memory."""

PORTION_SECONDS: Final = 5.0
"""Between two portions of the traffic, after the first few."""

FIRST_PORTIONS: Final = 4
"""These come at once, so that there is something to look at."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--events",
        type=positive,
        default=EVENTS_MAX,
        metavar="N",
        help=f"stop the traffic after N records (default {EVENTS_MAX:,}); the pages stay",
    )
    parser.add_argument("--seed", type=int, default=1, help="which traffic (default 1)")


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C, then say what was done."""
    settings = embedded(load_settings(arguments.config))
    configure_logging(level="error", format="console")
    stop = Stop()
    stop.listen()
    outcomes = _play(settings, stop, events=arguments.events, seed=arguments.seed)
    write_lines(sys.stdout, ["", *summary_lines(outcomes)[:1]])
    write_lines(sys.stdout, ["taken down; nothing is left behind"])
    return 0


def _play(settings: Settings, stop: Stop, *, events: int, seed: int) -> Counter[str]:
    topics = settings.topics
    ledger = EmbeddedLedger()
    with (
        with_broker(settings, [topics.outbox, topics.rejected, topics.dead]) as reachable,
        open_worker(reachable, ledger=ledger, embedded_broker=True) as worker,
        open_serving(reachable, ledger=ledger, broker=EMBEDDED_READS) as serving,
    ):
        feeder = Feeder(reachable, worker, events=events, seed=seed, label="")
        address = f"http://{settings.serve.host}:{serving.server.port}"
        write_lines(sys.stdout, _welcome(reachable, address))
        work(worker, stop=stop, done=_Paced(feeder, lambda: _first_id(ledger, address)))
        return Counter(worker.observer.outcomes)


def _welcome(settings: Settings, address: str) -> list[str | Styled]:
    return [
        Styled(f"pages    {address}/", TITLE),
        f"balances {address}/v1/accounts/bank?currency=usd",
        f"broker   {settings.kafka.bootstrap_servers} (embedded; as long as this runs)",
        "Ctrl-C takes everything down",
        "",
    ]


def _first_id(ledger: EmbeddedLedger, address: str) -> None:
    """Something to look for."""
    found = ledger.query_transfers(QueryFilter(limit=1, reversed=True))
    if found:
        link = f"{address}/trace?id={hex_id(found[0].id)}"
        write_lines(sys.stdout, [f"for example {link}"])


class _Paced:
    """Feeds a few portions at once and then one every few seconds; never says that it is done.

    shown: called once, after the first few.
    """

    def __init__(self, feeder: Feeder, shown: Callable[[], None]) -> None:
        self._feeder = feeder
        self._shown = shown
        self._fed = 0
        self._next = 0.0
        self._ended = False

    def __call__(self) -> bool:
        if self._ended or time.monotonic() < self._next or not self._feeder.drained:
            return False
        if self._fed == FIRST_PORTIONS:
            self._shown()
        self._ended = self._feeder()
        self._fed += 1
        if self._fed >= FIRST_PORTIONS:
            self._next = time.monotonic() + PORTION_SECONDS
        return False
