"""`make profile`: where the worker's CPU goes between Kafka and the ledger, without servers.

The worker's own path (decode, translate, pack and judge, encode) and the straight-line loop's take
turns on the same records in one process; a ledger that says yes stands in for the real one. Only
their ratio means anything, and the benchmark's guard in the tests holds it.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from bench.contenders import ROOT
from bench.straight import RuleByHand, read
from bench.traffic import Encoding, charges, value_of
from worker.codecs.dead_letters import DeadLetters
from worker.codecs.decode import Decoder
from worker.codecs.outbox import OutboxEncoder
from worker.codecs.outbox_fields import OutboxFormat
from worker.codecs.parked import ParkedEvents
from worker.codecs.rejected import RejectedEncoder
from worker.core.assignment import Assignment
from worker.core.ports import Announcement, Ledger, Record
from worker.core.translate import Translator
from worker.core.wire import ROW_BYTES, CreateAccountStatus, CreateResult, CreateTransferStatus
from worker.jobs.archive.records import ArchivedRecord
from worker.rulebooks.load import load
from worker.stages.announce import AnnouncementWriter
from worker.stages.batch import Batch, Limits
from worker.stages.decode import EventReader
from worker.stages.portions import portions
from worker.stages.post.poster import Poster

RECORDS = 4000
ROUNDS = 10
TOPIC, ROLE = "bench", "payments"
NOW = 1_760_000_000_000_000_000


class Yes:
    """A ledger that creates whatever it is asked to; its answers are made before."""

    batch_max = RECORDS * 4

    def __init__(self) -> None:
        created = int(CreateTransferStatus.CREATED)
        self._made = [CreateResult(NOW + number, created) for number in range(self.batch_max)]

    def create_accounts(self, rows: bytes) -> list[CreateResult]:
        return [CreateResult(NOW, int(CreateAccountStatus.CREATED))] * (len(rows) // ROW_BYTES)

    def create_transfers(self, rows: bytes) -> list[CreateResult]:
        return self._made[: len(rows) // ROW_BYTES]


class WorkersPath:
    """What the worker does with a batch, stage by stage; `seconds` is the CPU of each."""

    def __init__(self, rulebook: Path, *, outbox: OutboxFormat = "avro") -> None:
        rules = load(rulebook)
        self._reader = EventReader(Decoder(), Translator(rules))
        self._poster = Poster(cast("Ledger", Yes()), Translator(rules), parked_max=0)
        self._writer = _writer(outbox)
        self._stay = Assignment(TOPIC, 0, ROLE, 1 << 40, until=1 << 39, opened=True)
        self.seconds = dict.fromkeys(("decode", "translate", "post", "encode"), float("inf"))

    def run(self, records: Sequence[ArchivedRecord]) -> list[Announcement]:
        """One batch; the least seconds of each stage are kept."""
        spent = dict.fromkeys(self.seconds, 0.0)
        batch = Batch(Limits(len(records) + 1, Yes.batch_max, 1 << 30))
        taken: list[tuple[Record, Assignment]] = [(record, self._stay) for record in records]
        for portion in portions(taken):
            began = time.thread_time()
            found = self._reader.decode_taken(portion)
            decoded = time.thread_time()
            batch.extend(self._reader.items(portion, found, group="bench"))
            spent["decode"] += decoded - began
            spent["translate"] += time.thread_time() - decoded
        items = batch.cut()
        began = time.thread_time()
        outcomes = self._poster.post(items)
        posted = time.thread_time()
        written = self._writer.write(items, outcomes)
        spent |= {"post": posted - began, "encode": time.thread_time() - posted}
        self.seconds = {stage: min(least, spent[stage]) for stage, least in self.seconds.items()}
        return written


def _writer(outbox: OutboxFormat) -> AnnouncementWriter:
    dead = DeadLetters(topic="dead", group="bench", rulebook_digest="0" * 64, redact=False)
    return AnnouncementWriter(
        outbox=OutboxEncoder(
            encoding=outbox,
            schema_id=4,
            topic="out",
            source="/ledger-worker/bench",
            rulebook_digest="0" * 64,
        ),
        rejected=RejectedEncoder(topic="rejected", source="/bench", rulebook_digest="0" * 64),
        parked=ParkedEvents(topics=[], dead=dead, now_ms=lambda: 0),
        dead=dead,
    )


class StraightPath:
    """What the straight-line loop does with the same batch."""

    def __init__(self) -> None:
        self._books = RuleByHand("offline")
        self._known: set[int] = set()

    def run(self, records: Sequence[ArchivedRecord]) -> list[Any]:
        """Values, keys and headers, in order."""
        books = self._books
        events = read(record.value() for record in records)
        books.accounts(events, self._known)
        packed = [
            books.pack(event, record.offset())
            for event, record in zip(events, records, strict=True)
        ]
        b"".join(row for legs in packed for _, row in legs)
        return [
            books.announcement(
                books.record(
                    event,
                    number=number,
                    leg_id=leg_id,
                    stamp=NOW + number,
                    position=record.offset(),
                )
            )
            for event, record, legs in zip(events, records, packed, strict=True)
            for number, (leg_id, _) in enumerate(legs)
        ]


def consumed(encoding: Encoding = "avro") -> list[ArchivedRecord]:
    """The records of the benchmark."""
    events = charges(RECORDS, seed=1, customers=1000)
    return [
        ArchivedRecord(TOPIC, 0, at, b"cus_1", value_of(event, encoding))
        for at, event in enumerate(events)
    ]


def least_us(*runs: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """CPU µs per record of each, the least of so many rounds; they take turns.

    As in the worker, the garbage collector does not walk what is in flight.
    """
    least = [float("inf")] * len(runs)
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for number, run in enumerate(runs):
                began = time.thread_time()
                run()
                least[number] = min(least[number], time.thread_time() - began)
    finally:
        gc.enable()
    return [seconds / RECORDS * 1e6 for seconds in least]


def main() -> None:
    records, straight = consumed(), StraightPath()
    path = WorkersPath(ROOT / "bench" / "rules.yaml")
    ours, plain = least_us(lambda: path.run(records), lambda: straight.run(records))
    print(f"CPU µs per event, {RECORDS:,} events of two legs, without Kafka and without a ledger:")
    for stage, seconds in path.seconds.items():
        print(f"  {stage:<12}{seconds / RECORDS * 1e6:>6.1f}")
    print(f"  {'worker':<12}{ours:>6.1f}\n  {'straight':<12}{plain:>6.1f}")
    print(f"worker / straight: {ours / plain:.2f}\n")
    profile = cProfile.Profile()
    profile.runcall(path.run, records)
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
