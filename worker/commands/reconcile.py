"""`reconcile`: do events, ledger, announcements and Stripe's report agree?

Exit 0: everything was read and agrees. 1: something differs. 2 or 3: bad input, and no report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

from worker.config.settings import load_settings
from worker.core.errors import UsageError
from worker.jobs.progress import Progress
from worker.jobs.reconcile.comparison import BANK_DAYS, SETTLE_DAYS, Comparison, ReconcileResult
from worker.jobs.reconcile.grouped import grouped
from worker.jobs.reconcile.outputs import json_document, shown_items, suffix_of, write_report
from worker.jobs.reconcile.run import reconcile
from worker.jobs.reconcile.shards import part_files, write_part
from worker.jobs.reconcile.summary import BALANCE_LINES, BANK_LINES, period_text, verdict
from worker.jobs.shard import shard_of
from worker.jobs.text_tables import write_document, write_lines
from worker.jobs.times import time_range

INTERRUPTED: Final = "no report is complete; the same command makes it from the start"

LISTED: Final = 5
"""Items of one class on the terminal."""

WIDTH: Final = 80
DIGITS_MAX: Final = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--from", dest="start", metavar="TIME", help="first moment of the facts")
    parser.add_argument("--to", dest="end", metavar="TIME", help="first moment after them")
    parser.add_argument(
        "--from-files",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="archives instead of Kafka: JSON lines or Avro containers, plain, gzip or zstd",
    )
    parser.add_argument("--topic", default="", help="of events in archives that name none")
    parser.add_argument("--partitions", metavar="I/N", help="the part of one of several jobs: 0/4")
    parser.add_argument(
        "--part-to", type=Path, metavar="FOLDER", help="where a part's file goes, for --merge"
    )
    parser.add_argument(
        "--merge",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="join the files of all parts, or those in a folder, and report",
    )
    _other_sides(parser)
    parser.add_argument(
        "--periods", type=Path, metavar="FOLDER", help="where closed periods are kept"
    )
    parser.add_argument(
        "--close", action="store_true", help="close the period: keep what was signed in --periods"
    )
    parser.add_argument("--by", default="", metavar="NAME", help="who closes it")
    parser.add_argument(
        "--report",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write the items: .html, .csv, .parquet or .json; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="print summary and items as JSON")


def _other_sides(parser: argparse.ArgumentParser) -> None:
    """What Stripe, the bank and a copy say."""
    parser.add_argument(
        "--settle-days",
        type=whole_days,
        default=SETTLE_DAYS,
        metavar="DAYS",
        help="how long what only payments or only settlements tell may be open; 3",
    )
    parser.add_argument(
        "--stripe-report",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.csv",
        help="an itemized report of Stripe's; may be given again",
    )
    parser.add_argument(
        "--bank",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a statement of the bank: CAMT.053 or CSV; may be given again",
    )
    parser.add_argument(
        "--bank-days",
        type=whole_days,
        default=BANK_DAYS,
        metavar="DAYS",
        help="how far the bank's day may be from the books'; 5",
    )
    parser.add_argument(
        "--stripe-balance",
        action="append",
        default=[],
        metavar="CUR=AMOUNT",
        help="Stripe's balance at the end, in major units; may be given again",
    )
    parser.add_argument(
        "--copy",
        action="store_true",
        help="compare the trial balance of the copy that reconcile.copy_dsn names",
    )


def run(arguments: argparse.Namespace) -> int:
    """Reconcile, write the reports, print the summary; 1 when something differs."""
    start_ns, end_ns = time_range(arguments.start, arguments.end)
    for path in arguments.report:
        suffix_of(path)
    _refuse_mixed(arguments)
    if arguments.partitions:
        return _part(arguments, start_ns, end_ns)
    request = Comparison(
        start_ns=start_ns,
        end_ns=end_ns,
        files=tuple(arguments.from_files),
        topic=arguments.topic,
        parts=tuple(part_files(arguments.merge)) if arguments.merge else (),
        stripe_reports=tuple(arguments.stripe_report),
        settle_days=arguments.settle_days,
        bank=tuple(arguments.bank),
        bank_days=arguments.bank_days,
        stripe_balances=tuple(arguments.stripe_balance),
        copy=arguments.copy,
        periods=arguments.periods,
        close_by=arguments.by if arguments.close else "",
    )
    with reconcile(load_settings(arguments.config), request, progress=Progress()) as result:
        for path in arguments.report:
            write_report(result, path)
        if arguments.json:
            json_document(result, sys.stdout)
        else:
            write_lines(sys.stdout, _text(result))
        return 1 if result.differs else 0


def whole_days(text: str) -> int:
    """A number of days for `--settle-days`."""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of days")
    return int(text)


def _refuse_mixed(arguments: argparse.Namespace) -> None:
    """A part is read, and later parts are joined; each has its own options."""
    reports = ("report", "stripe_report", "bank", "stripe_balance", "copy", "periods", "close")
    wrong = {
        "partitions": ("merge", "from_files", "topic", *reports),
        "merge": ("start", "end", "from_files", "topic", "part_to"),
    }
    names = {"start": "from", "end": "to"}
    for mode, others in wrong.items():
        given = [name for name in others if getattr(arguments, mode) and getattr(arguments, name)]
        if given:
            option = names.get(given[0], given[0]).replace("_", "-")
            hint = "give it to --merge" if given[0] in reports else "the parts say it"
            if given[0] in {"from_files", "topic", "merge"}:
                hint = "parts are of topics in Kafka"
            raise UsageError(f"--{mode} takes no --{option}: {hint}")
    if arguments.close and not (arguments.by.strip() and arguments.periods):
        raise UsageError("--close needs --by NAME and --periods FOLDER")
    if bool(arguments.partitions) != bool(arguments.part_to):
        raise UsageError("--partitions I/N and --part-to FOLDER go together: the part is a file")


def _part(arguments: argparse.Namespace, start_ns: int, end_ns: int) -> int:
    path, manifest = write_part(
        load_settings(arguments.config),
        shard_of(arguments.partitions),
        arguments.part_to,
        start_ns=start_ns,
        end_ns=end_ns,
        progress=Progress(),
    )
    if arguments.json:
        document = {"part": str(path), "records": dict(sorted(manifest.taken.items()))}
        write_document(sys.stdout, document)
        return 0
    counts = (f"  {count:>12,}  {topic}" for topic, count in sorted(manifest.taken.items()))
    write_lines(sys.stdout, [f"part {manifest.number} of {manifest.of} is in {path}", *counts])
    return 0


def _text(result: ReconcileResult) -> Iterator[str]:
    summary = result.summary
    yield f"reconciliation of {period_text(summary)}, by fact, whenever it was posted"
    yield f"ledger as of {summary['ledger_read_before']}"
    for topic, count in summary["records"].items():
        yield f"  {count:>12,}  {topic}"
    if not summary["announcements_compared"]:
        yield "  no announcements were given: they are not compared"
    if unchecked := summary["not_checked_for_compaction"]:
        yield f"  the broker did not say whether these are compacted: {', '.join(unchecked)}"
    for currency, entry in summary["currencies"].items():
        yield from _currency(currency, entry)
    yield from _besides(summary)
    if not summary["trial_balance_agrees"]:
        yield "debits and credits of the ledger differ"
    yield from _differences(result)


def _besides(summary: Mapping[str, Any]) -> Iterator[str]:
    """Payouts, the period before, and the copy."""
    payouts = summary["payouts"]
    if payouts is not None:
        yield (
            f"payouts: {payouts['payouts_that_tie']:,} tie,"
            f" {payouts['payouts_that_do_not']:,} do not"
        )
    if bank := summary["bank"]:
        yield from _bank(bank)
    if before := summary["period_before"]:
        yield f"the period {before['period']} was closed by {before['closed_by']}"
        yield (
            f"  it left {before['items_left_open']:,} items open: {before['settled_since']:,}"
            f" settled since, {before['resolved']:,} resolved"
        )
    if closed := summary.get("closed"):
        yield f"closed: {closed}"
    if copied := summary["copy"]:
        yield (
            f"copy {copied['table']} up to {copied['up_to']}: {copied['accounts']:,} accounts,"
            f" {copied['accounts_that_differ']:,} differ"
        )


def _bank(bank: Mapping[str, Any]) -> Iterator[str]:
    for currency, found in bank["currencies"].items():
        yield (
            f"bank, {currency}, {found['first_day']} to {found['last_day']}:"
            f" {found['tied']:,} of {found['entries']:,} entries tie"
        )
        for name, title in BANK_LINES.items():
            if name in found:
                yield f"  {title:<28}{grouped(found[name]):>30}"


def _currency(currency: str, entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"{currency or 'no currency'}"
    if "clearing_opening" in entry:
        yield f"  {'Stripe clearing, opening':<28}{grouped(entry['clearing_opening']):>30}"
    for kind, found in entry["classes"].items():
        yield f"  {kind.replace('_', ' '):<28}{found['items']:>10,}{grouped(found['amount']):>20}"
    for name, title in BALANCE_LINES.items():
        if name in entry:
            yield f"  {title:<28}{grouped(entry[name]):>30}"


def _differences(result: ReconcileResult) -> Iterator[str]:
    """The first of every class."""
    yield verdict(result.summary)
    counts = result.summary["differences_by_class"]
    found = shown_items(result.database, differing=True)
    for kind, items in groupby(found, lambda item: str(item["class"])):
        yield f"{kind.replace('_', ' ')}: {counts[kind]:,}"
        for item in islice(items, LISTED):
            yield from _item(item)
        if counts[kind] > LISTED:
            yield f"  … {counts[kind] - LISTED:,} more: --report FILE.csv lists all"


def _item(item: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {item['event_id'] or item['transfer_id'] or item['position']}"
    sides = [
        f"{name} {grouped(item[f'{name}_amount'])}"
        for name in ("expected", "actual")
        if item[f"{name}_amount"]
    ]
    about = [item["day"], *sides, item["currency"]]
    if text := ", ".join(each for each in about if each):
        yield f"    {text}"
    yield from wrap(item["detail"], WIDTH, initial_indent="    ", subsequent_indent="    ")
