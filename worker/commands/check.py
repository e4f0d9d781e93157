"""`check`: validates a rulebook and draws its T-accounts.

Exit 0: the worker would start with this file and book the past as it was booked. 1: it would not
book it so, against the lock beside the file. 2: it would not start.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from worker.commands.options import add_json
from worker.core.errors import UsageError, named_file
from worker.core.plural import count_of
from worker.core.rulebook import Rulebook
from worker.jobs.text_tables import write_document, write_lines, write_result
from worker.rulebooks.adr_rules import open_decisions
from worker.rulebooks.load import load
from worker.rulebooks.lock import Changed, Lock, changes, lock_path, lock_text, read_lock
from worker.rulebooks.picture import draw
from worker.rulebooks.picture_page import page
from worker.rulebooks.warnings import RuleWarning, find_warnings

DIFFERENT = 1
"""A change that the lock does not allow."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the rulebook (default: the one set)"
    )
    parser.add_argument(
        "--lock",
        action="store_true",
        help="write rulebook.lock beside the file: what is in force from now on",
    )
    parser.add_argument(
        "--require-lock",
        action="store_true",
        help="end with 1 unless the lock beside the file is of this very rulebook",
    )
    parser.add_argument("--approver", metavar="NAME", help="who approved it; --lock needs one")
    parser.add_argument("--html", type=Path, metavar="PAGE", help="write the T-accounts as a page")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check one file; 0 when it is valid, 1 when the lock does not allow it, else 2."""
    if arguments.lock and not (arguments.approver or "").strip():
        raise UsageError("--lock needs --approver: the name of who approved the rulebook")
    path = arguments.file or rulebook_in_force(arguments)
    try:
        rulebook = load(path)
    except UsageError as error:
        _print_mistakes(str(error), as_json=arguments.json)
        return error.exit_code
    lock = read_lock(lock_path(path))
    found = changes(rulebook, lock) if lock else []
    decisions = (RuleWarning(each.line, each.message) for each in open_decisions(path))
    warnings = sorted((*find_warnings(rulebook), *decisions))
    write_result(
        _as_json(path, rulebook, warnings, found, lock),
        _as_text(path, rulebook, warnings, found, lock),
        as_json=arguments.json,
        indent=2,
    )
    if arguments.html:
        said = [*_lock_state(rulebook, lock), *_said(path.name, warnings, found)]
        _write(arguments.html, _page(arguments, rulebook, path.name, said))
        _say(f"{arguments.html}: written", arguments)
    if arguments.require_lock and not arguments.lock and not _locked(rulebook, lock, path):
        return DIFFERENT
    if found:
        return DIFFERENT
    if arguments.lock:
        text = lock_text(rulebook, date=int(time.time()), approver=arguments.approver.strip())
        _write(lock_path(path), text)
        _say(f"{lock_path(path)}: written, approved by {arguments.approver.strip()}", arguments)
    return 0


def _say(line: str, arguments: argparse.Namespace) -> None:
    """What was written, unless a program reads the output."""
    if not arguments.json:
        write_lines(sys.stdout, ["", line])


def _page(arguments: argparse.Namespace, rulebook: Rulebook, name: str, said: list[str]) -> str:
    from worker.config.settings import load_settings  # noqa: PLC0415 - not needed without a page
    from worker.config.translator import translator_of  # noqa: PLC0415 - the same
    from worker.jobs.examples.run import work_examples  # noqa: PLC0415 - the same

    settings = load_settings(getattr(arguments, "config", None))
    translator = translator_of(settings, rulebook, booked=True)
    return page(rulebook, name=name, said=said, examples=work_examples(translator))


def _locked(rulebook: Rulebook, lock: Lock | None, path: Path) -> bool:
    """Is it exactly what somebody approved? Says so where it is not."""
    if lock is None:
        write_lines(sys.stderr, [f"{lock_path(path)}: there is no lock: nobody approved {path}"])
    elif lock.digest != rulebook.digest:
        write_lines(sys.stderr, [f"{path} is not what {lock.approver} approved"])
    return lock is not None and lock.digest == rulebook.digest


def _write(path: Path, text: str) -> None:
    with named_file(path, "written"):
        path.write_text(text, encoding="utf-8")


def rulebook_in_force(arguments: argparse.Namespace) -> Path:
    """The rulebook that settings name, the packaged one by default."""
    from worker.config.settings import load_settings  # noqa: PLC0415 - not needed when a file is given

    return load_settings(getattr(arguments, "config", None)).rulebook


def _print_mistakes(text: str, *, as_json: bool) -> None:
    if as_json:
        result = {"valid": False, "mistakes": text.split("\n")}
        write_document(sys.stdout, result, indent=2)
    else:
        write_lines(sys.stderr, text.split("\n"))


def _as_text(
    path: Path,
    rulebook: Rulebook,
    warnings: list[RuleWarning],
    found: list[Changed],
    lock: Lock | None,
) -> list[str]:
    lines = _said(path, warnings, found)
    counts = ", ".join(
        (
            count_of(len(rulebook.ledgers), "ledger"),
            count_of(len(rulebook.accounts), "account"),
            count_of(len(rulebook.transactions), "transaction"),
        )
    )
    warned = count_of(len(warnings), "warning")
    lines.append(f"{path}: valid, {warned}: {counts}; digest {rulebook.digest}")
    lines += [f"{lock_path(path)}: {each}" for each in _lock_state(rulebook, lock)]
    return [*lines, "", *draw(rulebook).split("\n")]


def _said(path: Path | str, warnings: list[RuleWarning], found: list[Changed]) -> list[str]:
    """What is not allowed, then what is odd, with file and line."""
    return [
        *(f"{path}:{each.line}: locked: {each.message}" for each in found),
        *(f"{path}:{each.line}: warning: {each.message}" for each in warnings),
    ]


def _lock_state(rulebook: Rulebook, lock: Lock | None) -> list[str]:
    if lock is None:
        return []
    state = "as locked" if rulebook.digest == lock.digest else "changed since"
    return [f"{state}, approved by {lock.approver}"]


def _as_json(
    path: Path,
    rulebook: Rulebook,
    warnings: list[RuleWarning],
    found: list[Changed],
    lock: Lock | None,
) -> dict[str, Any]:
    return {
        "valid": True,
        "file": str(path),
        "digest": rulebook.digest,
        "ledgers": len(rulebook.ledgers),
        "accounts": sorted(rulebook.accounts),
        "transactions": [rule.name for rule in rulebook.transactions],
        "warnings": [{"line": each.line, "message": each.message} for each in warnings],
        "locked": [{"line": each.line, "message": each.message} for each in found],
        "lock": None if lock is None else {"digest": lock.digest, "approver": lock.approver},
    }
