"""`generate`: realistic Stripe traffic, the same for the same seed, into Kafka or a file."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.commands.options import add_json, positive
from worker.core.errors import UsageError, named_file
from worker.core.plural import count_of
from worker.jobs.generate.encode import SCHEMAS, avro_value, json_value, line
from worker.jobs.generate.scene import TREASURY, Generated
from worker.jobs.generate.stripe_report import write_report
from worker.jobs.generate.traffic import Traffic
from worker.jobs.progress import Progress
from worker.jobs.text_tables import write_document

if TYPE_CHECKING:
    from worker.config.settings import Settings

INTERRUPTED: Final = (
    "the records written so far stay; the same command writes the same ones from the start"
)

KAFKA: Final = "kafka"
STDOUT: Final = "-"
FLUSH_SECONDS: Final = 60.0
FIND_SECONDS: Final = 10.0
BROKER_TIME: Final = 0
"""The records' time is that of writing: their events' would fall to the topics' retention."""


Write = Callable[[str, Generated, bytes], None]
"""Takes the topic, the record and its value."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--events", type=positive, required=True, help="how many records")
    parser.add_argument("--seed", type=int, required=True, help="which traffic: any whole number")
    parser.add_argument(
        "--to",
        default=STDOUT,
        metavar="kafka|FILE",
        help="the configured topics, or a file of JSON lines; - is stdout (default)",
    )
    parser.add_argument("--format", choices=("json", "avro"), default="json", help="of the values")
    parser.add_argument(
        "--stripe-report",
        type=Path,
        metavar="FILE",
        help="also Stripe's payout reconciliation report of this traffic, as CSV",
    )
    add_json(parser, "summary")


def run(arguments: argparse.Namespace) -> int:
    """Write the traffic and print what it was."""
    from worker.config.settings import load_settings  # noqa: PLC0415 - keeps --help quick

    settings = load_settings(getattr(arguments, "config", None))
    topics = _topics(settings)
    encode = _encoder(arguments.format, settings)
    notes: Counter[str] = Counter()
    roles: Counter[str] = Counter()
    traffic = Traffic(seed=arguments.seed, roles=topics)
    with _opened(arguments.to, settings) as write:
        records = islice(traffic, arguments.events)
        for record in Progress().over(records, "events", total=arguments.events):
            write(topics[record.role], record, encode(record))
            notes[record.note] += 1
            roles[topics[record.role]] += 1
    rows = _write_stripe_report(arguments.stripe_report, traffic) if arguments.stripe_report else 0
    _report(arguments, topics=roles, notes=notes, rows=rows)
    return 0


def _write_stripe_report(path: Path, traffic: Traffic) -> int:
    with named_file(path, "written"), path.open("w", encoding="utf-8", newline="") as file:
        return write_report(file, traffic.stripe_rows())


def _topics(settings: Settings) -> Mapping[str, str]:
    topics = settings.topics.inputs
    missing = sorted(set(SCHEMAS) - {TREASURY} - set(topics))
    if missing:
        raise UsageError(f"topics.inputs names no topic for the role {', '.join(missing)}")
    return topics


def _encoder(encoding: str, settings: Settings) -> Callable[[Generated], bytes]:
    if encoding == "json":
        return json_value
    from worker.kafka.registry import open_registry, schema_ids  # noqa: PLC0415 - Avro only

    found = schema_ids(settings, open_registry(settings))
    ids = {name: schema_id for schema_id, name in found.items()}
    missing = sorted(set(SCHEMAS.values()) - set(ids))
    if missing:
        where = (
            "the registry holds no packaged generation of"
            if settings.schema_registry.url
            else "schema_registry.ids names no id for"
        )
        raise UsageError(f"{where} the schema {', '.join(missing)}")
    return lambda record: avro_value(record, ids)


@contextmanager
def _opened(target: str, settings: Settings) -> Iterator[Write]:
    """Where records go; on leaving, all of them are there."""
    if target == KAFKA:
        yield from _kafka(settings)
    elif target == STDOUT:
        yield lambda topic, record, value: _write_line(
            sys.stdout.buffer.write, topic, record, value
        )
        sys.stdout.buffer.flush()
    elif not Path(target).suffix and get_close_matches(target, [KAFKA]):
        raise UsageError(f"--to {target}: did you mean {KAFKA}? A file's name has a suffix")
    else:
        yield from _file(Path(target))


def _kafka(settings: Settings) -> Iterator[Write]:
    from worker.kafka.admin import require_existing  # noqa: PLC0415 - the same
    from worker.kafka.plain_producer import open_plain_producer  # noqa: PLC0415 - the same

    if not settings.kafka.embedded:
        require_existing(settings, settings.topics.inputs.values(), FIND_SECONDS)
    publisher = open_plain_producer(settings)
    yield lambda topic, record, value: publisher.publish(
        topic=topic, key=record.key, value=value, timestamp_ms=BROKER_TIME
    )
    publisher.flush(FLUSH_SECONDS)


def _file(path: Path) -> Iterator[Write]:
    with named_file(path, "written"), path.open("wb") as file:
        yield lambda topic, record, value: _write_line(file.write, topic, record, value)


def _write_line(write: Callable[[bytes], int], topic: str, record: Generated, value: bytes) -> None:
    write(line(topic=topic, key=record.key, value=value, note=record.note))


def _report(
    arguments: argparse.Namespace, *, topics: Mapping[str, int], notes: Mapping[str, int], rows: int
) -> None:
    """Print the summary: on stderr where stdout has the records."""
    out = sys.stderr if arguments.to == STDOUT else sys.stdout
    summary = {
        "events": arguments.events,
        "seed": arguments.seed,
        "to": arguments.to,
        "format": arguments.format,
        "topics": dict(sorted(topics.items())),
        "notes": dict(sorted(notes.items())),
        "stripe_report_rows": rows,
    }
    if arguments.json:
        write_document(out, summary)
        return
    out.write(f"{count_of(arguments.events, 'record')} of seed {arguments.seed}\n")
    for name, times in [*summary["topics"].items(), *summary["notes"].items()]:
        out.write(f"  {times:>9,}  {name}\n")
    if arguments.stripe_report:
        out.write(f"{count_of(rows, 'row')} in {arguments.stripe_report}\n")
