"""`doctor --sample`: what the newest records of each input are, and how many would be dead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from worker.config.settings import Settings
from worker.config.translator import translator_of
from worker.core.chain import Chain
from worker.core.event import Dead, Event
from worker.core.ports import Record, TopicPartition
from worker.kafka.registry import open_decoder
from worker.kafka.topic_reader import OffsetRange, TopicReader, open_topic_reader
from worker.observe.findings import CONFIGURATION, Finding
from worker.rulebooks.load import load
from worker.stages.decode import EventReader

REASONS_SHOWN: Final = 3
SHAPES_SHOWN: Final = 2


def sample(settings: Settings, records_max: int) -> Iterator[Finding]:
    """A finding for each input topic that there is; more than half dead is not well.

    records_max: so many of the newest of each topic, shared by its partitions.
    """
    translator = translator_of(settings, load(settings.rulebook))
    reader = EventReader(open_decoder(settings), translator, settings.topics.inputs)
    with open_topic_reader(settings) as topics:
        existing = topics.offsets.existing()
        for role, topic in settings.topics.inputs.items():
            if topic in existing:
                newest = _newest(topics, topic, records_max)
                yield verdict(topic, role, topics.read(newest), reader)


def _newest(topics: TopicReader, topic: str, records_max: int) -> dict[TopicPartition, OffsetRange]:
    whole = topics.whole([topic])
    share = max(records_max // max(len(whole), 1), 1)
    return {
        partition: OffsetRange(max(offsets.start, offsets.end - share), offsets.end)
        for partition, offsets in whole.items()
    }


def verdict(topic: str, role: str, records: Iterable[Record], reader: EventReader) -> Finding:
    """What becomes of these records of a topic, as the rulebook is now."""
    found: Counter[str] = Counter()
    dead: Counter[tuple[str, str]] = Counter()
    fits: Counter[str] = Counter()
    for record in records:
        kind, why = _outcome(record, role, reader)
        found[kind] += 1
        if why is not None:
            dead[why.reason.value, why.detail] += 1
            fits[reader.fitting(record, role)] += 1
    total, lost = sum(found.values()), found["dead"]
    name = f"records of {topic}"
    if not total:
        return Finding(name, ok=True, detail="there are none yet")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    lines = [f"of the newest {total}: {counts}"]
    for (reason, detail), count in dead.most_common(REASONS_SHOWN):
        lines.append(f"{count} {reason}: {detail}")
    del fits[""]
    for shape, count in fits.most_common(SHAPES_SHOWN):
        lines.append(f"{count} would fit in the rulebook's topics: {role}: {{…, {shape}}}")
    advice = "ledger-worker explain shows one of them; mend the rulebook or the producer"
    return Finding(
        name,
        ok=2 * lost <= total,
        detail="\n".join(lines),
        advice=advice if lost else "",
        exit_code=CONFIGURATION,
    )


def _outcome(record: Record, role: str, reader: EventReader) -> tuple[str, Dead | None]:
    """The kind in a word, and why for a dead one. What the ledger would say is not known."""
    (event,) = reader.decode([record], [role])
    answer = reader.translate(event, record, role=role)[0] if isinstance(event, Event) else event
    if isinstance(answer, Dead):
        return "dead", answer
    return ("to post" if isinstance(answer, Chain) else answer.outcome.replace("_", " ")), None
