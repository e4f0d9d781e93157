"""The keys of one block of ADR-0015's text form, read with their kinds checked.

After a mistake, reading goes on with a stand-in, so that one run reports them all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from worker.rulebooks.adr_expressions import AdrMistake, translate
from worker.rulebooks.adr_lines import AdrBlock, AdrValue
from worker.rulebooks.fields import near
from worker.rulebooks.yaml_source import Block, Listing, Mistakes, Node, Scalar

NUMBER: Final = re.compile(r"[0-9]{1,20}")
HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
WITHOUT_EFFECT: Final = ("tenant_scoped", "metadata_mapping", "timeout", "user_data")
RESOLVES: Final = (
    "this form does not say which transfer is posted or voided: write this rule in YAML, with"
    " `post:` or `void:`"
)

YamlPath = tuple[str, ...]
"""The path of a key in the YAML: `("accounts", "wallet", "sync_to")`."""


class AdrNote(NamedTuple):
    """A comment of the conversion, above the YAML key at `path`.

    line: of the text form.
    decide: a person must.
    """

    path: YamlPath
    line: int
    message: str
    decide: bool


@dataclass(slots=True)
class AdrFindings:
    """What reading finds besides the rules: mistakes, and notes in the order of the text."""

    mistakes: Mistakes
    notes: list[AdrNote] = field(default_factory=list)


class AdrFields:
    """The keys of one block.

    path: of the block in the YAML.
    """

    def __init__(
        self,
        block: AdrBlock,
        path: YamlPath,
        findings: AdrFindings,
        *,
        required: tuple[str, ...],
        optional: tuple[str, ...],
    ) -> None:
        self.block = block
        self.path = path
        self._findings = findings
        known = (*required, *optional)
        for key, value in block.entries.items():
            if key not in known:
                self.wrong(value.line, f"unknown key {key!r}{near(key, known)}")
            elif key in required and not value.text:
                self.wrong(value.line, f"`{key}` has no value")
            elif key in WITHOUT_EFFECT:
                self.decide(f"`{key}` has no effect here, and is left out", value.line)
        for key in required:
            if key not in block.entries:
                self.wrong(block.line, f"{block.kind} {block.name}: `{key}` is missing")

    def wrong(self, line: int, message: str) -> None:
        """Note a mistake."""
        self._findings.mistakes.add(line, message)

    def decide(self, message: str, line: int, key: str = "") -> None:
        """Note above a key, or the block, what a person must decide."""
        path = (*self.path, key) if key else self.path
        self._findings.notes.append(AdrNote(path, line, message, decide=True))

    def remark(self, message: str, line: int, key: str = "") -> None:
        """Note above a key, or the block, what has no key of its own."""
        path = (*self.path, key) if key else self.path
        self._findings.notes.append(AdrNote(path, line, message, decide=False))

    def value(self, key: str) -> AdrValue | None:
        """The value as written; None where the key is missing or empty."""
        found = self.block.entries.get(key)
        return found if found and (found.text or found.lines) else None

    def text(self, key: str) -> str:
        """The value's text, "" where the key is missing."""
        found = self.block.entries.get(key)
        return found.text if found else ""

    def line(self, key: str) -> int:
        """The key's line, or the block's where it is missing."""
        found = self.block.entries.get(key)
        return found.line if found else self.block.line

    def number(self, key: str, most: int) -> Scalar | None:
        """A whole number from 1."""
        value = self.value(key)
        if value is None:
            return None
        if not NUMBER.fullmatch(value.text) or not 1 <= int(value.text) <= most:
            self.wrong(value.line, f"`{key}` must be a whole number from 1 to {most}")
            return None
        return whole_scalar(value.line, int(value.text))

    def choice(self, key: str, options: tuple[str, ...]) -> Scalar:
        """One of the options."""
        text, line = self.text(key), self.line(key)
        if text not in options and text:
            listed = ", ".join(options)
            self.wrong(line, f"`{key}` must be one of {listed}{near(text, options)}")
        return text_scalar(line, text if text in options else options[0])

    def flags(self, options: tuple[str, ...]) -> list[Scalar]:
        """The words of `flags`, without `linked`, which is the rule here."""
        line = self.line("flags")
        found: list[Scalar] = []
        for word in (each.strip() for each in self.text("flags").split(",")):
            if word == "linked":
                self.remark("linked, as all transfers of a transaction are here", line)
            elif word in options and all(flag.text != word for flag in found):
                found.append(text_scalar(line, word))
            elif self.value("flags"):
                self.wrong(line, _flag_problem(word, options))
        return found

    def expression(self, key: str, value: AdrValue) -> Scalar:
        """In the rulebook's language; what is wrong in that is found when it is compiled."""
        try:
            found = translate(value.text)
        except AdrMistake as mistake:
            self.wrong(value.line, f"`{key}`: {mistake}")
            return text_scalar(value.line, "0")
        if found.decide:
            self.decide(found.decide, value.line, key)
        return text_scalar(value.line, found.text)


def _flag_problem(word: str, options: tuple[str, ...]) -> str:
    if word in {"post_pending", "void_pending"}:
        return f"`flags`: {RESOLVES}"
    if word == "balancing":
        return "`flags`: say which side balances, balancing_debit or balancing_credit"
    if word in options:
        return f"`flags` says {word} twice"
    listed = ", ".join((*options, "linked"))
    return f"`flags`: {word!r} is none of {listed}{near(word, options)}"


def snake_case(name: str) -> str:
    """`VATLiability` is `vat_liability`."""
    return HUMP.sub("_", name).lower().strip("_")


def new_block(line: int, entries: dict[str, Node]) -> Block:
    """A mapping whose keys have the lines of their values."""
    return Block(line, entries, {key: value.line for key, value in entries.items()})


def new_listing(flags: list[Scalar]) -> Listing:
    """A list of words."""
    return Listing(flags[0].line, tuple(flags))


def text_scalar(line: int, text: str) -> Scalar:
    """A text."""
    return Scalar(line, text, text)


def whole_scalar(line: int, value: int) -> Scalar:
    """A whole number."""
    return Scalar(line, value, str(value))
