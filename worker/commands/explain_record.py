"""The record that `explain` is asked about: a file, or one of Kafka's by its position."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from worker.codecs.letters import OriginalRecord, original_of
from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.event import Dead, Event
from worker.core.matching import carries
from worker.core.ports import Record, RecordPosition
from worker.core.rulebook import Rulebook
from worker.jobs.archive.records import ArchivedRecord
from worker.jobs.trace.target import parse_target
from worker.stages.decode import EventReader


class AskedRecord(NamedTuple):
    """A record and the role of its topic; None where only its content can say it."""

    record: Record
    role: str | None


class ReadRecord(NamedTuple):
    """What a record is, under the role that it is read as."""

    event: Event | Dead
    role: str


def asked_record(text: str, settings: Settings) -> AskedRecord:
    """The record that an argument names: a file, `-` for stdin, or `topic/partition@offset`.

    Raises:
        UsageError: there is no such file or record.
        DependencyUnavailable: Kafka did not answer in time.
    """
    if text != "-" and not Path(text).exists():
        position = parse_target(text).position
        if position is not None:
            return _of_kafka(position, settings)
    try:
        value = sys.stdin.buffer.read() if text == "-" else Path(text).read_bytes()
    except OSError as error:
        raise UsageError(f"{text} cannot be read: {error.strerror}") from error
    return AskedRecord(ArchivedRecord("", 0, 0, None, value, has_position=False), None)


def _of_kafka(position: RecordPosition, settings: Settings) -> AskedRecord:
    """A record of an input topic, or the one that a dead letter or a parked record holds."""
    from worker.kafka.connection import require_running_broker  # noqa: PLC0415 - only for Kafka
    from worker.kafka.topic_reader import open_topic_reader  # noqa: PLC0415 - the same

    require_running_broker(settings)
    with open_topic_reader(settings) as topics:
        record = topics.at([position]).get(position)
    if record is None:
        raise UsageError(f"{position} is not in its topic, or not any more")
    roles = settings.topics.roles
    if position.topic in roles:
        return AskedRecord(record, roles[position.topic])
    found = original_of(record, parked=settings.topics.parked_topics)
    if not isinstance(found, OriginalRecord):
        return AskedRecord(record, None)
    original = ArchivedRecord(*found.at, found.key, found.value, found.headers, found.timestamp_ms)
    return AskedRecord(original, roles.get(found.at.topic))


def read_record(
    asked: AskedRecord, reader: EventReader, rulebook: Rulebook, role: str | None
) -> ReadRecord:
    """The event of a record, or why there is none.

    role: as a person says it; None to take the topic's, or the only one that reads the record.

    Raises:
        UsageError: several roles may carry the event, or none.
    """
    known = role if role is not None else asked.role
    if known is not None:
        return ReadRecord(reader.decode([asked.record], [known])[0], known)
    names = list(rulebook.topics) or [""]
    found = dict(zip(names, reader.decode([asked.record] * len(names), names), strict=True))
    events = {name: event for name, event in found.items() if isinstance(event, Event)}
    if not events:
        return ReadRecord(reader.decode([asked.record], [""])[0], "")
    types = {event.type for event in events.values()}
    may = [name for name in names if any(carries(rulebook.topics.get(name), t) for t in types)]
    taken = [name for name in may if name in events] or may
    if len(taken) != 1:
        said = f"{' and '.join(taken)} may" if taken else "no topic that the rulebook lists may"
        raise UsageError(f"{said} carry this type: say --role")
    return ReadRecord(found[taken[0]], taken[0])
