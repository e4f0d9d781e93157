"""A rulebook's tree as YAML text, with comments above keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Final

from worker.rulebooks.yaml_source import WHOLE, WORDS, Block, Listing, Node, Scalar

PLAIN: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.()\[\]/*+ -]*[A-Za-z0-9_.()\]])?")
"""Texts that YAML reads unchanged, whatever is around them."""
LINE_BREAKS: Final = re.compile("[\x85\u2028\u2029\ufeff]")
WIDTH: Final = 96

Comments = Mapping[tuple[str, ...], Sequence[str]]
"""Comments by the path of the key below them."""


def yaml_text(tree: Block, comments: Comments) -> str:
    """The text, with two spaces a level."""
    return "\n".join(_lines(tree, comments, ())) + "\n"


def _lines(block: Block, comments: Comments, path: tuple[str, ...]) -> Iterator[str]:
    indent = "  " * len(path)
    for key, value in block.entries.items():
        at = (*path, key)
        for comment in comments.get(at, ()):
            width = WIDTH - len(indent) - 2
            yield from (f"{indent}# {line}" for line in wrap(_one_line(comment), width))
        if isinstance(value, Block) and not _is_short(value):
            yield f"{indent}{key}:"
            yield from _lines(value, comments, at)
        else:
            yield f"{indent}{key}: {_inline(value)}"


def _is_short(block: Block) -> bool:
    """One line holds it: whole numbers only."""
    values = block.entries.values()
    return all(isinstance(each, Scalar) and isinstance(each.value, int) for each in values)


def _inline(node: Node) -> str:
    if isinstance(node, Block):
        pairs = (f"{key}: {_inline(each)}" for key, each in node.entries.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(node, Listing):
        return "[" + ", ".join(map(_inline, node.items)) + "]"
    if not isinstance(node.value, str):
        return node.text
    plain = PLAIN.fullmatch(node.value) and node.value not in WORDS
    return node.value if plain and not WHOLE.fullmatch(node.value) else _quoted(node.value)


def _quoted(text: str) -> str:
    """JSON's strings are YAML's, but for characters that YAML takes as line ends."""
    escaped = json.dumps(text, ensure_ascii=False)
    return LINE_BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)


def _one_line(comment: str) -> str:
    return " ".join(LINE_BREAKS.sub(" ", comment).split())
