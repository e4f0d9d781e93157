"""`replay --rebuild` and `--verify-against`: a lost ledger rebuilt, and compared with another."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.iso_times import iso_time
from worker.core.plural import count_of
from worker.jobs.progress import Progress
from worker.jobs.rebuild.compare_ledgers import LedgersCompared, compare_ledgers
from worker.jobs.rebuild.run import Rebuilt, rebuild
from worker.jobs.text_tables import write_result

LISTED: Final = 20
OTHERS: Final = (
    "start",
    "end",
    "topics",
    "partitions",
    "apply",
    "announce_only",
    "outbox",
    "name",
    "resume",
)
READ_FROM: Final = ("from_files", "topic")
OPTIONS: Final = {"start": "from", "end": "to"}


def rebuild_and_verify(settings: Settings, arguments: argparse.Namespace) -> int:
    """Rebuild, then compare, each if requested; 1 when the ledgers differ."""
    mode = "--rebuild" if arguments.rebuild else "--verify-against"
    refused = OTHERS if arguments.rebuild else (*OTHERS, *READ_FROM)
    given = [name for name in refused if getattr(arguments, name)]
    if given:
        option = OPTIONS.get(given[0], given[0]).replace("_", "-")
        raise UsageError(f"{mode} is about a whole ledger and takes no --{option}")
    progress = Progress()
    rebuilt = None
    if arguments.rebuild:
        rebuilt = rebuild(
            settings,
            progress=progress,
            skip_unreadable=arguments.skip_unreadable,
            files=arguments.from_files,
            topic=arguments.topic,
        )
    verified = None
    if arguments.verify_against:
        verified = compare_ledgers(
            settings,
            arguments.verify_against,
            cluster_id=arguments.verify_cluster_id,
            progress=progress,
        )
    document = (_rebuilt_document(rebuilt) if rebuilt else {}) | (
        {"verified": _verified_document(verified)} if verified else {}
    )
    lines = chain(_rebuilt_text(rebuilt), _verified_text(verified))
    write_result(document, lines, as_json=arguments.json)
    return 1 if verified and verified.differences else 0


def _rebuilt_document(rebuilt: Rebuilt) -> dict[str, Any]:
    return {
        "rebuilt": True,
        "chains": rebuilt.chains,
        "transfers": rebuilt.transfers,
        "chains_found": rebuilt.found,
        "expired_reservations": rebuilt.expired,
        "expired_unfit": list(rebuilt.unfit),
        "ids_spent": rebuilt.spent,
        "last_expiry": iso_time(rebuilt.last_expiry_ns) if rebuilt.last_expiry_ns else "",
        "rejections_forgotten": rebuilt.forgotten,
        "unreadable": list(rebuilt.unreadable),
    }


def _rebuilt_text(rebuilt: Rebuilt | None) -> Iterator[str]:
    if rebuilt is None:
        return
    found = f"; {rebuilt.found:,} chains were there already" if rebuilt.found else ""
    transfers, chains = count_of(rebuilt.transfers, "transfer"), count_of(rebuilt.chains, "chain")
    yield f"{transfers} of {chains} posted again{found}"
    if rebuilt.spent:
        yield f"  {count_of(rebuilt.spent, 'id')} spent that the lost ledger had refused"
    if rebuilt.forgotten:
        yield (
            f"  {rebuilt.forgotten:,} rejections are not in their topic any more: those events"
            " could be posted if they came again"
        )
    yield from (f"  left out: {problem}" for problem in rebuilt.unreadable)
    if rebuilt.expired:
        yield f"  {count_of(rebuilt.expired, 'reservation')} that had expired, posted last"
    for event_id in rebuilt.unfit:
        yield f"  the balance does not cover the expired reservation of {event_id} any more"
    if rebuilt.last_expiry_ns:
        yield f"  reservations are open again, the last until {iso_time(rebuilt.last_expiry_ns)}"


def _verified_document(verified: LedgersCompared) -> dict[str, Any]:
    return {
        "against": verified.other,
        "transfers": verified.transfers,
        "accounts": verified.accounts,
        "idle_accounts_on_one_side": verified.idle,
        "differences": verified.differences,
        "items": [item._asdict() for item in verified.items],
    }


def _verified_text(verified: LedgersCompared | None) -> Iterator[str]:
    if verified is None:
        return
    yield (
        f"{count_of(verified.transfers, 'transfer')} and {count_of(verified.accounts, 'account')}"
        f" compared with"
        f" {verified.other}"
    )
    if verified.idle:
        yield f"  {verified.idle:,} accounts that nothing moved on are on one side only"
    if not verified.differences:
        yield "the ledgers are equal but for timestamps and positions"
        return
    yield f"{count_of(verified.differences, 'difference')}, ours / theirs"
    for item in verified.items[:LISTED]:
        yield f"  {item.what} {item.id} {item.field} {item.ours} / {item.theirs}"
    if verified.differences > LISTED:
        yield f"  … more: --json lists {len(verified.items):,}"
