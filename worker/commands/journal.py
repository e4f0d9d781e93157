"""`journal`: openings, corrections and write-offs, from a CSV file to the journal topic."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.commands.options import add_json
from worker.core.chain import Chain
from worker.core.errors import UsageError, named_file
from worker.core.event import Dead, Event
from worker.core.money import major_units
from worker.core.plural import count_of
from worker.core.visible import visible
from worker.jobs.journal.entries import Entry, read_journal
from worker.jobs.journal.events import event_of_entry
from worker.jobs.journal.picture import TAccount, picture, t_accounts
from worker.jobs.text_tables import write_document, write_lines

if TYPE_CHECKING:
    from worker.config.settings import Settings
    from worker.core.rulebook import Rulebook

INTERRUPTED: Final = "what was sent so far stays; the same command sends the rest"
ROLE: Final = "journal"
SENT: Final = "sent"
THERE: Final = "there_already"
NOT_SENT: Final = "not_sent"
STATES: Final = {
    "checked": "in order; nothing was sent",
    SENT: "sent to {topic}",
    THERE: "there already",
    NOT_SENT: "not sent",
}
"""What became of an entry, and how that is said."""
YES: Final = frozenset({"y", "yes"})


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "file", metavar="FILE.csv", help="the entries; docs/journal.md has an example"
    )
    parser.add_argument("--dry-run", action="store_true", help="check and show, send nothing")
    parser.add_argument("--yes", action="store_true", help="send without asking")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check the file, show its entries, and send those that were not sent before."""
    from worker.config.settings import load_settings  # noqa: PLC0415 - keeps --help quick
    from worker.rulebooks.load import load  # noqa: PLC0415 - the same

    settings = load_settings(getattr(arguments, "config", None))
    rulebook = load(settings.rulebook)
    entries = _checked(Path(arguments.file), rulebook)
    events = [event_of_entry(entry) for entry in entries]
    pictures = _pictures(Path(arguments.file), entries, events, settings, rulebook)
    if not arguments.json:
        lines = [text for entry in entries for text in (*picture(entry, pictures[entry.id]), "")]
        write_lines(sys.stdout, lines)
    topic = settings.topics.topic_of(ROLE)
    states = dict.fromkeys((entry.id for entry in entries), "checked")
    if not arguments.dry_run:
        states |= _deliver(arguments, events, settings, topic)
    if arguments.json:
        accounts = {entry.id: _as_json(entry, pictures[entry.id]) for entry in entries}
        found = [{**accounts[name], "state": state} for name, state in states.items()]
        about = {"file": arguments.file, "topic": topic, "entries": found}
        write_document(sys.stdout, about, indent=2)
    else:
        counts = Counter(states.values())
        words = [
            f"{count_of(counts[state], 'entry', 'entries')} {STATES[state]}"
            for state in STATES
            if counts[state]
        ]
        write_lines(sys.stdout, ["; ".join(words).format(topic=topic)])
    return 1 if NOT_SENT in states.values() else 0


def _deliver(
    arguments: argparse.Namespace, events: list[dict[str, Any]], settings: Settings, topic: str
) -> dict[str, str]:
    """Send what is not on the topic yet, when a person says so; the state of each entry."""
    states = {event["data"]["object"]["id"]: THERE for event in events}
    fresh = _fresh(events, settings, topic)
    agreed = bool(fresh) and _agreed(arguments, len(fresh), topic)
    if agreed:
        _send(fresh, settings, topic)
    state = SENT if agreed else NOT_SENT
    return states | {event["data"]["object"]["id"]: state for event in fresh}


def _checked(path: Path, rulebook: Rulebook) -> list[Entry]:
    """The file's entries.

    Raises:
        UsageError: with one `file:line: message` per mistake, all at once.
    """
    try:
        with named_file(path, "read"):
            text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None
    found = read_journal(text, rulebook)
    if found.mistakes:
        raise UsageError(
            "\n".join(f"{path}:{line}: {visible(why)}" for line, why in found.mistakes)
        )
    return found.entries


def _pictures(
    path: Path,
    entries: list[Entry],
    events: list[dict[str, Any]],
    settings: Settings,
    rulebook: Rulebook,
) -> dict[str, list[TAccount]]:
    """What the rulebook in force makes of each entry.

    Raises:
        UsageError: it makes something else of one than a posting.
    """
    from worker.config.translator import translator_of  # noqa: PLC0415 - keeps --help quick

    translator = translator_of(settings, rulebook)
    found = {}
    for entry, body in zip(entries, events, strict=True):
        event = Event(body["id"], body["type"], body["created"], body)
        chain = translator.translate(event, role=ROLE)
        if isinstance(chain, Dead):
            raise UsageError(f"{path}:{entry.number}: the rulebook refuses it: {chain.detail}")
        if not isinstance(chain, Chain):
            raise UsageError(f"{path}:{entry.number}: the rulebook posts nothing for it")
        found[entry.id] = t_accounts(chain, rulebook)
    return found


def _fresh(events: list[dict[str, Any]], settings: Settings, topic: str) -> list[dict[str, Any]]:
    """The events that are not on the topic yet."""
    from worker.jobs.journal.send import sent_entries, unsent  # noqa: PLC0415 - Kafka, when it is used
    from worker.kafka.topic_reader import read_all  # noqa: PLC0415 - the same

    return unsent(events, sent_entries(read_all(settings, topic)))


def _agreed(arguments: argparse.Namespace, count: int, topic: str) -> bool:
    """Does the person at the terminal, or `--yes`, say so?"""
    if arguments.yes:
        return True
    if arguments.json or not sys.stdin.isatty():
        raise UsageError("say --yes to send the entries, or --dry-run to look only")
    sys.stderr.write(f"Send {count_of(count, 'entry', 'entries')} to {topic}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in YES


def _send(events: list[dict[str, Any]], settings: Settings, topic: str) -> None:
    from worker.jobs.journal.send import send  # noqa: PLC0415 - Kafka, when it is used
    from worker.kafka.plain_producer import open_plain_producer  # noqa: PLC0415 - the same

    send(events, open_plain_producer(settings), topic)


def _as_json(entry: Entry, accounts: list[TAccount]) -> dict[str, Any]:
    return {
        "entry": entry.id,
        "created": entry.created,
        "reason": entry.reason,
        "requested_by": entry.requested_by,
        "approved_by": entry.approved_by,
        "accounts": [
            {
                "account": each.account,
                "key": each.key,
                "currency": each.currency.name,
                "debits": str(each.debits),
                "credits": str(each.credits),
                "major_debits": major_units(each.debits, each.currency.scale),
                "major_credits": major_units(each.credits, each.currency.scale),
            }
            for each in accounts
        ],
    }
