"""What a replay need not write again: dead letters, rejections and waiting events of its records.

A replay over old records meets the same dead letters and rejections as the live worker did. They
are counted, and written only where their topics do not hold them (any more).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from worker.codecs.letters import UnusableLetter, original_of, reason_of, rejection
from worker.config.settings import Settings
from worker.core.event import Reason
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.ports import Announcement, Record, RecordPosition, TopicPartition, position_of
from worker.kafka.job_offsets import open_job_offsets
from worker.kafka.topic_reader import OffsetRange, TopicReader
from worker.stages.item import Item
from worker.stages.protocols import Writer


class KnownLetters:
    """What stands on the topics already, by the original record's position.

    within: the offsets that are replayed; letters of other records are not remembered.
    """

    def __init__(self, within: Mapping[TopicPartition, OffsetRange]) -> None:
        self._within = within
        self._dead: set[tuple[RecordPosition, str]] = set()
        self._rejected: set[tuple[RecordPosition, int]] = set()
        self._waiting: set[RecordPosition] = set()

    def learn_dead(self, letters: Iterable[Record], *, parked: Collection[str]) -> None:
        """Read the dead-letter topic. parked: the topics where events wait."""
        for letter in letters:
            carried = original_of(letter, parked=parked)
            if not isinstance(carried, UnusableLetter) and self._is_replayed(carried.at):
                self._dead.add((carried.at, reason_of(letter)))

    def learn_rejected(self, rejections: Iterable[Record]) -> None:
        """Read the rejected topic."""
        for record in rejections:
            refused = rejection(record)
            if refused is not None and self._is_replayed(refused.at):
                self._rejected.add((refused.at, refused.attempt))

    def learn_waiting(self, records: Iterable[Record], *, parked: Collection[str]) -> None:
        """Read what the live workers have not taken up again of the parked topics."""
        for record in records:
            carried = original_of(record, parked=parked)
            if not isinstance(carried, UnusableLetter) and self._is_replayed(carried.at):
                self._waiting.add(carried.at)

    def has(self, position: RecordPosition, outcome: Outcome) -> bool:
        """Is this outcome written already?"""
        if outcome.rejection is not None:
            return (position, outcome.attempt) in self._rejected
        if outcome.kind is OutcomeKind.PARKED:
            return position in self._waiting
        if outcome.dead is None:
            return False
        reasons = (outcome.dead.reason.value, Reason.TOO_LARGE.value)
        return any((position, reason) in self._dead for reason in reasons)

    def _is_replayed(self, position: RecordPosition) -> bool:
        topic, partition, offset = position
        offsets = self._within.get((topic, partition))
        return offsets is not None and offsets.start <= offset < offsets.end


def read_known_letters(
    settings: Settings, within: Mapping[TopicPartition, OffsetRange], topics: TopicReader
) -> KnownLetters:
    """Read the dead, rejected and parked topics to their ends; one that is not there holds nothing.

    An event waits only where the live group has yet to read its parked copy: what it read ended in
    another outcome, which may be missing in the ledger that is replayed into.
    """
    names = settings.topics
    known = KnownLetters(within)
    existing = topics.offsets.existing()
    parked = topics.offsets.parked(names.parked)

    def whole(names: Sequence[str]) -> dict[TopicPartition, OffsetRange]:
        return topics.whole([name for name in names if name in existing])

    known.learn_dead(topics.read(whole([names.dead])), parked=parked)
    known.learn_rejected(topics.read(whole([names.rejected])))
    waiting = whole(parked)
    with open_job_offsets(settings, settings.kafka.group_id) as live:
        committed = live.committed(list(waiting))
    unread = {
        partition: OffsetRange(max(offsets.start, committed[partition]), offsets.end)
        for partition, offsets in waiting.items()
    }
    known.learn_waiting(topics.read(unread), parked=parked)
    return known


class UnlessKnown:
    """A Writer that leaves out what is written already; that is counted all the same."""

    def __init__(self, writer: Writer, known: KnownLetters) -> None:
        self._writer = writer
        self._known = known

    def write(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Announcement]:
        """What is written to Kafka about these items."""
        news = [
            (item, outcome)
            for item, outcome in zip(items, outcomes, strict=True)
            if not self._known.has(position_of(item.record), outcome)
        ]
        return self._writer.write([item for item, _ in news], [outcome for _, outcome in news])
