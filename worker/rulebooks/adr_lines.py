"""The blocks of a rulebook in ADR-0015's text form: `ledger`, `transaction` and their lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from worker.rulebooks.yaml_source import Mistakes

CHARACTERS_MAX: Final = 1_000_000
"""A text of more is refused before it is read."""

MISTAKES_MAX: Final = 100
"""Reading stops after so many."""

NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
HEADER: Final = re.compile(rf"(ledger|transaction)[ \t]+({NAME})(?:[ \t]+{QUOTED})?[ \t]*:")
WHOLE: Final = re.compile(QUOTED)
TRANSFER: Final = re.compile(rf"transfer[ \t]+({NAME})[ \t]*:")
ENTRY: Final = re.compile(rf"({NAME})[ \t]*:[ \t]*(.*)")
ADR_START: Final = re.compile(r"[ \t]*(?:ledger|transaction)(?:[ \t]+[^:\s]|[ \t]*$)")
ADR_LINE: Final = re.compile(
    rf"^(?:ledger|transaction)[ \t]+{NAME}[^\n]*:[ \t]*(?:#|\r?$)", re.MULTILINE
)
ESCAPED: Final = re.compile(r"\\(.)")

NESTED: Final = ("validation", "metadata_mapping", "user_data")
"""Keys whose value is the lines below them."""


@dataclass(frozen=True, slots=True)
class AdrValue:
    """The value of a key.

    line: of the key, from 1.
    text: without quotes.
    lines: below a nested key, number and text.
    """

    line: int
    text: str
    lines: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class AdrBlock:
    """One `ledger`, `transaction` or `transfer`.

    line: of its header, from 1.
    indent: of its header, in spaces.
    body: the indent of its keys, 0 until the first.
    transfers: of a transaction, in order.
    """

    kind: str
    name: str
    title: str
    line: int
    indent: int = 0
    body: int = 0
    entries: dict[str, AdrValue] = field(default_factory=dict)
    transfers: list[AdrBlock] = field(default_factory=list)


def is_adr_text(text: str) -> bool:
    """Whether a file's first word, or any line at its left edge, opens a block of this form."""
    lines = (line for line in text.removeprefix("\ufeff").split("\n"))
    first = next((line for line in lines if line.strip() and line.strip()[0] != "#"), "")
    return bool(ADR_START.match(first.rstrip()) or ADR_LINE.search(text))


def read_blocks(text: str, mistakes: Mistakes) -> list[AdrBlock]:
    """The ledgers and transactions, in file order.

    Raises:
        UsageError: after MISTAKES_MAX mistakes, or where the text is too long.
    """
    if len(text) > CHARACTERS_MAX:
        mistakes.add(1, f"longer than {CHARACTERS_MAX:,} characters")
        mistakes.stop_if_any()
    reader = _BlockReader(mistakes)
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        reader.read(number, line.removesuffix("\r"))
        if len(mistakes.found) >= MISTAKES_MAX:
            mistakes.add(number, f"reading stopped here, after {MISTAKES_MAX} mistakes")
            mistakes.stop_if_any()
    return reader.blocks


class _BlockReader:
    """Takes line after line; indentation says which block is open."""

    def __init__(self, mistakes: Mistakes) -> None:
        self.blocks: list[AdrBlock] = []
        self._mistakes = mistakes
        self._block: AdrBlock | None = None
        self._transfer: AdrBlock | None = None
        self._nested: tuple[int, AdrValue] | None = None

    def read(self, number: int, line: str) -> None:
        """The next line of the file."""
        content = line.lstrip(" \t")
        indent = len(line) - len(content)
        text, problem = _without_comment(content)
        if not text:
            return
        if "\t" in line[:indent]:
            problem = "a tab in the indentation: write spaces"
        elif "\r" in text:
            problem = "a carriage return within a line"
        if problem:
            self._mistakes.add(number, problem)
        if indent == 0:
            self._header(number, text, noted=bool(problem))
        elif not problem:
            self._indented(number, indent, text)

    def _header(self, number: int, text: str, *, noted: bool) -> None:
        self._transfer = self._nested = None
        found = HEADER.fullmatch(text)
        kind, name, title = found.groups() if found else ("", "", None)
        self._block = AdrBlock(kind, name, _unescaped(title or "").strip(), number)
        if found and not noted:
            self.blocks.append(self._block)
        elif not noted:
            self._mistakes.add(number, _header_problem(text))

    def _indented(self, number: int, indent: int, text: str) -> None:
        if self._nested is not None:
            if indent > self._nested[0]:
                self._nested[1].lines.append((number, text))
                return
            self._nested = None
        if self._block is None:
            self._mistakes.add(number, "wrong indentation: this stands under no ledger")
        elif self._transfer is not None and indent > self._transfer.indent:
            self._entry(number, indent, text, self._transfer)
        else:
            self._in_block(number, indent, text, self._block)

    def _in_block(self, number: int, indent: int, text: str, block: AdrBlock) -> None:
        self._transfer = None
        if text != "transfer" and not text.startswith(("transfer ", "transfer\t")):
            self._entry(number, indent, text, block)
            return
        self._transfer = AdrBlock("transfer", "", "", number, indent)
        found = TRANSFER.fullmatch(text)
        if not self._aligned(number, indent, block):
            return
        if found is None:
            self._mistakes.add(number, "a transfer is written `transfer name:`")
        elif block.kind == "ledger":
            self._mistakes.add(number, f"ledger {block.name} has no transfers: transactions have")
        elif any(each.name == found[1] for each in block.transfers):
            self._mistakes.add(number, f"transfer {found[1]} stands twice in {block.name}")
        else:
            self._transfer.name = found[1]
            block.transfers.append(self._transfer)

    def _aligned(self, number: int, indent: int, block: AdrBlock) -> bool:
        block.body = block.body or indent
        if indent != block.body:
            spaces = f"{indent} spaces here, {block.body} in the lines before"
            self._mistakes.add(number, f"wrong indentation: {spaces}")
        return indent == block.body

    def _entry(self, number: int, indent: int, text: str, block: AdrBlock) -> None:
        found = ENTRY.fullmatch(text)
        if not self._aligned(number, indent, block):
            return
        if found is None:
            self._mistakes.add(number, f"expected `key: value`, found {text[:40]!r}")
            return
        key, value = found[1], AdrValue(number, _unquoted(found[2]))
        if key in block.entries:
            first = block.entries[key].line
            self._mistakes.add(number, f"`{key}` stands here twice, first on line {first}")
            return
        block.entries[key] = value
        if key in NESTED and not value.text:
            self._nested = (indent, value)


def _header_problem(text: str) -> str:
    word = text.split(maxsplit=1)[0]
    if word in {"ledger", "transaction"}:
        return f'a {word} is written `{word} Name "Title":`'
    if ENTRY.fullmatch(text) or word == "transfer":
        return "wrong indentation: spaces before this say which block it belongs to"
    return f"expected a ledger or transaction, found {text[:40]!r}"


def _without_comment(text: str) -> tuple[str, str]:
    """The text up to a `#` outside of quotes, and what is wrong with its quotes."""
    quoted, position = "", 0
    while position < len(text):
        character = text[position]
        if quoted and character == "\\":
            position += 1
        elif quoted:
            quoted = "" if character == quoted else quoted
        elif character in "\"'":
            quoted = character
        elif character == "#":
            break
        position += 1
    return text[:position].rstrip(), "a quote has no end" if quoted else ""


def _unquoted(text: str) -> str:
    """The inside of a text that is one quoted string."""
    found = WHOLE.fullmatch(text)
    return _unescaped(found[1]) if found else text


def _unescaped(text: str) -> str:
    return ESCAPED.sub(r"\1", text)
