"""Generated traffic, written to the input topics of a broker that is running."""

from __future__ import annotations

from worker.config.settings import Settings
from worker.jobs.generate.encode import json_value
from worker.jobs.generate.traffic import generate
from worker.kafka.plain_producer import open_plain_producer

SEED = 3
FLUSH_SECONDS = 30


def produce(settings: Settings, *, skip: int, events: int) -> None:
    """Write the first so many events of one traffic, without those that were written before."""
    publisher = open_plain_producer(settings)
    for number, one in enumerate(generate(events, SEED, roles=settings.topics.inputs)):
        if number >= skip:
            topic = settings.topics.inputs[one.role]
            publisher.publish(topic=topic, key=one.key, value=json_value(one), timestamp_ms=0)
    publisher.flush(FLUSH_SECONDS)
