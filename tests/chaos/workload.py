"""What a run's topics hold: generated traffic, forged copies of some charges, hostile records.

A copy of a settlement with another amount is a conflict, whichever of the two comes first; one of a
charge with another `created` is the same fact again. The invariant: the same seed gives the same.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from confluent_kafka import Producer

from tests.chaos.hostile import hostile_kinds
from tests.integration.cluster import Cluster
from tests.servers.raw_producer import RawProducer
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.scene import Generated
from worker.jobs.generate.traffic import generate

HOSTILE_EVERY = 500
"""So many events for one more record of each hostile kind."""

CONFLICT = "poison: conflict"
AGAIN = "redelivery: charge"
FORGED_EVERY = 150
FLUSH_SECONDS = 300
TOPICS = {"payments": "pay", "settlements": "settle", "commands": "cmd", "treasury": "treasury"}


@dataclass(frozen=True, slots=True)
class Workload:
    """Records to produce beside the generator's own, and what every record should come to.

    expected: event id (empty where the record cannot be read) and note.
    """

    forged: tuple[tuple[str, bytes, bytes], ...]
    expected: tuple[tuple[str, str], ...]


def workload(events: int, seed: int) -> Workload:
    """The traffic of this seed with its forged copies."""
    made = list(generate(events, seed))
    copies = list(_forged(made, random.Random(seed)))
    expected = [(event_id(json_value(one)), one.note) for one in made]
    return Workload(
        tuple((TOPICS[one.role], key, json.dumps(event).encode()) for one, key, event, _ in copies),
        (*expected, *((str(one.event["id"]), note) for one, _, _, note in copies)),  # type: ignore[call-overload]
    )


def _forged(
    made: Sequence[Generated], rng: random.Random
) -> Iterator[tuple[Generated, bytes, dict[str, object], str]]:
    """Charges and their settlements that come once, each with one copy under another key."""
    ids = Counter(str(one.event["id"]) for one in made if isinstance(one.event, dict))
    once = [one for one in made if isinstance(one.event, dict) and ids[str(one.event["id"])] == 1]
    charges = [one for one in once if one.note == "charge"]
    settled = [one for one in once if one.note == "charge settled"]
    count = min(len(charges), len(settled), max(1, len(made) // FORGED_EVERY // 2))
    for number, one in enumerate(rng.sample(charges, count) + rng.sample(settled, count)):
        event = json.loads(json_value(one))
        key = f"forged {number}".encode()
        if number < count:
            yield one, key, event | {"created": event["created"] + 1}, AGAIN
            continue
        for field in ("amount", "net"):
            event["data"]["object"][field] += 1
        yield one, key, event, CONFLICT


def fill(cluster: Cluster, events: int, seed: int) -> Workload:
    """Put it all into the cluster's topics."""
    cluster.command("x", "generate", "--events", str(events), "--seed", str(seed), "--to", "kafka")
    found = workload(events, seed)
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for topic, key, value in found.forged:
        producer.produce(cluster.topic(topic), value, key)
    assert producer.flush(FLUSH_SECONDS) == 0
    return Workload(found.forged, (*found.expected, *_write_hostile(cluster, events)))


def _write_hostile(cluster: Cluster, events: int) -> Iterator[tuple[str, str]]:
    """Each kind of hostile record, a few times; its event's id and what it should come to."""
    producer = RawProducer(cluster.bootstrap_servers)
    for number in range(max(1, events // HOSTILE_EVERY)):
        for hostile in hostile_kinds(number):
            producer.produce(
                cluster.topic(TOPICS["payments"]),
                hostile.value,
                key=b"hostile %d" % number,
                timestamp_ms=hostile.timestamp_ms,
                headers=hostile.headers,
            )
            yield hostile.event_id, hostile.note
    producer.flush()
    producer.close()


def event_id(value: bytes | None) -> str:
    """The id in an event's JSON."""
    try:
        return str(json.loads(value or b"")["id"])
    except (ValueError, KeyError, TypeError):
        return ""
