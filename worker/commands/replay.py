"""`replay`: says what old records would post, or posts it; makes a lost ledger or outbox anew.

Only `--apply`, `--announce-only` and `--rebuild` write. Exit 1: the ledger holds other money for a
record, or its fact under other ids; a transfer cannot be announced; or two ledgers differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from worker.commands.options import add_json
from worker.commands.replay_rebuild import rebuild_and_verify
from worker.config.settings import Settings, load_settings
from worker.core.errors import DependencyUnavailable, UsageError
from worker.core.iso_times import iso_time
from worker.core.plural import count_of
from worker.jobs.live.run import start_long_run
from worker.jobs.progress import Progress
from worker.jobs.replay.apply import AppliedReplay, apply_replay
from worker.jobs.replay.plan import PlannedReplay, ReplayRequest, plan_replay, shown_ranges
from worker.jobs.replay.planner import CLASSES
from worker.jobs.replay.range import Moment, moment
from worker.jobs.replay.reannounce import Reannounced, announce_again
from worker.jobs.shard import ALL, shard_of
from worker.jobs.text_tables import write_result
from worker.jobs.times import time_range
from worker.kafka.connection import connection_of, require_running_broker

INTERRUPTED: Final = (
    "what was written so far stays, and without --apply, --announce-only or --rebuild that is"
    " nothing; the same command goes on"
)

LISTED: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--from",
        dest="start",
        metavar="TIME|OFFSETS",
        help="a time, or topic/partition@offset with commas between (default: the beginning)",
    )
    parser.add_argument(
        "--to",
        dest="end",
        metavar="TIME|OFFSETS",
        help="where to stop; never beyond what the live group has committed, which is the default",
    )
    parser.add_argument(
        "--topics",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="some of the inputs, or their roles",
    )
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
    parser.add_argument("--apply", action="store_true", help="post what is new, and announce it")
    parser.add_argument(
        "--announce-only",
        action="store_true",
        help="post nothing: write the announcements of what the ledger holds again",
    )
    parser.add_argument(
        "--outbox", default="", metavar="TOPIC", help="where to, with --announce-only"
    )
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="post in an empty ledger what the outbox tells of a lost one, and announce nothing",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="with --rebuild: go on without records of the outbox that are no announcements",
    )
    parser.add_argument(
        "--verify-against",
        default="",
        metavar="ADDRESS|embedded:FILE",
        help="compare the ledger with another, in everything but timestamps and positions",
    )
    parser.add_argument(
        "--verify-cluster-id", type=int, metavar="ID", help="of that other ledger, if it differs"
    )
    parser.add_argument("--name", default="", help="of the replay's group <group>-replay-<name>")
    parser.add_argument(
        "--resume", action="store_true", help="go on where the replay of this name stood"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plan or apply, and print what was found."""
    settings = load_settings(arguments.config)
    if arguments.outbox and not arguments.announce_only:
        raise UsageError("--outbox goes with --announce-only; a replay announces to topics.outbox")
    if arguments.skip_unreadable and not arguments.rebuild:
        raise UsageError(
            "--skip-unreadable goes with --rebuild: a replay counts what it cannot read"
        )
    if arguments.verify_cluster_id is not None and not arguments.verify_against:
        raise UsageError("--verify-cluster-id goes with --verify-against")
    if arguments.rebuild or arguments.verify_against:
        return rebuild_and_verify(settings, arguments)
    if arguments.announce_only:
        return _announce(settings, arguments)
    request = _request(arguments)
    if not request.files:
        require_running_broker(settings)
    if arguments.apply:
        return _apply(settings, request, arguments)
    planned = plan_replay(settings, request, progress=Progress())
    write_result(_plan_document(planned), _plan_text(planned), as_json=arguments.json)
    return 1 if planned.plan.items else 0


def _request(arguments: argparse.Namespace) -> ReplayRequest:
    start = moment(arguments.start, option="--from") if arguments.start else Moment()
    end = moment(arguments.end, option="--to") if arguments.end else Moment()
    if end.time_ms and end.time_ms <= start.time_ms:
        raise UsageError(f"--to {arguments.end} is not later than --from {arguments.start}")
    if arguments.apply and arguments.from_files:
        raise UsageError(
            "--apply works from Kafka only, because no group could answer for the announcements of"
            " an archive's records: write the archive back to its topics first"
        )
    if arguments.from_files and arguments.partitions:
        raise UsageError("--partitions splits topics in Kafka: give each job its own files instead")
    return ReplayRequest(
        start=start,
        end=end,
        topics=tuple(arguments.topics),
        files=tuple(arguments.from_files),
        topic=arguments.topic,
        part=shard_of(arguments.partitions) if arguments.partitions else ALL,
        name=arguments.name,
        resume=arguments.resume,
    )


# Plan


def _plan_document(planned: PlannedReplay) -> dict[str, Any]:
    counts = planned.plan.counts
    return {
        "applied": False,
        "ranges": list(shown_ranges(planned.ranges)),
        "transactions": {name: dict(counts[name]) for name in sorted(counts)},
        "total": dict(planned.plan.total()),
        "items": [
            {
                "class": item.kind,
                "transaction": item.transaction,
                "event_id": item.event_id,
                "origin": item.origin,
            }
            for item in planned.plan.items
        ],
    }


def _plan_text(planned: PlannedReplay) -> Iterator[str]:
    total = planned.plan.total()
    shown = [name for name in CLASSES if total[name]]
    yield f"{count_of(sum(total.values()), 'record')} read, nothing written"
    width = max([len(name) for name in planned.plan.counts] + [12])
    if shown:
        yield " " * width + "".join(f"{name.replace('_', ' '):>16}" for name in shown)
    for name, counts in sorted(planned.plan.counts.items()):
        yield f"{name or '(undecodable)':<{width}}" + "".join(
            f"{counts[item]:>16,}" for item in shown
        )
    for item in planned.plan.items[:LISTED]:
        yield f"  {item.kind}: {item.transaction} {item.event_id} at {item.origin}"
    if len(planned.plan.items) > LISTED:
        yield f"  … more: --json lists {len(planned.plan.items):,}"
    if total["new"]:
        yield f"{total['new']:,} would be posted: the same command with --apply does it"
    else:
        yield "nothing would be posted"


# Apply


def _apply(settings: Settings, request: ReplayRequest, arguments: argparse.Namespace) -> int:
    if settings.ledger.in_memory:
        raise UsageError("an in-memory ledger ends with this process: name the one to post to")
    stop = start_long_run(settings)
    started_from = f"{arguments.start or ''}\0{arguments.end or ''}"
    applied = apply_replay(settings, request, started_from=started_from, stop=stop)
    write_result(_applied_document(applied), _applied_text(applied), as_json=arguments.json)
    return 0


def _applied_document(applied: AppliedReplay) -> dict[str, Any]:
    return {
        "applied": True,
        "group": applied.group,
        "ranges": list(shown_ranges(applied.ranges)),
        "outcomes": dict(applied.outcomes),
        "whole": applied.whole,
    }


def _applied_text(applied: AppliedReplay) -> Iterator[str]:
    total = sum(applied.outcomes.values())
    counts = ", ".join(
        f"{count} {kind.replace('_', ' ')}" for kind, count in applied.outcomes.items()
    )
    yield f"{count_of(total, 'record')} replayed in the group {applied.group}: {counts or 'none'}"
    if not applied.whole:
        yield "stopped before the end: the same command goes on there"


# Announce only


def _announce(settings: Settings, arguments: argparse.Namespace) -> int:
    others = ("topics", "from_files", "partitions", "apply", "name", "resume")
    given = [name for name in others if getattr(arguments, name)]
    if given:
        option = given[0].replace("_", "-")
        raise UsageError(f"--announce-only reads the ledger and takes no --{option}")
    require_running_broker(settings)
    start_ns, end_ns = time_range(arguments.start, arguments.end)
    outbox = arguments.outbox or settings.topics.outbox
    _require_topic(settings, outbox)
    result = announce_again(
        settings,
        outbox=outbox,
        start_ns=start_ns,
        end_ns=end_ns,
        progress=Progress(),
    )
    write_result(_announced_document(result), _announced_text(result), as_json=arguments.json)
    return 1 if result.unannounced else 0


def _require_topic(settings: Settings, name: str) -> None:
    connection = connection_of(settings)
    listed = connection.request("listing the topics", connection.admin().list_topics)
    if name not in listed.topics:
        raise DependencyUnavailable(
            f"topic {name} does not exist, or may not be seen: make it first; nothing was written"
        )


def _announced_document(result: Reannounced) -> dict[str, Any]:
    return {
        "group": result.group,
        "outbox": result.outbox,
        "since": result.since,
        "announced": result.transfers,
        "untold": [
            {
                "transfer_id": transfer.transfer_id,
                "ledger_timestamp": str(transfer.timestamp),
                "why": transfer.why,
            }
            for transfer in result.unannounced
        ],
    }


def _announced_text(result: Reannounced) -> Iterator[str]:
    after = f", after {iso_time(result.since)}" if result.since else ""
    yield f"{count_of(result.transfers, 'transfer')} announced again on {result.outbox}{after}"
    for transfer in result.unannounced:
        yield f"  cannot: {transfer.transfer_id} of {iso_time(transfer.timestamp)}: {transfer.why}"
