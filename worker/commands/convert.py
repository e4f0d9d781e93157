"""`convert`: writes a rulebook in YAML from one in ADR-0015's text form.

Both forms mean the same to `check` and `run`; comments say where a person must decide.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from worker.commands.options import add_json
from worker.core.errors import UsageError, named_file
from worker.jobs.text_tables import write_document
from worker.rulebooks.adr_fields import AdrNote
from worker.rulebooks.adr_lines import is_adr_text
from worker.rulebooks.adr_rules import AdrRulebook, read_adr
from worker.rulebooks.load import load
from worker.rulebooks.yaml_source import Mistakes, read_text
from worker.rulebooks.yaml_text import yaml_text

STDOUT: Final = Path("-")
HEAD: Final = (
    "From {name}, by `ledger-worker convert`.",
    "Where a comment begins with `decide`, a person must.",
    "decide: `topics` is missing: who may write to a topic may send any event on it",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a rulebook in the text form")
    parser.add_argument(
        "--to",
        type=Path,
        default=STDOUT,
        metavar="FILE",
        help="a new file for the YAML; - is stdout (default)",
    )
    add_json(parser, "YAML and the notes")


def run(arguments: argparse.Namespace) -> int:
    """Convert one file; every mistake of it is an error by file and line."""
    mistakes = Mistakes(arguments.file)
    text = read_text(mistakes)
    if not is_adr_text(text):
        raise UsageError(f"{arguments.file}: has no `ledger` or `transaction` block to convert")
    found = read_adr(text, mistakes)
    load(arguments.file)
    written = yaml_text(found.tree, comments(found, arguments.file.name))
    if arguments.to != STDOUT:
        with (
            named_file(arguments.to, "written"),
            arguments.to.open("x", encoding="utf-8") as file,
        ):
            file.write(written)
    if arguments.json:
        _print_json(arguments, found.notes, written)
    elif arguments.to == STDOUT:
        sys.stdout.write(written)
    else:
        decisions = sum(note.decide for note in found.notes) + 1
        sys.stdout.write(f"{arguments.to}: written; {decisions} lines in it begin with `decide`\n")
    return 0


def comments(found: AdrRulebook, name: str) -> dict[tuple[str, ...], list[str]]:
    """The comments above each key of the YAML. name: of the text's file."""
    above: dict[tuple[str, ...], list[str]] = defaultdict(list)
    above["version",] = [line.format(name=name) for line in HEAD]
    for note in found.notes:
        line = f"decide: {note.message}" if note.decide else note.message
        if line not in above[note.path]:
            above[note.path].append(line)
    return above


def _print_json(arguments: argparse.Namespace, notes: list[AdrNote], written: str) -> None:
    listed = [
        {"line": note.line, "key": ".".join(note.path), "decide": note.decide, "note": note.message}
        for note in notes
    ]
    result = {
        "file": str(arguments.file),
        "to": None if arguments.to == STDOUT else str(arguments.to),
        "yaml": written,
        "notes": listed,
    }
    write_document(sys.stdout, result, indent=2)
