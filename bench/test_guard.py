"""The benchmark's guard: ratios within one process, never seconds, and no servers.

The margins are wide: a shared machine shifts even ratios. What fails here has lost a third of its
speed; `make profile` shows where, `make bench` what it costs on real servers.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from bench.contenders import ROOT, rules_text
from bench.offline import StraightPath, WorkersPath, consumed, least_us
from worker.codecs.avro import packaged_schema, plain_reader
from worker.commands.run import COMPILED
from worker.core.chain import Chain
from worker.core.event import Event
from worker.jobs.archive.records import ArchivedRecord
from worker.stages.item import Item

RULES = ROOT / "bench" / "rules.yaml"
ROUNDS = 5


@pytest.fixture(scope="module")
def records() -> list[ArchivedRecord]:
    return consumed()


def test_the_worker_costs_little_beside_the_straight_line(records: list[ArchivedRecord]) -> None:
    """Between Kafka and the ledger: at most 0.70 of the fastavro loop's CPU, compiled 0.35.

    Seen were 0.47 and 0.23.
    """
    path, straight = WorkersPath(RULES), StraightPath()
    ours, plain = least_us(lambda: path.run(records), lambda: straight.run(records), rounds=ROUNDS)
    assert ours < (0.35 if COMPILED else 0.70) * plain


def test_json_costs_little_more_than_avro(records: list[ArchivedRecord]) -> None:
    """A webhook of 3.4 KB costs at most twice an Avro event, and either outbox about the same."""
    webhooks = consumed("webhook")
    avro, json_in, json_out = (
        WorkersPath(RULES),
        WorkersPath(RULES),
        WorkersPath(RULES, outbox="json"),
    )
    base, read_json, wrote_json = least_us(
        lambda: avro.run(records),
        lambda: json_in.run(webhooks),
        lambda: json_out.run(records),
        rounds=ROUNDS,
    )
    assert read_json < 2.0 * base
    assert 1 / 1.4 < wrote_json / base < 1.4


def test_five_hundred_rules_cost_what_one_does(
    records: list[ArchivedRecord], tmp_path: Path
) -> None:
    """What answers a type is looked up, not searched for."""
    many = tmp_path / "rules.yaml"
    many.write_text(rules_text("many", rules=500))
    one, hundreds = WorkersPath(RULES), WorkersPath(many)
    single, several = least_us(
        lambda: one.run(records), lambda: hundreds.run(records), rounds=ROUNDS
    )
    assert several < 1.3 * single


def test_a_batch_leaves_nothing_for_the_collector(records: list[ArchivedRecord]) -> None:
    """No rings among its objects: that the collector looks seldom lets no memory pile up."""
    path = WorkersPath(RULES)
    gc.collect()
    gc.disable()
    try:
        path.run(records)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_records_made_without_their_constructors_are_whole(records: list[ArchivedRecord]) -> None:
    """`new` checks nothing: whoever adds a field to one of these finds here where it is made."""
    path = WorkersPath(RULES)
    (event,) = path._reader.decode(records[:1], ["payments"])
    assert isinstance(event, Event)
    chain, _ = path._reader.translate(event, records[0], role="payments")
    assert isinstance(chain, Chain)
    (outcome,) = path._poster.post([Item(records[0], path._stay, 0, 0, "payments", chain)])
    made: list[Any] = [chain, *chain.accounts(), *chain.legs, outcome, *outcome.legs]
    made += path.run(records[:1])
    assert [len(one) for one in made] == [len(type(one)._fields) for one in made]


def test_both_paths_do_the_same_work(records: list[ArchivedRecord]) -> None:
    """The straight line announces the legs that the worker does: the same amounts, in order."""
    read = plain_reader(packaged_schema("posted_transfer")).read
    ours = [read(one.value or b"") for one in WorkersPath(RULES).run(records)]
    theirs = [read(value) for value, _, _ in StraightPath().run(records)]
    kept = ("event_id", "leg", "leg_number", "amount", "currency", "debit_key", "flags", "kind")
    assert [[one[name] for name in kept] for one in ours] == [
        [one[name] for name in kept] for one in theirs
    ]
