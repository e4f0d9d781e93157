"""`demo`: the whole worker in one process, on generated traffic, and a page about the result.

Loop, codecs and rules are the real ones; the broker is librdkafka's mock cluster and the ledger the
embedded one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from itertools import islice
from typing import Final

from worker.commands.demo_page import DemoResults
from worker.commands.demo_stripe import stripe_side
from worker.commands.options import add_json
from worker.config.settings import Settings, load_settings
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.scene import PAYMENTS, SETTLEMENTS
from worker.jobs.generate.traffic import ROLES, generate
from worker.jobs.generate.wallets import SETTLING_TICKS
from worker.jobs.live.compose import Worker, open_worker, with_broker
from worker.jobs.live.run import Stop, work
from worker.jobs.progress import Progress
from worker.jobs.text_tables import write_document
from worker.kafka.plain_producer import open_plain_producer
from worker.kafka.topic_reader import read_all
from worker.ledger.embedded import EmbeddedLedger
from worker.ledger.scan import all_accounts, all_transfers
from worker.observe.logs import configure_logging
from worker.rulebooks.load import load

INTERRUPTED: Final = "nothing is left behind; the same command starts anew"

FLUSH_SECONDS: Final = 30.0
PORTION: Final = SETTLING_TICKS // 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--events", type=int, default=2000, help="how many records (default 2000)")
    parser.add_argument("--seed", type=int, default=1, help="which traffic (default 1)")
    add_json(parser, "page")


def run(arguments: argparse.Namespace) -> int:
    """Generate, run until drained, read everything back, and say whether it agrees."""
    settings = load_settings(arguments.config)
    settings = embedded(settings)
    configure_logging(level="error", format="console")
    page = _play(settings, events=arguments.events, seed=arguments.seed)
    if arguments.json:
        write_document(sys.stdout, page.figures(), indent=2)
    else:
        page.write(sys.stdout)
    return 0 if page.agrees else 1


def embedded(settings: Settings) -> Settings:
    """These settings on an embedded broker and ledger, with a topic for each role."""
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": "embedded"}),
            "ledger": settings.ledger.model_copy(update={"addresses": "embedded"}),
            "http": settings.http.model_copy(update={"host": "127.0.0.1", "port": 0}),
            "topics": settings.topics.with_roles(ROLES),
        }
    )


def _play(settings: Settings, *, events: int, seed: int) -> DemoResults:
    topics = settings.topics
    outputs = [topics.outbox, topics.rejected, topics.dead]
    ledger = EmbeddedLedger()
    started = time.monotonic()
    with with_broker(settings, outputs) as reachable:
        with open_worker(reachable, ledger=ledger, embedded_broker=True) as worker:
            feeder = Feeder(reachable, worker, events=events, seed=seed)
            work(worker, stop=Stop(), done=feeder)
            outcomes = dict(worker.observer.outcomes)
        posted, rejected, dead = (read_all(reachable, topic) for topic in outputs)
        sent = [
            record
            for role in (PAYMENTS, SETTLEMENTS)
            for record in read_all(reachable, topics.inputs[role])
        ]
    return DemoResults(
        rulebook=load(settings.rulebook),
        notes=feeder.notes,
        outcomes=outcomes,
        accounts=list(all_accounts(ledger)),
        transfers=list(all_transfers(ledger)),
        posted=posted,
        rejected=rejected,
        dead=dead,
        stripe=stripe_side(sent, posted),
        seconds=time.monotonic() - started,
    )


class Feeder:
    """Writes the traffic in portions, each when the last is drained, as it would come live.

    Money that is spent in one portion came in an earlier one, whatever topic is read first.
    """

    def __init__(
        self, settings: Settings, worker: Worker, *, events: int, seed: int, label: str = "events"
    ) -> None:
        self.notes: Counter[str] = Counter()
        self._topic_of = settings.topics.topic_of
        self._publisher = open_plain_producer(settings)
        self._worker = worker
        self._records = Progress().over(generate(events, seed), label, total=events)
        self._written = 0

    @property
    def drained(self) -> bool:
        """Has the worker an outcome of all that was written so far?"""
        observed = self._worker.observer.outcomes
        return self._worker.pipeline.idle and sum(observed.values()) >= self._written

    def __call__(self) -> bool:
        """Is all of it written and drained?"""
        if not self.drained:
            return False
        portion = list(islice(self._records, PORTION))
        for record in portion:
            topic, value = self._topic_of(record.role), json_value(record)
            self._publisher.publish(topic=topic, key=record.key, value=value, timestamp_ms=0)
            self.notes[record.note] += 1
        self._publisher.flush(FLUSH_SECONDS)
        self._written += len(portion)
        return not portion
