"""A rulebook file as a tree of values that know their lines.

Nothing is guessed: only `true` and `false` are booleans, only decimal digits are integers, only
`null`, `~` and nothing are null; everything else is text, so `on`, `no` and dates stay as written.
Aliases, tags and duplicate keys are mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from worker.core.errors import UsageError

DEPTH_MAX: Final = 32
SHOWN_MAX: Final = 50
"""Mistakes that a message names; more would hide the first of them."""

WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
WORDS: Final[dict[str, bool | None]] = {
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
}
PARSER: Final[type] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML has it: the same events, several times faster."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; text: as written."""

    line: int
    value: str | int | bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A YAML sequence."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A YAML mapping in file order; lines: of its keys."""

    line: int
    entries: Mapping[str, Node]
    lines: Mapping[str, int]


Node: TypeAlias = Scalar | Listing | Block


@dataclass(slots=True)
class Mistakes:
    """Every mistake in one file; a person is shown the first `SHOWN_MAX`.

    found: line and message of each, once; the values say nothing.
    """

    path: Path
    found: dict[tuple[int, str], None] = field(default_factory=dict)

    def add(self, line: int, message: str) -> None:
        """Something wrong at a line, from 1."""
        self.found.setdefault((line, message))

    def stop_if_any(self) -> None:
        """Raises UsageError with one `file:line: message` per line, in file order."""
        if self.found:
            ordered = sorted(self.found, key=lambda each: each[0])
            shown = [f"{self.path}:{line}: {text}" for line, text in ordered[:SHOWN_MAX]]
            if len(ordered) > SHOWN_MAX:
                shown.append(f"{self.path}: and {len(ordered) - SHOWN_MAX:,} more mistakes")
            raise UsageError("\n".join(shown))


def read_yaml(text: str, mistakes: Mistakes) -> Block:
    """The top mapping of a rulebook's YAML.

    Raises:
        UsageError: when the text is no YAML mapping.
    """
    tree = _Builder(text, mistakes).tree()
    if not isinstance(tree, Block):
        mistakes.add(1, "a rulebook is a mapping that starts with `version: 1`")
        mistakes.stop_if_any()
        raise UsageError(f"{mistakes.path}:1: this is no rulebook")
    return tree


def read_text(mistakes: Mistakes) -> str:
    """The file's text.

    Raises:
        UsageError: when it cannot be read or is no text.
    """
    try:
        content = mistakes.path.read_bytes()
    except OSError as error:
        raise UsageError(f"{mistakes.path}: cannot be read: {error.strerror}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{mistakes.path}:{line}: this is not UTF-8") from error
    strange = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if strange:
        line = text.count("\n", 0, strange.start()) + 1
        raise UsageError(f"{mistakes.path}:{line}: a character that YAML does not allow")
    return text


class _Builder:
    """Builds the tree from the parser's events."""

    def __init__(self, text: str, mistakes: Mistakes) -> None:
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=PARSER))
        self._mistakes = mistakes

    def tree(self) -> Node | None:
        """The first document's tree, None for an empty file."""
        root: Node | None = None
        try:
            for event in self._events:
                if isinstance(event, yaml.NodeEvent):
                    if root is not None:
                        self._mistakes.add(_line(event), "a file holds one document")
                        break
                    root = self._node(event, 0)
        except yaml.MarkedYAMLError as error:
            self._mistakes.add(_where(error), f"this is not YAML: {error.problem}")
            self._mistakes.stop_if_any()
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > DEPTH_MAX:
            self._mistakes.add(_line(event), f"nested deeper than {DEPTH_MAX} levels")
            self._mistakes.stop_if_any()
        if getattr(event, "tag", None) is not None:
            self._mistakes.add(_line(event), "tags are not supported")
        if isinstance(event, yaml.MappingStartEvent):
            return self._block(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            return Listing(_line(event), tuple(items))
        return self._scalar(event)

    def _block(self, event: yaml.Event, depth: int) -> Block:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(at := next(self._events), yaml.MappingEndEvent):
            key = self._node(at, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self._mistakes.add(key.line, "a key must be plain text")
            elif key.text in entries:
                first = f"{key.text!r} stands here twice, first on line {lines[key.text]}"
                self._mistakes.add(key.line, first)
            else:
                entries[key.text], lines[key.text] = value, key.line
        return Block(_line(event), entries, lines)

    def _scalar(self, event: yaml.Event) -> Scalar:
        if not isinstance(event, yaml.ScalarEvent):
            self._mistakes.add(_line(event), "aliases are not supported: say it again")
            return Scalar(_line(event), None, "")
        text, plain = str(event.value), event.implicit[0]
        if plain and text in WORDS:
            return Scalar(_line(event), WORDS[text], text)
        if plain and WHOLE.fullmatch(text):
            return Scalar(_line(event), int(text), text)
        return Scalar(_line(event), text, text)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _where(error: yaml.MarkedYAMLError) -> int:
    """The line of the mistake; for a string without end, where it began."""
    scanning = (error.context or "").startswith("while scanning")
    mark = (error.context_mark if scanning else None) or error.problem_mark
    return mark.line + 1 if mark else 1
