"""Decode and translate: from a record's bytes to what it asks for.

Every record gets an answer; what cannot be posted is a dead letter with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.codecs.decode import Decoder, event_of
from worker.codecs.headers import headers_of
from worker.codecs.lenient import relaxed
from worker.codecs.parked import earlier_positions, parked_at_ms, role_of
from worker.codecs.partial_record import PartialRecord
from worker.codecs.record_decoder import NO_TOPICS, RecordDecoder, roles_of
from worker.core.assignment import Assignment
from worker.core.chain import Chain
from worker.core.event import ATTEMPT_MAX, Dead, Event, Reason, Skipped
from worker.core.ports import Headers, Record
from worker.core.topic_rule import PLAIN, shape_of
from worker.core.translate import Translator
from worker.stages.item import Item

ATTEMPT_HEADER: Final = "ledger_worker.attempt"
_HEADERS_UNREADABLE: Final = Dead(Reason.UNDECODABLE, "the name of a header is not UTF-8")


class EventReader:
    """Decodes records in one go and translates them one by one.

    topics: by role.
    """

    def __init__(
        self,
        decoder: Decoder,
        translator: Translator,
        topics: Mapping[str, str] = NO_TOPICS,
    ) -> None:
        self.records = RecordDecoder(decoder, translator.rulebook.topics, topics)
        self._decoder = decoder
        self._translator = translator

    def decode(self, records: Sequence[Record], roles: Sequence[str]) -> list[Event | Dead]:
        """One answer for each record, in order. roles: of each."""
        return self.records.decode(records, roles)

    def decode_taken(self, taken: Sequence[tuple[Record, Assignment]]) -> list[Event | Dead]:
        """One answer for each record that the worker took, in order."""
        if self.records.any_wrapped:
            return self.records.decode([record for record, _ in taken], roles_of(taken))
        return self._decoder.decode_all([record.value() for record, _ in taken])

    @property
    def pending(self) -> bool:
        """Is the schema of one of the records just decoded not known yet? See NOT_YET."""
        return self._decoder.pending

    def due_ms(self, record: Record, *, delay_ms: int) -> int:
        """When a parked record has waited so long, in milliseconds since 1970."""
        return parked_at_ms(record) + delay_ms

    def items(
        self,
        ready: Sequence[tuple[Record, Assignment]],
        found: Sequence[Event | Dead],
        *,
        group: str,
    ) -> list[Item]:
        """Each decoded record as an item of a batch. A flat loop: it runs for every record.

        The bodies of events are set aside when their chains are made.

        group: the consumer group, under which a parked record has its earlier positions.
        """
        made: list[Item] = []
        wrapped = self.records.any_wrapped
        for (record, assignment), event in zip(ready, found, strict=True):
            role = assignment.role or role_of(record)
            translated, attempts = self.translate(event, record, role=role)
            value = record.value() or b""
            if isinstance(translated, Chain):
                if wrapped:
                    self.records.set_aside(translated.event, record, role, value)
                else:
                    translated.event.set_aside(self._decoder, value)
            item = Item(record, assignment, record.offset(), len(value), role, translated, attempts)
            if assignment.tries:
                item.earlier = earlier_positions(record, group=group)
            made.append(item)
        return made

    def translate(
        self, found: Event | Dead, record: Record, *, role: str
    ) -> tuple[Chain | Skipped | Dead, int]:
        """The chain at attempt 0, and the highest attempt that the record's header allows."""
        if isinstance(found, Dead):
            return found, 0
        if isinstance(record, PartialRecord):
            return _HEADERS_UNREADABLE, 0
        headers = headers_of(record)
        attempts = requested_attempt(headers) if headers else 0
        if attempts is None:
            detail = f"the header {ATTEMPT_HEADER} is not a whole number from 1 to {ATTEMPT_MAX}"
            return Dead(Reason.NOT_AN_EVENT, detail), 0
        return self._translator.translate(found, role=role), attempts

    def fitting(self, record: Record, role: str) -> str:
        """What the role's entry in the rulebook would have to say for a record that is dead.

        Empty where nothing helps, or it says so already.
        """
        fit = self.records.shape(record, role)
        if fit is None:
            return ""
        lenient = fit.lenient or self._helps(fit.body, role)
        rule = self._translator.rulebook.topics.get(role)
        shape = shape_of(fit.envelope, lenient=lenient, encoding=fit.encoding)
        return "" if shape == (rule.shape if rule else shape_of(PLAIN, lenient=False)) else shape

    def _helps(self, body: Mapping[str, Any], role: str) -> bool:
        """Is the event dead as it is, and not with `lenient: true`?"""
        found = (event_of(body), event_of(relaxed(body)))
        answers = [
            each if isinstance(each, Dead) else self._translator.translate(each, role=role)
            for each in found
        ]
        return isinstance(answers[0], Dead) and not isinstance(answers[1], Dead)


def requested_attempt(headers: Headers) -> int | None:
    """The attempt that a redriven record asks for; 0 without the header, None when it is wrong."""
    values = [value for name, value in headers if name == ATTEMPT_HEADER]
    if not values:
        return 0
    digits = {str(attempt).encode(): attempt for attempt in range(1, ATTEMPT_MAX + 1)}
    return digits.get(values[-1] or b"")
