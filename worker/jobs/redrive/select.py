"""Which letters a filter means, and what would be written for each, or why it cannot be.

What is written has the original key, value, headers and time, on an input topic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from worker.codecs.headers import headers_of
from worker.codecs.letters import (
    OriginalRecord,
    RecordElsewhere,
    RejectedRecord,
    UnusableLetter,
    original_of,
    read_back,
    reason_of,
    rejection,
    time_of,
)
from worker.codecs.parked import role_of
from worker.core.chain import Chain
from worker.core.event import ATTEMPT_MAX, Event
from worker.core.ports import Announcement, Headers, Record, RecordPosition, position_of
from worker.jobs.redrive.filter import LetterFields, LetterFilter
from worker.stages.decode import ATTEMPT_HEADER, EventReader, requested_attempt

Kind = Literal["dead", "rejected", "parked"]

NOTE_HEADER: Final = "ledger_worker.redrive_reason"
OPERATOR_HEADER: Final = "ledger_worker.redrive_operator"
LETTER_HEADER: Final = "ledger_worker.redriven_from"

ReadAt = Callable[[Iterable[RecordPosition]], Mapping[RecordPosition, Record]]


@dataclass(frozen=True, slots=True)
class RedriveRequest:
    """What a person requested."""

    kind: Kind
    where: LetterFilter
    new_attempt: bool = False
    dry_run: bool = False
    again: bool = False
    note: str = ""
    operator: str = ""


class Selected(NamedTuple):
    """One letter that is meant.

    record: what to write; None when it cannot be, for `why`.
    """

    letter: str
    fields: LetterFields
    record: Announcement | None
    why: str


class _Wanted(NamedTuple):
    """A letter, its fields, and its record as far as the letter has it."""

    letter: str
    fields: dict[str, str | int]
    found: OriginalRecord | RecordElsewhere | UnusableLetter


@dataclass(slots=True)
class LetterSelection:
    """Chooses letters and finds their records.

    roles: input topic to role.
    parked: the topics where events wait.
    highest: the highest attempt that was refused, by event, for rejections that get a new one.
    taken: the records, with the attempt that was refused, whose letter was chosen already: each
        letter goes once, however often it was written.
    reasons: how many letters were read, by reason.
    """

    request: RedriveRequest
    reader: EventReader
    roles: Mapping[str, str]
    parked: Sequence[str]
    read_at: ReadAt
    highest: dict[str, int] = field(default_factory=dict)
    taken: set[tuple[RecordPosition, int]] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)

    def took(self, letter: Record) -> None:
        """Take note of a letter that an earlier run of the same redrive has read."""
        read = self._read(letter)
        if self.request.where.chooses(read.fields):
            self._is_news(read)

    def learn(self, record: Record) -> None:
        """Take note of a rejection's attempt."""
        refused = rejection(record)
        if refused is not None:
            before = self.highest.get(refused.event_id, 0)
            self.highest[refused.event_id] = max(before, refused.attempt)

    def choose(self, letters: Sequence[Record]) -> list[Selected]:
        """Those of the letters that are meant, in order."""
        read = [self._read(letter) for letter in letters]
        self.reasons.update(str(letter.fields["reason"]) for letter in read)
        meant = [letter for letter in read if self.request.where.chooses(letter.fields)]
        if self.request.new_attempt and self.request.kind == "rejected":
            meant = [letter for letter in meant if not self._superseded(letter)]
        meant = [letter for letter in meant if self._is_news(letter)]
        wanted = [letter.found for letter in meant if isinstance(letter.found, RecordElsewhere)]
        records = self.read_at([letter.at for letter in wanted]) if wanted else {}
        return [self._choice(letter, records) for letter in meant]

    def _is_news(self, letter: _Wanted) -> bool:
        """Is it the first letter of its record? One that is no letter is named each time."""
        if isinstance(letter.found, UnusableLetter):
            return True
        key = (letter.found.at, int(letter.fields["attempt"]))
        if key in self.taken:
            return False
        self.taken.add(key)
        return True

    def _superseded(self, letter: _Wanted) -> bool:
        """Was the event refused again at a later attempt? Then that letter is the one."""
        return int(letter.fields["attempt"]) < self.highest.get(str(letter.fields["event_id"]), 0)

    # A letter's fields

    def _read(self, letter: Record) -> _Wanted:
        name = str(position_of(letter))
        if self.request.kind == "rejected":
            return self._rejected(name, letter)
        found = original_of(letter, parked=self.parked)
        topic, partition, offset = ("", -1, -1) if isinstance(found, UnusableLetter) else found.at
        fields: dict[str, str | int] = {
            "event_id": "",
            "event_type": "",
            "transaction": "",
            "reason": reason_of(letter),
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "attempt": (requested_attempt(headers_of(letter)) or 0),
            "time": time_of(letter),
        }
        if isinstance(found, OriginalRecord):
            fields |= self._event(letter, topic)
        return _Wanted(name, fields, found)

    def _event(self, letter: Record, topic: str) -> dict[str, str]:
        """What decoding and the rulebook say of a letter that holds its record."""
        role = self.roles.get(topic, "")
        (event,) = self.reader.decode([letter], [role])
        if not isinstance(event, Event):
            return {}
        answer, _ = self.reader.translate(event, letter, role=role)
        transaction = answer.transaction if isinstance(answer, Chain) else ""
        return {"event_id": event.id, "event_type": event.type, "transaction": transaction}

    def _rejected(self, name: str, letter: Record) -> _Wanted:
        refused = rejection(letter)
        if refused is None:
            return _Wanted(
                name,
                _refused(_NONE, letter),
                UnusableLetter("it is no rejection that the worker wrote"),
            )
        return _Wanted(
            name, _refused(refused, letter), RecordElsewhere(refused.at, "", refused.event_id)
        )

    # What is written for it

    def _choice(self, letter: _Wanted, records: Mapping[RecordPosition, Record]) -> Selected:
        found = letter.found
        if isinstance(found, RecordElsewhere):
            found = self._read_back(found, records.get(found.at))
        if isinstance(found, OriginalRecord) and found.at[0] not in self.roles:
            found = UnusableLetter(f"{found.at[0]} is none of the input topics in the settings")
        if isinstance(found, UnusableLetter):
            return Selected(letter.letter, letter.fields, None, found.why)
        added = self._added(letter, found)
        if isinstance(added, UnusableLetter):
            return Selected(letter.letter, letter.fields, None, added.why)
        attempt = [header for header in added if header[0] == ATTEMPT_HEADER]
        # Its topic took it as it was, and may not take more.
        bare = Announcement(
            found.at[0], found.key, found.value, [*found.headers, *attempt], found.timestamp_ms
        )
        record = bare._replace(headers=[*found.headers, *added], otherwise=lambda: bare)
        return Selected(letter.letter, letter.fields, record, "")

    def _read_back(
        self, other: RecordElsewhere, record: Record | None
    ) -> OriginalRecord | UnusableLetter:
        if record is not None and other.event_id:
            role = self.roles.get(other.at[0]) or role_of(record)
            (event,) = self.reader.decode([record], [role])
            if not isinstance(event, Event) or event.id != other.event_id:
                return UnusableLetter(f"{other.at} holds another event: was it recreated?")
        return read_back(other, record, parked=self.parked)

    def _added(self, letter: _Wanted, found: OriginalRecord) -> Headers | UnusableLetter:
        """The headers that say who sends it again and why, and as which attempt."""
        notes = {
            LETTER_HEADER: letter.letter,
            NOTE_HEADER: self.request.note,
            OPERATOR_HEADER: self.request.operator,
        }
        added: Headers = [(name, text.encode()) for name, text in notes.items()]
        if not self.request.new_attempt:
            return added
        own = requested_attempt(found.headers) or 0
        attempt = 1 + max(own, self.highest.get(str(letter.fields["event_id"]), 0))
        if attempt > ATTEMPT_MAX:
            return UnusableLetter(
                f"it was refused at attempt {ATTEMPT_MAX}, and there is none after that"
            )
        return [*added, (ATTEMPT_HEADER, b"%d" % attempt)]


_NONE: Final = RejectedRecord("", "", "", "", "", 0, RecordPosition("", -1, -1))


def _refused(refused: RejectedRecord, letter: Record) -> dict[str, str | int]:
    """What a filter sees of a rejection."""
    topic, partition, offset = refused.at
    return {
        "event_id": refused.event_id,
        "event_type": refused.event_type,
        "transaction": refused.transaction,
        "reason": refused.reason,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "attempt": refused.attempt,
        "time": time_of(letter),
    }
