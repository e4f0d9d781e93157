"""A reconciliation split over machines: each part is a file, and the files are joined.

A part decides nothing, so events and their announcements may be in different parts. Each part notes
the committed offsets and ledger time from before it read; joined, the least of them bound what is
compared, and all later is in transit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from worker.config.settings import Settings
from worker.core.errors import UsageError
from worker.core.ports import TopicPartition, newest_timestamp
from worker.jobs.duckdb_rows import Database, open_database, quoted
from worker.jobs.progress import Progress
from worker.jobs.reconcile.expected import Period
from worker.jobs.reconcile.sources import Reach, read_inputs, read_outputs
from worker.jobs.reconcile.staging import Staging, open_staging
from worker.jobs.shard import Shard
from worker.ledger.books import open_named_ledger

SUFFIX: Final = ".part"
VERSION: Final = 5
READ: Final = (
    "events",
    "expected",
    "settled",
    "unsettled",
    "banked",
    "announced",
    "rejected",
    "dead",
    "parked",
    "unreadable",
)
"""The tables that parts fill; the ledger is read when they are joined."""

IN_TRANSIT: Final = """
UPDATE events SET in_transit = true FROM reach r
WHERE split_part(origin, '@', 1) = r.position
  AND TRY_CAST(split_part(origin, '@', 2) AS BIGINT) >= r.stop
"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a part, and the state before it was read.

    newest_ns: the ledger's newest transfer.
    reach: [topic, partition, committed].
    read: by topic/partition what was read, as `PartitionRead.row` has it.
    about: what all parts must share.
    """

    number: int
    of: int
    start_ns: int
    end_ns: int
    newest_ns: int
    reach: Sequence[tuple[str, int, int]]
    taken: dict[str, int]
    unchecked: list[str]
    about: dict[str, Any]
    read: dict[str, list[Any]] = field(default_factory=dict)


def write_part(  # noqa: PLR0913 - a range, a part of it, and where to
    settings: Settings,
    part: Shard,
    folder: Path,
    *,
    start_ns: int,
    end_ns: int,
    progress: Progress,
) -> tuple[Path, Manifest]:
    """Read one part of the topics into a file of that folder; it is there when it is whole.

    Raises:
        UsageError: bad input: no file is written then.
        DependencyUnavailable: the ledger or the broker did not answer in time.
    """
    if not folder.is_dir():
        raise UsageError(f"--part-to {folder}: there is no such folder")
    reach = Reach()
    span = Period(start_ns // 1_000_000, end_ns // 1_000_000)
    with open_named_ledger(settings) as books, open_database() as database:
        newest_ns = newest_timestamp(books.ledger)
        staging = open_staging(database, settings, books, span=span, committed=reach.committed)
        limits: dict[str, Any] = {"start_ns": start_ns, "part": part, "progress": progress}
        read_inputs(staging, settings, reach, **limits)
        read_outputs(staging, settings, **limits)
        staging.flush()
        manifest = Manifest(
            number=part.number,
            of=part.of,
            start_ns=start_ns,
            end_ns=end_ns,
            newest_ns=newest_ns,
            reach=[
                (*topic_partition, offset) for topic_partition, offset in sorted(reach.ends.items())
            ],
            taken=staging.taken,
            unchecked=staging.unchecked,
            about=_about(settings, books.rulebook.digest),
            read={name: partition.row() for name, partition in staging.read.items()},
        )
        path = folder / f"reconcile-{part.number}-of-{part.of}{SUFFIX}"
        _save(database, manifest, path)
    return path, manifest


def _about(settings: Settings, digest: str) -> dict[str, Any]:
    topics = settings.topics
    return {
        "version": VERSION,
        "group": settings.kafka.group_id,
        "rulebook": digest,
        "inputs": dict(sorted(topics.inputs.items())),
        "outputs": [topics.outbox, topics.rejected, topics.dead, topics.parked],
    }


def _save(database: Database, manifest: Manifest, path: Path) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        database.execute(f"ATTACH {quoted(str(draft))} AS part")
        for table in READ:
            database.execute(f"CREATE TABLE part.{table} AS SELECT * FROM {table}")  # noqa: S608 - ours
        database.execute("CREATE TABLE part.manifest (document VARCHAR)")
        database.execute(
            "INSERT INTO part.manifest VALUES ($document)",
            {"document": json.dumps(asdict(manifest))},
        )
        database.execute("DETACH part")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


# Joining


def part_files(paths: Iterable[Path]) -> list[Path]:
    """The files of the parts; a folder means all files in it.

    Raises:
        UsageError: there is none.
    """
    found = [
        file
        for path in paths
        for file in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])
    ]
    if not found:
        raise UsageError(f"--merge: there is no file *{SUFFIX} in {', '.join(map(str, paths))}")
    return found


def read_manifests(
    settings: Settings, paths: Sequence[Path], digest: str, database: Database
) -> list[Manifest]:
    """What the parts say of themselves; nothing where there are none.

    digest: of the rulebook in force.

    Raises:
        UsageError: one is damaged or missing, or they are not parts of one and the same.
    """
    found: dict[int, Manifest] = {}
    for path in paths:
        manifest = _manifest(database, path)
        first = next(iter(found.values()), manifest)
        if _frame(manifest) != _frame(first):
            raise UsageError(f"{path} is of another reconciliation than {paths[0]}")
        if manifest.about != _about(settings, digest):
            raise UsageError(f"{path} was read with other settings or another rulebook than these")
        if manifest.number in found:
            raise UsageError(f"{path}: the part {manifest.number}/{manifest.of} comes twice")
        found[manifest.number] = manifest
    of = next((manifest.of for manifest in found.values()), 0)
    missing = [number for number in range(of) if number not in found]
    if missing:
        raise UsageError(f"the part {missing[0]}/{of} is missing: {len(missing)} of {of} are")
    return list(found.values())


def _frame(manifest: Manifest) -> tuple[int, int, int]:
    return manifest.of, manifest.start_ns, manifest.end_ns


def _manifest(database: Database, path: Path) -> Manifest:
    import duckdb  # noqa: PLC0415 - heavy, and optional: a database is open, so it is there

    if not path.is_file():
        raise UsageError(f"--merge: there is no file {path}")
    try:
        database.execute(f"ATTACH {quoted(str(path))} AS part (READ_ONLY)")
        ((manifest_json,),) = database.execute("SELECT document FROM part.manifest").fetchall()
        database.execute("DETACH part")
        return Manifest(**json.loads(manifest_json))
    except (duckdb.Error, ValueError, TypeError):
        raise UsageError(f"{path} is no part of a reconciliation, or damaged") from None


def least_reach(manifests: Iterable[Manifest]) -> dict[TopicPartition, int]:
    """How far the live group was when the first part began, by partition."""
    ends: dict[TopicPartition, int] = {}
    for manifest in manifests:
        for topic, partition, offset in manifest.reach:
            ends[topic, partition] = min(offset, ends.get((topic, partition), offset))
    return ends


def load_parts(
    database: Database, staging: Staging, paths: Iterable[Path], manifests: Iterable[Manifest]
) -> None:
    """Put what the parts have read into the tables; what came after the first began, in transit."""
    for path in paths:
        database.execute(f"ATTACH {quoted(str(path))} AS part (READ_ONLY)")
        for table in READ:
            database.execute(f"INSERT INTO {table} SELECT * FROM part.{table}")  # noqa: S608 - ours
        database.execute("DETACH part")
    database.execute("CREATE TABLE reach (position VARCHAR, stop BIGINT)")
    for (topic, partition), stop in least_reach(manifests).items():
        topic_partition = f"{topic}/{partition}"
        database.execute("INSERT INTO reach VALUES ($p, $s)", {"p": topic_partition, "s": stop})
    database.execute(IN_TRANSIT)
    for manifest in manifests:
        for topic, count in manifest.taken.items():
            staging.taken[topic] = staging.taken.get(topic, 0) + count
        staging.unchecked += [
            topic for topic in manifest.unchecked if topic not in staging.unchecked
        ]
