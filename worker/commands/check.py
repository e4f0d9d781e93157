"""`ledger-worker check`: validates a rulebook and draws its T-accounts.

The invariant: exit 0 means that the worker would start with this file; 2 that it would not, with
every mistake as `file:line: message` on standard error. Reads the file and nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from worker.core.rulebook import Rulebook
from worker.ports import UsageError
from worker.rulebooks.load import load
from worker.rulebooks.picture import draw
from worker.rulebooks.review import Warned, review

HELP = "validate a rulebook and draw its T-accounts"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the rulebook (default: the one set)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check one file; 0 when it is valid, else 2."""
    path = arguments.file or rulebook_in_force(arguments)
    try:
        rulebook = load(path)
    except UsageError as error:
        _print_mistakes(str(error), as_json=arguments.json)
        return error.exit_code
    warnings = review(rulebook)
    show = _as_json if arguments.json else _as_text
    sys.stdout.write(show(path, rulebook, warnings) + "\n")
    return 0


def rulebook_in_force(arguments: argparse.Namespace) -> Path:
    """The rulebook that settings name, the packaged one by default."""
    from worker.config import load_settings  # noqa: PLC0415 - not needed when a file is given

    return load_settings(getattr(arguments, "config", None)).rulebook


def _print_mistakes(text: str, *, as_json: bool) -> None:
    if as_json:
        result = {"valid": False, "mistakes": text.split("\n")}
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(text + "\n")


def _as_text(path: Path, rulebook: Rulebook, warnings: list[Warned]) -> str:
    lines = [f"{path}:{each.line}: warning: {each.message}" for each in warnings]
    counts = (
        f"{len(rulebook.ledgers)} ledgers, {len(rulebook.accounts)} accounts, "
        f"{len(rulebook.transactions)} transactions"
    )
    lines.append(f"{path}: valid, {len(warnings)} warnings: {counts}; digest {rulebook.digest}")
    return "\n".join([*lines, "", draw(rulebook)])


def _as_json(path: Path, rulebook: Rulebook, warnings: list[Warned]) -> str:
    result = {
        "valid": True,
        "file": str(path),
        "digest": rulebook.digest,
        "ledgers": len(rulebook.ledgers),
        "accounts": sorted(rulebook.accounts),
        "transactions": [rule.name for rule in rulebook.transactions],
        "warnings": [{"line": each.line, "message": each.message} for each in warnings],
    }
    return json.dumps(result, indent=2, ensure_ascii=False)
