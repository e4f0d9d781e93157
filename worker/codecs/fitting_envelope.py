"""Which envelope a record of an unknown shape fits: for a person, who writes it down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from worker.codecs.decode import event_of
from worker.codecs.envelopes import unwrapper_of
from worker.codecs.lenient import relaxed
from worker.codecs.wrappers import WRAPPERS, is_bare_object
from worker.core.event import Event
from worker.core.ports import Headers
from worker.core.topic_rule import AS_TOLD, Encoding, Envelope, Preset, TopicRule

DEPTH_MAX: Final = 4
"""How many names a path may have that is looked for."""

FIELDS_MAX: Final = 1_000
"""How many fields of a record are looked at."""

WITHOUT_KEYS: Final[tuple[Preset, ...]] = ("cloudevents", "debezium", "debezium-outbox")
"""Presets that are tried on any record; the others where their wrapper's fields are there."""

SIMPLE_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Fit(NamedTuple):
    """What would make an event of a record.

    envelope, lenient, encoding: to write in the topic's entry of the rulebook.
    body: of the event; empty for a bare object, whose event nothing here names.
    """

    envelope: Envelope
    lenient: bool
    body: Mapping[str, Any]
    encoding: Encoding = AS_TOLD


def fitting_envelope(content: Any, headers: Headers, topic: str) -> Fit | None:  # noqa: ANN401
    """The first envelope that gives an event; None where none does.

    content: the decoded value.
    """
    for lenient in (False, True):
        for envelope in _candidates(content):
            rule = TopicRule("", ("*",), envelope=envelope)
            body = unwrapper_of(rule).body(content, headers, topic)
            if isinstance(body, dict) and lenient:
                body = relaxed(body)
            if isinstance(body, dict) and isinstance(event_of(body), Event):
                return Fit(envelope, lenient, body)
    bare = isinstance(content, dict) and is_bare_object(content)
    return Fit(Envelope("object"), lenient=False, body={}) if bare else None


def _candidates(content: Any) -> Iterator[Envelope]:  # noqa: ANN401 - any JSON
    """Every envelope that is tried, the most usual first."""
    yield from map(Envelope, _presets(content))
    for path, text in _paths(content):
        yield Envelope("", path, text=text)


def _presets(content: Any) -> Iterator[Preset]:  # noqa: ANN401 - any JSON
    """The presets that may fit, the most usual first."""
    yield "stripe"
    first = content[0] if isinstance(content, list) and len(content) == 1 else content
    if isinstance(first, dict):
        for wrapper in WRAPPERS:
            if wrapper.keys <= first.keys():
                yield wrapper.preset
    yield from WITHOUT_KEYS


def _paths(content: Any) -> Iterator[tuple[tuple[str, ...], bool]]:  # noqa: ANN401 - any JSON
    """Paths to objects and to texts of objects, the shortest first; is it a text?"""
    level: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen = 0
    for _ in range(DEPTH_MAX):
        below: list[tuple[tuple[str, ...], Any]] = []
        for path, value in level:
            if not isinstance(value, dict):
                continue
            for name, field in value.items():
                seen += 1
                if seen > FIELDS_MAX:
                    return
                if not name or not SIMPLE_NAME.issuperset(name):
                    continue
                if isinstance(field, dict):
                    yield (*path, name), False
                    below.append(((*path, name), field))
                elif isinstance(field, str) and _is_object_text(field):
                    yield (*path, name), True
        level = below


def _is_object_text(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
