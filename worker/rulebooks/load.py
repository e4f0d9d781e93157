"""Loads a rulebook file, YAML or ADR-0015's text form, or reports every mistake in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from worker.core.rulebook import Rulebook
from worker.rulebooks.adr_lines import is_adr_text
from worker.rulebooks.adr_rules import read_adr
from worker.rulebooks.legs import LegScope
from worker.rulebooks.sections import (
    new_fields,
    read_accounts,
    read_ignore,
    read_ledgers,
    read_topics,
)
from worker.rulebooks.transactions import read_shapes, read_transactions
from worker.rulebooks.yaml_source import Block, Listing, Mistakes, Node, read_text, read_yaml

PACKAGED: Final = Path(__file__).with_name("stripe-wallets.yaml")
"""The rulebook that comes with the worker."""

ORDERED: Final = frozenset({"transactions", "transfers", "for_each", "require"})
"""Mappings whose order means something: the first match, the order of legs, of loops and of what is
required."""


def load(path: Path) -> Rulebook:
    """The rulebook in a file.

    Raises:
        UsageError: with one `file:line: message` per mistake, all at once.
    """
    mistakes = Mistakes(path)
    text = read_text(mistakes)
    tree = read_adr(text, mistakes).tree if is_adr_text(text) else read_yaml(text, mistakes)
    book = new_fields(tree, mistakes)
    ledgers, accounts = read_ledgers(book), read_accounts(book)
    rulebook = Rulebook(
        ledgers=ledgers,
        topics=read_topics(book),
        ignore=read_ignore(book),
        accounts=accounts,
        transactions=read_transactions(book, LegScope(ledgers, accounts, read_shapes(book))),
        digest=_digest(tree),
    )
    mistakes.stop_if_any()
    return rulebook


def _digest(tree: Block) -> str:
    content = json.dumps(_content(tree), ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def _content(node: Node, *, ordered: bool = False) -> object:
    """What a file says, without comments, layout and an order that means nothing."""
    if isinstance(node, Listing):
        return ["list", *map(_content, node.items)]
    if isinstance(node, Block):
        pairs = [
            [key, _content(value, ordered=key in ORDERED)] for key, value in node.entries.items()
        ]
        return ["map", *(pairs if ordered else sorted(pairs, key=lambda pair: str(pair[0])))]
    return node.value
