"""`tail`: follows outcomes as the worker announces them, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.codecs.outbox_reader import announced_fields
from worker.commands.options import add_json
from worker.config.settings import Settings, load_settings
from worker.core.errors import UsageError
from worker.core.iso_times import MILLISECOND, iso_millisecond
from worker.core.money import major_units
from worker.core.ports import Record, position_of
from worker.jobs.live.run import Stop
from worker.jobs.progress import Progress
from worker.jobs.text_tables import BAD, Styled, write_document, write_lines
from worker.jobs.times import nanoseconds
from worker.jobs.trace.follow import follow
from worker.jobs.trace.search import TopicSearch
from worker.jobs.trace.text import letter_fields, letter_line
from worker.kafka.connection import require_running_broker
from worker.kafka.topic_reader import open_topic_reader

OUTCOMES: Final = ("posted", "rejected", "dead", "parked")
DEFAULT: Final = ("rejected", "dead", "parked")

OVERLAP_MS: Final = 2_000
"""What came between the last look and Ctrl-C is shown again rather than not at all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--outcome",
        action="append",
        choices=OUTCOMES,
        help=f"follow these; may be given again (default: {', '.join(DEFAULT)})",
    )
    parser.add_argument(
        "--since", metavar="TIME", help="from this moment on (UTC); default: from now on"
    )
    add_json(parser, how="one document on a line")


def run(arguments: argparse.Namespace) -> int:
    """Print each outcome as it comes; on Ctrl-C, how many there were and how to go on."""
    settings = load_settings(arguments.config)
    require_running_broker(settings)
    outcomes: Sequence[str] = arguments.outcome or DEFAULT
    since = arguments.since
    start_ms = nanoseconds(since, option="--since") // MILLISECOND if since else 0
    stop = Stop()
    stop.listen()
    counts: Counter[str] = Counter()
    began_ms = start_ms or time.time_ns() // MILLISECOND
    with open_topic_reader(settings) as reader:
        search = TopicSearch(settings, reader, Progress())
        topics = _topics(settings, search, outcomes)
        for record in follow(reader, topics, start_ms=start_ms, stopped=lambda: stop.requested):
            kind, line, document = _shown(settings, search, record)
            counts[kind] += 1
            if arguments.json:
                write_document(sys.stdout, document)
            else:
                write_lines(sys.stdout, [line])
            sys.stdout.flush()
    seen = ", ".join(f"{counts[each]:,} {each}" for each in outcomes)
    now = iso_millisecond(time.time_ns() // MILLISECOND - OVERLAP_MS)
    began = iso_millisecond(began_ms)
    write_lines(sys.stderr, ["", f"{seen} since {began}; go on with --since {now}"])
    return 0


def _topics(settings: Settings, search: TopicSearch, outcomes: Sequence[str]) -> list[str]:
    """The topics of these outcomes.

    Raises:
        UsageError: one does not exist.
    """
    topics = settings.topics
    named = {
        "posted": [topics.outbox],
        "rejected": [topics.rejected],
        "dead": [topics.dead],
        "parked": topics.parked_topics,
    }
    found = [topic for each in dict.fromkeys(outcomes) for topic in named[each]]
    gone = [topic for topic in found if topic in search.missing]
    if gone:
        raise UsageError(
            f"the topic {gone[0]} does not exist: `ledger-worker topics apply` makes it"
        )
    return [topic for topic in found if topic not in topics.parked_topics or topic in search.parked]


def _shown(
    settings: Settings, search: TopicSearch, record: Record
) -> tuple[str, str | Styled, Mapping[str, Any]]:
    """A record's outcome, as a line and as a document."""
    if record.topic() == settings.topics.outbox:
        try:
            fields = announced_fields(record)
        except UsageError as junk:
            return "unreadable", Styled(str(junk), BAD), {"unreadable": str(junk)}
        return "posted", _posted(fields), fields
    letter = search.letter(record)
    if letter is None:
        words = f"{position_of(record)} is no letter of the worker's"
        return "unreadable", Styled(words, BAD), {"unreadable": words}
    about = f"{letter.event_id}, record {letter.about}" if letter.event_id else str(letter.about)
    document = letter_fields(letter) | {"event_id": letter.event_id}
    line = f"{letter_line(letter)}, about {about}"
    return letter.kind, line if letter.kind == "parked" else Styled(line, BAD), document


def _posted(fields: Mapping[str, Any]) -> str:
    sides = []
    for side in ("debit", "credit"):
        name, key = fields[f"{side}_account"], fields[f"{side}_key"]
        sides.append(f"{name}[{key}]" if key else str(name))
    amount = major_units(int(fields["amount"]), int(fields["scale"]))
    return (
        f"posted {fields['posted_at']}, {fields['transaction']}.{fields['leg']}: {amount}"
        f" {fields['currency']}, {' to '.join(sides)}; {fields['event_id']}"
    )
