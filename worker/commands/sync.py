"""`sync`: the balance cache in PostgreSQL."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from worker.config.settings import Settings, load_settings
from worker.core.plural import count_of
from worker.jobs.live.run import start_long_run
from worker.jobs.sync.run import Synced, sync, target_problems
from worker.jobs.text_tables import write_document, write_lines
from worker.kafka.connection import require_running_broker


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    made = parser.add_mutually_exclusive_group()
    made.add_argument(
        "--create",
        action="store_true",
        help="make the tables, columns and indexes that are missing",
    )
    made.add_argument(
        "--sql", action="store_true", help="print the statements that --create would run, and stop"
    )
    parser.add_argument(
        "--drain",
        action="store_true",
        help="stop once the group has committed the outbox to the end seen at the start",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Follow until stopped or drained; then print what was done."""
    settings = load_settings(arguments.config)
    if arguments.sql:
        return _print_statements(settings, as_json=arguments.json)
    require_running_broker(settings, lacks="holds no outbox")
    stop = start_long_run(settings)
    done = sync(
        settings, create=arguments.create, drain=arguments.drain, stopped=lambda: stop.requested
    )
    if arguments.json:
        counts = done.tally.counts()
        write_document(sys.stdout, {"group": done.group, "made": done.made, **counts})
    else:
        write_lines(sys.stdout, _text(done))
    return 0


def _print_statements(settings: Settings, *, as_json: bool) -> int:
    found = [lack.statement for lack in target_problems(settings)]
    if as_json:
        write_document(sys.stdout, {"statements": found})
    else:
        write_lines(sys.stdout, (f"{statement};" for statement in found))
    return 0


def _text(done: Synced) -> Iterator[str]:
    tally = done.tally
    yield from (f"made: {statement}" for statement in done.made)
    yield (
        f"{count_of(tally.records, 'announcement')} in the group {done.group}:"
        f" {count_of(tally.balances_read, 'balance')} read,"
        f" {count_of(tally.rows_written, 'row')} written, {tally.rows_kept:,} as new already"
    )
    if tally.without_row:
        left_out = count_of(tally.without_row, "balance")
        yield f"{left_out} left out: no row has such a key (sync.add_rows)"
    if tally.unnamed:
        left_out = count_of(tally.unnamed, "account")
        yield f"{left_out} left out: only a hash of a long key was announced"
    if tally.unreadable:
        records = count_of(tally.unreadable, "record")
        yield f"{records} of the outbox: no announcement of this worker"
