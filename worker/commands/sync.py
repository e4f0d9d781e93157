"""`sync`: the balance cache in PostgreSQL."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from worker.commands.options import add_json
from worker.config.settings import Settings, load_settings
from worker.core.plural import count_of
from worker.jobs.live.run import start_long_run
from worker.jobs.sync.run import Synced, sync, target_problems
from worker.jobs.text_tables import write_result
from worker.kafka.connection import require_running_broker


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
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
    add_json(parser)


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
    document = {"group": done.group, "made": done.made, **done.tally.counts()}
    write_result(document, _text(done), as_json=arguments.json)
    return 0


def _print_statements(settings: Settings, *, as_json: bool) -> int:
    found = [lack.statement for lack in target_problems(settings)]
    write_result({"statements": found}, (f"{statement};" for statement in found), as_json=as_json)
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
