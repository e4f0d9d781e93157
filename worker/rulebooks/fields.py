"""The keys of one mapping of a rulebook, read with their kinds checked.

After a mistake, reading goes on with a stand-in, so that one run reports them all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from worker.core.expressions.compiler import Expression, compile_expression
from worker.core.expressions.operators import ExpressionError
from worker.core.expressions.tokens import ExpressionMistake
from worker.rulebooks.yaml_source import Block, Listing, Mistakes, Node, Scalar

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
GLOB: Final = re.compile(r"[A-Za-z0-9_.*-]+")


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for a word close to a known one, else nothing."""
    found = get_close_matches(word, list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def check_name(name: str, line: int, what: str, mistakes: Mistakes) -> None:
    """Names are identity: lower case, digits and underscores."""
    if not NAME.fullmatch(name):
        mistakes.add(line, f"{what} {name!r}: a name is lower-case letters, digits and _")


class LetNames:
    """What the expressions of one transaction may call by name, and which names they have used.

    ledgers: the currencies of the rulebook.
    """

    def __init__(
        self, values: Mapping[str, Expression], ledgers: Collection[str] = frozenset()
    ) -> None:
        self.values = values
        self.ledgers = ledgers
        self.used: set[str] = set()


NO_LETS: Final = LetNames({})


class YamlMapping:
    """One mapping.

    what: how messages call it (`transaction charge`, `leg charge.gross`).
    lets: what its expressions may call by name.
    """

    def __init__(  # noqa: PLR0913 - what messages say of it, and what it may say itself
        self,
        node: Node,
        what: str,
        mistakes: Mistakes,
        *,
        known: Collection[str],
        line: int = 0,
        lets: LetNames = NO_LETS,
    ) -> None:
        self.what = what
        self.mistakes = mistakes
        self.lets = lets
        self.here = line or node.line
        self._block = node if isinstance(node, Block) else Block(node.line, {}, {})
        if not isinstance(node, Block):
            mistakes.add(self.here, f"{what} must be a mapping")
        for key, line_number in self._block.lines.items():
            self._check_known(key, line_number, known)

    def _check_known(self, key: str, line: int, known: Collection[str]) -> None:
        if key not in known:
            self.mistakes.add(line, f"{self.what}: unknown key {key!r}{near(key, known)}")

    def inner(self, node: Node, what: str, *, known: Collection[str], line: int) -> YamlMapping:
        """A mapping within this one."""
        lets, mistakes = self.lets, self.mistakes
        return YamlMapping(node, what, mistakes, known=known, line=line, lets=lets)

    def has(self, key: str) -> bool:
        """Whether the key exists, whatever its value."""
        return key in self._block.entries

    def line(self, key: str) -> int:
        """The key's line, or the mapping's where the key is missing."""
        return self._block.lines.get(key, self.here)

    def wrong(self, key: str, message: str) -> None:
        """Note a mistake at the key."""
        self.mistakes.add(self.line(key), f"{self.what}: {message}")

    def require(self, *keys: str) -> bool:
        """Whether all keys exist; a mistake for each that does not."""
        for key in keys:
            if not self.has(key):
                self.wrong(key, f"`{key}` is missing")
        return all(map(self.has, keys))

    def node(self, key: str) -> Node | None:
        """The value as written, None where the key is missing."""
        return self._block.entries.get(key)

    def text(self, key: str) -> str:
        """A non-empty text, "" where the key is missing."""
        node = self.node(key)
        if node is None:
            return ""
        if not isinstance(node, Scalar) or node.value is None or not node.text.strip():
            self.wrong(key, f"`{key}` must be text")
            return ""
        return node.text

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number from low to high; low where the key is missing."""
        node = self.node(key)
        if node is None:
            return low
        value = node.value if isinstance(node, Scalar) else None
        if type(value) is not int or not low <= value <= high:
            self.wrong(key, f"`{key}` must be a whole number from {low} to {high}")
            return low
        return value

    def flag(self, key: str) -> bool:
        """A boolean; false where the key is missing."""
        node = self.node(key)
        if node is None:
            return False
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, bool):
            self.wrong(key, f"`{key}` must be true or false")
        return value is True

    def choice(self, key: str, options: Sequence[str]) -> str:
        """One of the options; the first where the key is missing."""
        if not self.has(key):
            return options[0]
        text = self.text(key)
        if text and text not in options:
            listed = ", ".join(options)
            self.wrong(key, f"`{key}` must be one of {listed}{near(text, options)}")
        return text if text in options else options[0]

    def texts(self, key: str, *, single: bool = False) -> tuple[str, ...]:
        """A list of texts; with `single`, one text needs no list."""
        node = self.node(key)
        if node is None:
            return ()
        items: tuple[Node, ...] = (node,) if single and isinstance(node, Scalar) else ()
        if isinstance(node, Listing):
            items = node.items
        found = tuple(each.text for each in items if isinstance(each, Scalar) and each.text)
        if not found or len(found) != len(items):
            self.wrong(key, f"`{key}` must be a list of texts")
        return found

    def globs(self, key: str, *, single: bool = False, exclusions: bool = False) -> tuple[str, ...]:
        """Event types or globs; with `exclusions`, `!` before one takes types out."""
        found = self.texts(key, single=single)
        for text in found:
            bare = text.removeprefix("!") if exclusions else text
            if not GLOB.fullmatch(bare):
                self.wrong(key, f"{text!r} is no event type or glob")
        return found

    def names(self, key: str, options: Collection[str]) -> tuple[str, ...]:
        """A list of known words, each once."""
        found = self.texts(key)
        for text in found:
            if text not in options:
                listed = ", ".join(options)
                self.wrong(key, f"`{key}`: {text!r} is none of {listed}{near(text, options)}")
        if len(set(found)) != len(found):
            self.wrong(key, f"`{key}` says something twice")
        return tuple(text for text in found if text in options)

    def expression(
        self, key: str, *, loops: Sequence[str] = (), condition: bool = False
    ) -> Expression | None:
        """An expression, None where the key is missing or wrong."""
        text = self.text(key)
        return self.compiled(key, text, loops=loops, condition=condition) if text else None

    def compiled(
        self,
        key: str,
        text: str,
        *,
        line: int = 0,
        loops: Sequence[str] = (),
        condition: bool = False,
    ) -> Expression | None:
        """The expression under a key, None where it is wrong.

        A constant one is evaluated at once. line: its own, where it is not the key's.
        """
        lets, ledgers = self.lets.values, self.lets.ledgers
        try:
            found = compile_expression(
                text, loops=loops, lets=lets, ledgers=ledgers, condition=condition
            )
            if found.constant:
                found.precise(None, *loops)
        except (ExpressionMistake, ExpressionError) as mistake:
            self.mistakes.add(line or self.line(key), f"{self.what}: `{key}`: {mistake}")
            return None
        self.lets.used.update(found.lets)
        return found

    def blocks(self, key: str) -> Iterable[tuple[str, Node, int]]:
        """The entries of a mapping of named things: name, value, line."""
        node = self.node(key)
        if node is None:
            return []
        if not isinstance(node, Block):
            self.wrong(key, f"`{key}` must be a mapping")
            return []
        return [(name, value, node.lines[name]) for name, value in node.entries.items()]
