"""Which envelope a record of an unknown shape fits: for a person, who writes it down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from worker.codecs.decode import event_of
from worker.codecs.envelopes import PRESET_UNWRAPPERS, AtPath, Unwrapper
from worker.codecs.lenient import relaxed
from worker.codecs.wrappers import WRAPPERS, is_bare_object
from worker.core.event import Event
from worker.core.ports import Headers

DEPTH_MAX: Final = 4
"""How many names a path may have that is looked for."""

FIELDS_MAX: Final = 1_000
"""How many fields of a record are looked at."""

WITHOUT_KEYS: Final = ("cloudevents", "debezium", "debezium-outbox")
"""Presets that are tried on any record; the others where their wrapper's fields are there."""

SIMPLE_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def fitting_envelope(content: Any, headers: Headers, topic: str) -> str:  # noqa: ANN401 - any JSON
    """What to write for the topic in the rulebook; empty where nothing fits.

    content: the decoded value.
    """
    for said, unwrapper in _candidates(content):
        body = unwrapper.body(content, headers, topic)
        if isinstance(body, dict) and isinstance(event_of(body), Event):
            return f"envelope: {said}"
    for said, unwrapper in _candidates(content):
        body = unwrapper.body(content, headers, topic)
        if isinstance(body, dict) and isinstance(event_of(relaxed(body)), Event):
            return f"envelope: {said}, lenient: true"
    bare = isinstance(content, dict) and is_bare_object(content)
    return "envelope: object" if bare else ""


def _candidates(content: Any) -> Iterator[tuple[str, Unwrapper]]:  # noqa: ANN401 - any JSON
    """What may stand for `envelope:`, and its unwrapper; the most usual first."""
    for name in _presets(content):
        yield name, PRESET_UNWRAPPERS[name]
    for path, text in _paths(content):
        said = f"{{path: {'.'.join(path)}{', text: true' if text else ''}}}"
        yield said, AtPath(path, text=text)


def _presets(content: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
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
