"""`redrive`: chosen dead letters, rejections and parked events go through again.

Exit 0: every chosen letter went through, or would. 1: some cannot, and each is named.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Final

from worker.commands.options import add_json
from worker.config.settings import load_settings
from worker.core.errors import UsageError
from worker.core.plural import count_of
from worker.core.ports import position_in
from worker.jobs.progress import Progress
from worker.jobs.redrive.filter import NAMES, LetterFilter
from worker.jobs.redrive.run import RedriveResult, redrive
from worker.jobs.redrive.select import RedriveRequest, Selected
from worker.jobs.text_tables import write_result
from worker.kafka.connection import require_running_broker

INTERRUPTED: Final = "what went through so far stays; the same command goes on after it"

LISTED: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--from",
        dest="kind",
        required=True,
        choices=["dead", "rejected", "parked"],
        help="which topic's letters",
    )
    parser.add_argument(
        "--where",
        required=True,
        metavar="EXPRESSION",
        help=f"which of them, in the rulebook's expressions over {', '.join(NAMES)};"
        ' reason=no_rule is short for reason == "no_rule"; `true` means all',
    )
    parser.add_argument(
        "--new-attempt",
        action="store_true",
        help="under the attempt after the highest refused one: a rejection is final for its own",
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, kept in a header")
    parser.add_argument("--operator", default="", metavar="NAME", help="who, kept in a header")
    parser.add_argument(
        "--again",
        action="store_true",
        help="from the first letter, not from where the same redrive stood",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, write nothing")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Redrive, and say what went and what could not."""
    if not arguments.dry_run and not (arguments.reason.strip() and arguments.operator.strip()):
        raise UsageError("--reason and --operator are needed: they stay with every redriven record")
    request = RedriveRequest(
        kind=arguments.kind,
        where=LetterFilter(arguments.where),
        new_attempt=arguments.new_attempt,
        dry_run=arguments.dry_run,
        again=arguments.again,
        note=arguments.reason,
        operator=arguments.operator,
    )
    settings = load_settings(arguments.config)
    require_running_broker(settings, lacks="holds no letters")
    result = redrive(settings, request, progress=Progress())
    write_result(_document(result, request), _text(result, request), as_json=arguments.json)
    return 1 if result.lost else 0


def _document(result: RedriveResult, request: RedriveRequest) -> dict[str, Any]:
    return {
        "from": request.kind,
        "where": request.where.text,
        "group": result.group,
        "dry_run": request.dry_run,
        "read": result.read,
        "chosen": result.chosen,
        "redriven": 0 if request.dry_run else result.redriven,
        "redrivable": result.redriven,
        "records": [{"letter": selected.letter, **selected.fields} for selected in result.records],
        "not_redrivable": [
            {"letter": selected.letter, **selected.fields, "why": selected.why}
            for selected in result.lost
        ],
    }


def _text(result: RedriveResult, request: RedriveRequest) -> Iterator[str]:
    went = "would go through again" if request.dry_run else "went through again"
    yield (
        f"{count_of(result.read, 'letter')} read since {result.group} stood,"
        f" {result.chosen:,} chosen,"
        f" {result.redriven:,} {went}, {len(result.lost):,} cannot"
    )
    if result.read and not result.chosen:
        counted = ", ".join(f"{name} {count:,}" for name, count in result.reasons.most_common())
        yield f"  the filter chose none of them; their reasons: {counted}"
    for selected in result.records[:LISTED] if request.dry_run else ():
        yield f"  {_named(selected)}"
    if request.dry_run and result.redriven > LISTED:
        yield f"  … {result.redriven - LISTED:,} more"
    for selected in result.lost:
        yield f"  cannot: {_named(selected)}: {selected.why}"


def _named(selected: Selected) -> str:
    fields = selected.fields
    origin = str(position_in(fields)) if fields["topic"] else ""
    shown = (selected.letter, fields["reason"], fields["event_type"], fields["event_id"], origin)
    return "  ".join(str(part) for part in shown if part)
