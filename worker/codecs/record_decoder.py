"""Which event a record is: for the worker and for every command, in one way.

Roles whose records are events as they are go straight to the decoder, and pay nothing for those
whose producers wrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from worker.codecs.decode import Decoder, event_of
from worker.codecs.encodings import compression_of, content_reader
from worker.codecs.envelopes import Unwrapper, unwrapper_of
from worker.codecs.fitting_envelope import Fit, fitting_envelope
from worker.codecs.headers import headers_of
from worker.codecs.lenient import relaxed
from worker.codecs.parked import role_of
from worker.core.assignment import Assignment
from worker.core.errors import BrokenInvariant
from worker.core.event import Dead, Event
from worker.core.ports import Record
from worker.core.topic_rule import TopicRule

NO_TOPICS: Final[Mapping[str, str]] = {}


class RecordDecoder:
    """Decodes records by the role of their topic.

    rules: of the rulebook, by role.
    topics: topic by role. A record that waits, or that is a dead letter, is on another one.
    """

    def __init__(
        self,
        decoder: Decoder,
        rules: Mapping[str, TopicRule],
        topics: Mapping[str, str] = NO_TOPICS,
    ) -> None:
        self._decoder = decoder
        self._plain = Decoder({})
        self._topics = topics
        self._wrapped = {role: unwrapper_of(rule) for role, rule in rules.items() if not rule.plain}
        self._contents = {
            role: content_reader(rule.encoding, decoder)
            for role, rule in rules.items()
            if not rule.plain
        }
        self._lenient = {role for role, rule in rules.items() if rule.lenient}

    @property
    def any_wrapped(self) -> bool:
        """Is there a role whose records are not events as they are?"""
        return bool(self._wrapped)

    @property
    def pending(self) -> bool:
        """Is the schema of one of the records just decoded not known yet? See NOT_YET."""
        return self._decoder.pending

    def read(self, record: Record, role: str) -> Event | Dead:
        """One record that came under a role."""
        (found,) = self.decode([record], [role])
        return found

    def decode(self, records: Sequence[Record], roles: Sequence[str]) -> list[Event | Dead]:
        """One answer for each record, in order. roles: of each."""
        if not self._wrapped:
            return self._decoder.decode_all([record.value() for record in records])
        plain = [
            record.value()
            for record, role in zip(records, roles, strict=True)
            if role not in self._wrapped
        ]
        read = iter(self._decoder.decode_all(plain))
        found: list[Event | Dead] = []
        for record, role in zip(records, roles, strict=True):
            unwrapper = self._wrapped.get(role)
            found.append(next(read) if unwrapper is None else self._event(unwrapper, record, role))
        return found

    def shape(self, record: Record, role: str) -> Fit | None:
        """What would make an event of a record; None where it is nothing that is known."""
        value, topic = record.value(), self._topics.get(role) or record.topic()
        own = self._contents.get(role)
        readers = [own] if own else []
        readers.append(content_reader(compression_of(value or b""), self._decoder))
        for reader in readers:
            content = reader.content(value, headers_of(record))
            if not isinstance(content, Dead):
                fit = fitting_envelope(content, headers_of(record), topic)
                return fit and fit._replace(encoding=reader.encoding)
        return None

    def set_aside(self, event: Event, record: Record, role: str, value: bytes) -> None:
        """Free the event's body; it is read again from the record when needed."""
        if role in self._wrapped:
            event.set_aside(WrappedBody(self, record, role), b"")
        else:
            event.set_aside(self._decoder, value)

    def plain_value(self, event: Event, record: Record, role: str) -> bytes:
        """Bytes that stand for the event without its envelope: the value itself where it has none.

        `event_in` reads them again.
        """
        if role not in self._wrapped:
            return record.value() or b""
        return orjson.dumps(event.body, default=_text_of_bytes)

    def event_in(self, value: bytes, role: str) -> Event | Dead:
        """The event in what `plain_value` gave."""
        decoder = self._plain if role in self._wrapped else self._decoder
        return decoder.decode_all([value])[0]

    def _event(self, unwrapper: Unwrapper, record: Record, role: str) -> Event | Dead:
        content = self._contents[role].content(record.value(), headers_of(record))
        if isinstance(content, Dead):
            return content
        topic = self._topics.get(role) or record.topic()
        body = unwrapper.body(content, headers_of(record), topic)
        if isinstance(body, Dead):
            return body
        return event_of(relaxed(body) if role in self._lenient else body)


def _text_of_bytes(value: object) -> str:
    """Avro's bytes, which no rule reads, as text."""
    return repr(value)


class WrappedBody:
    """Reads the body of an event in an envelope again, from its record."""

    def __init__(self, decoder: RecordDecoder, record: Record, role: str) -> None:
        self._decoder = decoder
        self._record = record
        self._role = role

    def body_of(self, value: bytes) -> Mapping[str, Any]:  # noqa: ARG002 - the record has more
        """The envelope of an event that was decoded before."""
        found = self._decoder.read(self._record, self._role)
        if isinstance(found, Dead):
            raise BrokenInvariant(f"a record is not read as before: {found.detail}")
        return found.body


def roles_of(taken: Sequence[tuple[Record, Assignment]]) -> list[str]:
    """The role of each record: a parked one says it itself."""
    return [assignment.role or role_of(record) for record, assignment in taken]
