"""`sync`: the balance cache in PostgreSQL."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from worker.commands.options import add_json
from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError
from worker.core.plural import count_of
from worker.jobs.live.run import start_long_run
from worker.jobs.sync.run import Synced, retry, sync, target_problems, verify
from worker.jobs.sync.verify import Verification
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
    made.add_argument(
        "--retry",
        action="store_true",
        help="try the rows again that were set aside, once, and stop",
    )
    made.add_argument(
        "--verify",
        action="store_true",
        help="compare every row with the ledger, mend what differs, and stop; ends with 1 where"
        " something differed",
    )
    parser.add_argument(
        "--after",
        type=int,
        default=0,
        metavar="NANOSECONDS",
        help="--verify: go on from where an earlier one was stopped",
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
    if arguments.after and not arguments.verify:
        raise UsageError("--after goes with --verify")
    if arguments.retry or arguments.verify:
        if arguments.drain:
            raise UsageError("--drain follows the outbox; --retry and --verify do not")
        stop = start_long_run(settings)
        if arguments.retry:
            return _retry(settings, lambda: stop.requested, as_json=arguments.json)
        return _verify(settings, arguments, lambda: stop.requested)
    require_running_broker(settings, lacks="holds no outbox")
    stop = start_long_run(settings)
    done = sync(
        settings, create=arguments.create, drain=arguments.drain, stopped=lambda: stop.requested
    )
    document = {
        "group": done.group,
        "made": done.made,
        **done.tally.counts(),
        "waiting": done.waiting,
    }
    write_result(document, _text(done), as_json=arguments.json)
    return 1 if done.waiting else 0


def _retry(settings: Settings, stopped: Callable[[], bool], *, as_json: bool) -> int:
    done = retry(settings, stopped=stopped)
    lines = [f"{count_of(done.written, 'row')} written that had been set aside"]
    write_result(done._asdict(), [*lines, *_waiting(done.waiting)], as_json=as_json)
    return 1 if done.waiting else 0


def _verify(settings: Settings, arguments: argparse.Namespace, stopped: Callable[[], bool]) -> int:
    found = verify(settings, start_ns=arguments.after, stopped=stopped)
    write_result(found.counts(), _verified(found), as_json=arguments.json)
    return 1 if found.problems else 0


def _verified(found: Verification) -> Iterator[str]:
    yield (
        f"{count_of(found.accounts, 'account')} compared:"
        f" {count_of(found.differing, 'row')} said another balance than the ledger,"
        f" {count_of(found.missing, 'account')} had no row"
    )
    if found.without_row:
        left_out = count_of(found.without_row, "account")
        yield f"{left_out} left out: no row has such a key (sync.add_rows)"
    if found.unnamed:
        yield f"{count_of(found.unnamed, 'account')} left out: only a hash of a long key is known"
    if found.without_account:
        yield f"{count_of(found.without_account, 'row')} of no account in the ledger: left as is"
    yield from _waiting(found.set_aside)
    if found.resume_at:
        yield f"stopped: `sync --verify --after {found.resume_at}` goes on"


def _waiting(rows: int) -> Iterator[str]:
    if rows:
        yield (
            f"{count_of(rows, 'row')} set aside: the table ledger_sync_set_aside has the reasons,"
            " `sync --retry` tries again"
        )


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
    yield from _waiting(done.waiting)
    if tally.read_again:
        partitions = count_of(tally.read_again, "partition")
        yield f"{partitions} read again: the database had been moved back"
    if tally.unnamed:
        left_out = count_of(tally.unnamed, "account")
        yield f"{left_out} left out: only a hash of a long key was announced"
    if tally.unreadable:
        records = count_of(tally.unreadable, "record")
        yield f"{records} of the outbox: no announcement of this worker"
