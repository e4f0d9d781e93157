"""Which letters a filter means, and what would be written for each.

The invariant: every letter that the filter means comes out, as a record to write or with the reason
why it cannot be one; what is written has the original key, value, headers and time, on an input
topic. Reads records through the function it is given; no other I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from worker.codecs.letters import (
    OriginalRecord,
    OtherGroup,
    RejectedRecord,
    UnusableLetter,
    of_carried,
    read_back,
    reason_of,
    rejection,
    time_of,
)
from worker.core.chain import Chain
from worker.core.event import ATTEMPT_MAX, Event
from worker.core.ports import Announcement, Headers, Record, RecordPosition
from worker.jobs.redrive.filter import LetterFields, LetterFilter
from worker.stages.decode import ATTEMPT_HEADER, EventReader, asked_attempt

Kind = Literal["dead", "rejected", "parked"]

NOTE_HEADER: Final = "ledger_worker.redrive_reason"
OPERATOR_HEADER: Final = "ledger_worker.redrive_operator"
LETTER_HEADER: Final = "ledger_worker.redriven_from"

ReadAt = Callable[[Iterable[RecordPosition]], Mapping[RecordPosition, Record]]


@dataclass(frozen=True, slots=True)
class RedriveRequest:
    """What a person asked for."""

    kind: Kind
    where: LetterFilter
    new_attempt: bool = False
    dry_run: bool = False
    again: bool = False
    note: str = ""
    operator: str = ""


class Selected(NamedTuple):
    """One letter that is meant. record: what to write; None when it cannot be, for `why`."""

    letter: str
    fields: LetterFields
    record: Announcement | None
    why: str


class _Wanted(NamedTuple):
    """A letter, what it tells, and its record as far as the letter knows it."""

    letter: str
    fields: dict[str, str | int]
    found: OriginalRecord | OtherGroup | UnusableLetter


@dataclass(slots=True)
class LetterSelection:
    """Chooses letters and finds their records.

    roles: input topic to role. parked: the topics where events wait. highest: the highest attempt
    that was refused, by event, for rejections that get a new one.
    """

    asked: RedriveRequest
    reader: EventReader
    roles: Mapping[str, str]
    parked: Sequence[str]
    read_at: ReadAt
    highest: dict[str, int] = field(default_factory=dict)

    def learn(self, record: Record) -> None:
        """Take note of a rejection's attempt."""
        told = rejection(record)
        if told is not None:
            before = self.highest.get(told.event_id, 0)
            self.highest[told.event_id] = max(before, told.attempt)

    def choose(self, letters: Sequence[Record]) -> list[Selected]:
        """Those of the letters that are meant, in order."""
        told = [self._told(letter) for letter in letters]
        meant = [one for one in told if self.asked.where.chooses(one.fields)]
        if self.asked.new_attempt and self.asked.kind == "rejected":
            meant = [one for one in meant if not self._superseded(one)]
        wanted = [one.found for one in meant if isinstance(one.found, OtherGroup)]
        held = self.read_at([one.at for one in wanted]) if wanted else {}
        return [self._choice(one, held) for one in meant]

    def _superseded(self, one: _Wanted) -> bool:
        """Was the event refused again at a later attempt? Then that letter is the one."""
        return int(one.fields["attempt"]) < self.highest.get(str(one.fields["event_id"]), 0)

    # What a letter tells

    def _told(self, letter: Record) -> _Wanted:
        name = f"{letter.topic()}/{letter.partition()}@{letter.offset()}"
        if self.asked.kind == "rejected":
            return self._rejected(name, letter)
        found = of_carried(letter, parked=self.parked)
        topic, partition, offset = ("", -1, -1) if isinstance(found, UnusableLetter) else found.at
        fields: dict[str, str | int] = {
            "event_id": "",
            "event_type": "",
            "transaction": "",
            "reason": reason_of(letter),
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "attempt": (asked_attempt(letter.headers() or []) or 0),
            "time": time_of(letter),
        }
        if isinstance(found, OriginalRecord):
            fields |= self._event(letter, topic)
        return _Wanted(name, fields, found)

    def _event(self, letter: Record, topic: str) -> dict[str, str]:
        """What decoding and the rulebook say of a letter that holds its record."""
        (event,) = self.reader.decode([letter])
        if not isinstance(event, Event):
            return {}
        asked, _ = self.reader.translate(event, letter, role=self.roles.get(topic, ""))
        transaction = asked.transaction if isinstance(asked, Chain) else ""
        return {"event_id": event.id, "event_type": event.type, "transaction": transaction}

    def _rejected(self, name: str, letter: Record) -> _Wanted:
        told = rejection(letter)
        if told is None:
            return _Wanted(
                name,
                _refused(_NONE, letter),
                UnusableLetter("it is no rejection that the worker wrote"),
            )
        return _Wanted(name, _refused(told, letter), OtherGroup(told.at, "", told.event_id))

    # What is written for it

    def _choice(self, one: _Wanted, held: Mapping[RecordPosition, Record]) -> Selected:
        found = one.found
        if isinstance(found, OtherGroup):
            found = self._read_back(found, held.get(found.at))
        if isinstance(found, OriginalRecord) and found.at[0] not in self.roles:
            found = UnusableLetter(f"{found.at[0]} is none of the input topics in the settings")
        if isinstance(found, UnusableLetter):
            return Selected(one.letter, one.fields, None, found.why)
        added = self._added(one, found)
        if isinstance(added, UnusableLetter):
            return Selected(one.letter, one.fields, None, added.why)
        record = Announcement(
            found.at[0], found.key, found.value, [*found.headers, *added], found.timestamp_ms
        )
        return Selected(one.letter, one.fields, record, "")

    def _read_back(self, asked: OtherGroup, held: Record | None) -> OriginalRecord | UnusableLetter:
        if held is not None and asked.event_id:
            (event,) = self.reader.decode([held])
            if not isinstance(event, Event) or event.id != asked.event_id:
                topic, partition, offset = asked.at
                return UnusableLetter(
                    f"{topic}/{partition}@{offset} holds another event: was it recreated?"
                )
        return read_back(asked, held, parked=self.parked)

    def _added(self, one: _Wanted, found: OriginalRecord) -> Headers | UnusableLetter:
        """The headers that say who sends it again and why, and as which attempt."""
        notes = {
            LETTER_HEADER: one.letter,
            NOTE_HEADER: self.asked.note,
            OPERATOR_HEADER: self.asked.operator,
        }
        added: Headers = [(name, text.encode()) for name, text in notes.items()]
        if not self.asked.new_attempt:
            return added
        own = asked_attempt(found.headers) or 0
        attempt = 1 + max(own, self.highest.get(str(one.fields["event_id"]), 0))
        if attempt > ATTEMPT_MAX:
            return UnusableLetter(
                f"it was refused at attempt {ATTEMPT_MAX}, and there is none after that"
            )
        return [*added, (ATTEMPT_HEADER, b"%d" % attempt)]


_NONE: Final = RejectedRecord("", "", "", "", 0, ("", -1, -1))


def _refused(told: RejectedRecord, letter: Record) -> dict[str, str | int]:
    """What a filter sees of a rejection."""
    topic, partition, offset = told.at
    return {
        "event_id": told.event_id,
        "event_type": told.event_type,
        "transaction": told.transaction,
        "reason": told.reason,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "attempt": told.attempt,
        "time": time_of(letter),
    }
